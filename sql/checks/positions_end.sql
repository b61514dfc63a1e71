-- positions_end: what a symbol's last fill of the session left is its position at the session's end, and none if that is 0.
with last_fills as (
    select session, symbol, arg_max(position_after, fill_id) as position_after from fills group by session, symbol
)
select session, symbol, position_after, quantity
from last_fills
left join positions using (session, symbol)
where position_after <> coalesce(quantity, 0.0)
