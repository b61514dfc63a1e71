-- pnl_by_session: one row per session: pnl = realized_pnl + unrealized_change - fees + interest - borrow.
with moves as (
    select session, run_id, count(*) as fills, sum(slippage) as slippage, count(*) filter (ambiguous) as ambiguous_fills
    from fills
    group by session, run_id
),
ended as (
    select session, run_id, count(*) as closed_trades from trades where not is_open group by session, run_id
)
select
    session,
    start_equity,
    equity,
    pnl,
    pnl / nullif(start_equity, 0.0) as return_frac,
    realized_pnl,
    pnl - realized_pnl + fees - interest + borrow as unrealized_change,
    fees,
    interest,
    borrow,
    turnover,
    coalesce(fills, 0) as fills,
    coalesce(ambiguous_fills, 0) as ambiguous_fills,
    coalesce(slippage, 0.0) as slippage,
    coalesce(closed_trades, 0) as closed_trades,
    run_id
from session_equity
left join moves using (session, run_id)
left join ended using (session, run_id)
