-- signals_values: a request is known after its bar begins, its numbers are finite, and what needs an amount or a type has one.
select session, timestamp, known_at, symbol, kind, unit, side, amount, order_type, limit_price, stop_price
from signals
where
    known_at <= timestamp
    or side not in (-1, 0, 1)
    or not isfinite(coalesce(amount, 0.0))
    or not isfinite(rank)
    or kind not in ('target', 'enter', 'exit', 'order', 'cancel')
    or kind = 'target' and (amount is null or unit is null)
    or kind in ('enter', 'order') and side = 0
