-- equity: one row per label of the run's clock, at its end, with the highest equity so far, the starting capital included.
with starts as (
    select coalesce(arg_min(start_equity, session), 0.0) as capital from stored_session_equity
)
select
    session,
    timestamp,
    known_at,
    cash,
    equity,
    gross_exposure,
    net_exposure,
    open_positions,
    greatest(max(equity) over (order by timestamp), capital) as peak_equity,
    equity / peak_equity - 1.0 as drawdown_frac,
    run_id
from stored_equity
cross join starts
