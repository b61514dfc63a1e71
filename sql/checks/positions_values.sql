-- positions_values: a position has units, value = quantity x mark, and its unrealised P&L is what the mark is beyond the average.
select session, symbol, quantity, average_price, mark_price, value, unrealized_pnl
from positions
where
    not (isfinite(quantity) and isfinite(average_price) and isfinite(mark_price))
    or quantity = 0.0
    or average_price <= 0.0
    or mark_price <= 0.0
    or abs(value - quantity * mark_price) > 1e-12 * abs(value)
    or abs(unrealized_pnl - quantity * (mark_price - average_price))
        > 1e-9 * abs(quantity) * (mark_price + average_price)
