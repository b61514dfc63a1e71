-- running_monotone: within a session volume and high never fall, and low never rises.
select session, symbol, timestamp, running_volume, volume_before, running_high, high_before, running_low, low_before
from (
    select
        session,
        symbol,
        timestamp,
        running_volume,
        running_high,
        running_low,
        lag(running_volume) over series as volume_before,
        lag(running_high) over series as high_before,
        lag(running_low) over series as low_before
    from running
    window series as (partition by session, symbol order by timestamp)
)
where running_volume < volume_before or running_high < high_before or running_low > low_before
