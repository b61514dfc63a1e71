-- running_bars: the bars of a session and symbol so far count 1, 2, 3 in time order, one row per timestamp.
select session, symbol, timestamp, running_bars, position
from (
    select
        session,
        symbol,
        timestamp,
        running_bars,
        row_number() over series as position,
        lag(timestamp) over series as earlier
    from running
    window series as (partition by session, symbol order by timestamp)
)
where running_bars <> position or earlier = timestamp
