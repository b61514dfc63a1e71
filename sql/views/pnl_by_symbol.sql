-- pnl_by_symbol: one row per symbol that traded: its trades, ended and open, and what they cost.
with traded as (
    select run_id, symbol, count(*) as fills, sum(notional) as turnover, sum(slippage) as slippage
    from fills
    group by run_id, symbol
),
ended as (
    select
        run_id,
        symbol,
        count(*) filter (not is_open) as closed_trades,
        count(*) filter (is_open) as open_trades,
        sum(pnl) as pnl,
        sum(commission) as fees,
        count(*) filter (pnl > 0.0 and not is_open) / nullif(count(*) filter (not is_open), 0) as win_rate,
        min(mae) as worst_mae,
        max(mfe) as best_mfe
    from trades
    group by run_id, symbol
)
select
    symbol,
    fills,
    coalesce(closed_trades, 0) as closed_trades,
    coalesce(open_trades, 0) as open_trades,
    coalesce(pnl, 0.0) as pnl,
    coalesce(fees, 0.0) as fees,
    slippage,
    turnover,
    win_rate,
    worst_mae,
    best_mfe,
    run_id
from traded
left join ended using (run_id, symbol)
