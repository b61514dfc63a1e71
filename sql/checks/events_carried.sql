-- events_carried: over the whole run the events of an order count on by one, and it ends at most once.
select
    max(session) as session,
    order_id,
    count(*) as events,
    count(*) filter (event in ('filled', 'cancelled', 'expired', 'rejected', 'replaced')) as endings
from order_events
group by run_id, order_id
having
    max(seq) + 1 <> count(*)
    or endings > 1
    or endings = 1
    and arg_max(event, seq) not in ('filled', 'cancelled', 'expired', 'rejected', 'replaced')
