-- events_fills: every fill is one event of its order, in the same order, with its units, its price and its time.
with filled as (
    select
        session,
        order_id,
        row_number() over (partition by session, order_id order by fill_id) as number,
        fill_id,
        timestamp,
        filled_at,
        quantity,
        price
    from fills
),
told as (
    select
        session,
        order_id,
        row_number() over (partition by session, order_id order by seq) as number,
        seq,
        timestamp,
        happened_at,
        quantity,
        price
    from order_events
    where event in ('partially_filled', 'filled')
)
select
    session,
    order_id,
    fill_id,
    seq,
    filled.quantity,
    told.quantity as event_quantity,
    filled.price,
    told.price as event_price
from filled
full join told using (session, order_id, number)
where
    filled.quantity is distinct from told.quantity
    or filled.price is distinct from told.price
    or filled_at is distinct from happened_at
    or filled.timestamp is distinct from told.timestamp
