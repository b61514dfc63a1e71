-- orders_filled: the fills of an order have its side and are no more than it asked for, to 1e-9.
select
    max(fills.session) as session,
    order_id,
    any_value(orders.quantity) as ordered_quantity,
    sum(fills.quantity) as filled_quantity
from fills
join orders using (run_id, order_id)
group by run_id, order_id
having sum(fills.quantity) > any_value(orders.quantity) * (1.0 + 1e-9) or bool_or(fills.side <> orders.side)
