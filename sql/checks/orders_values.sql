-- orders_values: an order has a side and the prices its type needs, all above zero, and was submitted when its label was known.
select session, order_id, side, order_type, tif, quantity, limit_price, stop_price, trail
from orders
where
    side not in (-1, 1)
    or quantity < 0.0
    or submitted_at < timestamp
    or (tif = 'gtd') <> (until is not null)
    or coalesce(status, '') <> 'rejected'
    and (
        order_type in ('limit', 'stop_limit', 'limit_if_touched') and not coalesce(limit_price > 0.0, false)
        or order_type in ('stop', 'stop_limit', 'limit_if_touched') and not coalesce(stop_price > 0.0, false)
        or order_type = 'trailing_stop' and not coalesce(trail > 0.0, false)
        or not isfinite(coalesce(limit_price, stop_price, trail, 0.0))
    )
