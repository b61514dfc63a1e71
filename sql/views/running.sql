-- running: one row per session, timestamp and symbol: session to date with this bar included; null vwap before any volume.
select
    session,
    timestamp,
    symbol,
    running_volume,
    running_high,
    running_low,
    case when isnan(running_vwap) then null else running_vwap end as running_vwap,
    running_bars,
    run_id
from stored_running
