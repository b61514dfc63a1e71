-- session_returns: one row per session: its return from the equity before it, and how far it lies below the highest so far.
-- The starting capital is the first base and the first peak. A return from equity at or below zero is null.
with points as (
    select
        session,
        row_number() over (order by session) as session_number,
        equity,
        coalesce(lag(equity) over (order by session), terms.capital) as base_equity,
        greatest(max(equity) over (order by session), terms.capital) as peak_equity,
        session_equity.run_id
    from session_equity
    cross join terms
)
select
    session,
    session_number,
    equity,
    base_equity,
    case
        when base_equity > 0.0 and isfinite(base_equity) and isfinite(equity) then equity / base_equity - 1.0
    end as return_frac,
    peak_equity,
    equity / peak_equity - 1.0 as drawdown_frac,
    run_id
from points
