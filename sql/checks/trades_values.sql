-- trades_values: a trade has units and prices, ends no earlier than it begins, and its excursions lie on either side of 0.
select session, trade_id, side, quantity, entered_at, exited_at, mae, mfe, is_open
from trades
where
    side not in (-1, 1)
    or not (isfinite(quantity) and isfinite(entry_price) and isfinite(pnl) and isfinite(return_frac))
    or quantity <= 0.0
    or entry_price <= 0.0
    or is_open <> (exited_at is null)
    or exited_at < entered_at
    or not is_open and (exit_price is null or exit_fills = 0)
    or entry_fills < 1
    or bars_held < 0
    or mae > 0.0
    or mfe < 0.0
