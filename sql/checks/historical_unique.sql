-- historical_unique: historical values are one per session, key and symbol, and profiles one per timestamp too.
select session, key, symbol, null as timestamp, count(*) as rows
from historical_indicators
group by session, key, symbol
having count(*) > 1
union all
select session, key, symbol, timestamp, count(*)
from historical_profiles
group by session, key, symbol, timestamp
having count(*) > 1
