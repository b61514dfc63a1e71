-- fills_values: a fill has units and a price, is at its bar's start or end, and lies between its worst and best price, slippage aside.
select session, fill_id, filled_at, side, quantity, price, worst_price, best_price, slippage
from fills
where
    not (isfinite(quantity) and isfinite(price) and isfinite(reference_price) and isfinite(commission))
    or quantity <= 0.0
    or price <= 0.0
    or side not in (-1, 1)
    or filled_at < timestamp
    or side * worst_price < least(side * price, side * reference_price) - 1e-12 * price
    or side * best_price > greatest(side * price, side * reference_price) + 1e-12 * price
    or not ambiguous and (worst_price <> price or best_price <> price)
    or abs(slippage - side * quantity * (price - reference_price)) > 1e-12 * quantity * (price + reference_price)
    or abs(realized_pnl) > 0.0 and closed_quantity = 0.0
