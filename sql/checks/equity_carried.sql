-- equity_carried: a session starts with the equity the session before ended with, the first with the capital.
with starts as (
    select
        session,
        start_equity,
        coalesce(lag(equity) over (order by session), (select capital from execution_settings)) as expected
    from session_equity
)
select session, start_equity, expected
from starts
where start_equity is distinct from coalesce(expected, start_equity)
