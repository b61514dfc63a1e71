-- positions_carried: a position is that of the session before plus the session's fills, to 1e-9 of them; no other comes or goes.
with days as (
    select session, lag(session) over (order by session) as session_before from session_equity
),
parts as (
    select session, symbol, -quantity as quantity, 0.0 as moved from positions
    union all
    select days.session, symbol, quantity, abs(quantity)
    from positions
    join days on positions.session = days.session_before
    union all
    select session, symbol, side * quantity, quantity from fills
)
select session, symbol, sum(quantity) as missing_quantity
from parts
group by session, symbol
having abs(sum(quantity)) > 1e-9 * sum(moved)
