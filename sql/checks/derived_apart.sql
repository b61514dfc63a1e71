-- derived_apart: a derived bar begins when the one before it is known, or later: windows of one interval do not overlap.
-- In extended hours the one before may end with a source bar that reaches into the next window.
select session, symbol, interval, timestamp, known_at, next_timestamp
from (
    select
        session,
        symbol,
        interval,
        timestamp,
        known_at,
        lead(timestamp) over (partition by session, symbol, interval order by timestamp) as next_timestamp
    from derived_bars
)
cross join (select case hours when 'extended' then interval::interval else interval 0 minute end as step from runs) run
where next_timestamp > timestamp and next_timestamp < known_at and next_timestamp <= known_at - run.step
