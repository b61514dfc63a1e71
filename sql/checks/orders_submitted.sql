-- orders_submitted: an order begins with one event, submitted, when and where the order says.
select orders.session, order_id, submitted_at, order_events.happened_at, event
from orders
left join order_events using (session, order_id)
where
    coalesce(seq, 0) = 0
    and (event is distinct from 'submitted' or submitted_at is distinct from order_events.happened_at)
