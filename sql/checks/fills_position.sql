-- fills_position: a fill moves the position the symbol's fill before it left in the session by its quantity, to 1e-9 of it.
with steps as (
    select
        session,
        fill_id,
        symbol,
        lag(position_after) over (partition by session, symbol order by fill_id) as position_before,
        side * quantity as change,
        position_after
    from fills
)
select session, fill_id, symbol, position_before, change, position_after
from steps
where abs(position_after - (position_before + change)) > 1e-9 * (abs(position_before) + abs(change))
