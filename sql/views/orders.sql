-- orders: one row per order, in the session that submitted it, with what its events have made of it by the end of the run.
with lives as (
    select
        run_id,
        order_id,
        arg_max(event, seq) as status,
        coalesce(sum(quantity), 0.0) as filled_quantity,
        sum(quantity * price) / nullif(sum(quantity), 0.0) as average_price,
        arg_max(reason, seq) as reason,
        max(happened_at) filter (event in ('filled', 'cancelled', 'expired', 'rejected', 'replaced')) as ended_at
    from stored_order_events
    group by run_id, order_id
)
select
    session,
    order_id,
    timestamp,
    submitted_at,
    symbol,
    side,
    order_type,
    tif,
    until,
    quantity,
    limit_price,
    stop_price,
    trail,
    trail_is_frac,
    role,
    parent_id,
    oco_group,
    status,
    filled_quantity,
    average_price,
    reason,
    ended_at,
    run_id
from stored_orders
left join lives using (run_id, order_id)
