-- derived_apart: a derived bar begins when the one before it is known, or later: windows of one interval do not overlap.
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
where next_timestamp > timestamp and next_timestamp < known_at
