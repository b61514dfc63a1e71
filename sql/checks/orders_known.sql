-- orders_known: every event and every fill is of one order that was submitted in its session or an earlier one.
with used as (
    select session, order_id, symbol from fills
    union all
    select session, order_id, null from order_events
)
select used.session, order_id, used.symbol, orders.symbol as order_symbol
from used
left join orders using (order_id)
where
    orders.order_id is null
    or orders.session > used.session
    or used.symbol <> orders.symbol
