-- fills_restricted: no fill opens or grows a position in a symbol of the restricted list.
select session, fill_id, symbol, opened_quantity
from fills
join settings using (run_id)
where section = 'limits' and key = 'restricted' and symbol = value and opened_quantity > 0.0
