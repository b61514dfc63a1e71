-- streams_unique: streams has one row per session, symbol and interval.
select session, symbol, interval, count(*) as rows from streams group by session, symbol, interval having count(*) > 1
