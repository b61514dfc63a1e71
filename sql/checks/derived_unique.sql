-- derived_unique: derived bars are one per session, symbol, interval and timestamp.
select session, symbol, interval, timestamp, count(*) as rows
from derived_bars
group by session, symbol, interval, timestamp
having count(*) > 1
