-- session_equity: one row per session: the account at its end, and what moved it since the end of the session before.
select
    session,
    start_equity,
    equity,
    cash,
    fees,
    interest,
    borrow,
    turnover,
    realized_pnl,
    equity - start_equity as pnl,
    run_id
from stored_session_equity
