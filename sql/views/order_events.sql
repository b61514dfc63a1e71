-- order_events: one row per step in the life of an order, in the session in which it happened.
select session, order_id, seq, timestamp, happened_at, event, quantity, price, reason, run_id
from stored_order_events
