-- cash_carried: a session's cash begins with that of the session before, or the capital, changed by interest and borrow fees alone.
with first_fills as (
    select
        session,
        arg_min(cash_after + side * quantity * price + commission, fill_id) as cash_before,
        arg_min(notional, fill_id) as scale
    from fills
    group by session
),
first_labels as (
    select session, arg_min(cash, timestamp) as cash from equity group by session
),
starts as (
    select
        session,
        coalesce(
            lag(cash) over (order by session),
            (select capital from execution_settings)
        ) + interest - borrow as expected
    from session_equity
)
select session, expected, coalesce(cash_before, cash) as found
from starts
left join first_fills using (session)
left join first_labels using (session)
where abs(coalesce(cash_before, cash) - expected) > 1e-12 * (abs(expected) + coalesce(scale, 0.0))
