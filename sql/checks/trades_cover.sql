-- trades_cover: every fill is of a trade, ended or open, or of a position that is open at the end of the run's last session.
with known as (
    select trade_id, symbol from trades
    union
    select trade_id, symbol from positions where session = (select max(session) from session_equity)
),
repeated as (
    select max(session) as session, trade_id, any_value(symbol) as symbol
    from trades
    group by trade_id
    having count(*) > 1
)
select session, trade_id, symbol, fill_id
from trade_fills
where (trade_id, symbol::varchar) not in (select (trade_id, symbol::varchar) from known)
union all
select session, trade_id, symbol, null from repeated
