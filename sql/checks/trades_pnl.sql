-- trades_pnl: a trade that ended has earned what its fills realised less their commissions, to 1e-9 of its size, and counts them.
with sums as (
    select
        run_id,
        trade_id,
        sum(realized_pnl) as realized_pnl,
        sum(commission) as commission,
        count(*) filter (opened_quantity > 0.0) as entry_fills,
        count(*) filter (closed_quantity > 0.0) as exit_fills,
        sum((opened_quantity + closed_quantity) * price) as scale,
        sum(opened_quantity) as opened_quantity,
        sum(opened_quantity) - sum(closed_quantity) as left_quantity,
        min(filled_at) as entered_at,
        max(filled_at) as exited_at
    from trade_fills
    group by run_id, trade_id
)
select session, trade_id, pnl, realized_pnl - sums.commission as expected_pnl, trades.commission, left_quantity
from trades
left join sums using (run_id, trade_id)
where
    scale is null
    or abs(trades.commission - sums.commission) > 1e-9 * (abs(sums.commission) + 1e-3)
    or trades.entry_fills <> sums.entry_fills
    or trades.exit_fills <> sums.exit_fills
    or trades.entered_at <> sums.entered_at
    or not is_open
    and (
        abs(pnl - (realized_pnl - sums.commission)) > 1e-9 * scale
        or abs(left_quantity) > 1e-9 * opened_quantity
        or trades.exited_at <> sums.exited_at
    )
