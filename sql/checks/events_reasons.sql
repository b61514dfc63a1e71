-- events_reasons: an event that fills has units and a price and no other has; one that ends an order unfilled tells why.
select session, order_id, seq, event, quantity, price, reason
from order_events
where
    (event in ('partially_filled', 'filled')) <> (quantity is not null)
    or (quantity is null) <> (price is null)
    or (event in ('cancelled', 'expired', 'rejected', 'replaced')) <> (reason is not null)
