-- derived_generated: a symbol with bars has derived bars of every interval generated for it, and of no other.
with generated as (
    select session, symbol, interval
    from streams
    join session_summary using (session, symbol)
    where stream = 'GENERATED' and (bars > 0 or first_bar is not null)
),
derived as (select distinct session, symbol, interval from derived_bars)
select
    session,
    symbol,
    interval,
    case when derived.interval is null then 'no derived bar' else 'not generated' end as wrong
from generated
full join derived using (session, symbol, interval)
where generated.interval is null or derived.interval is null
