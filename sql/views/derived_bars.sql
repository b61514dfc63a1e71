-- derived_bars: one row per session, interval, timestamp and symbol; timestamp is the window's start, bars of expected_bars were there.
select
    session,
    interval,
    timestamp,
    known_at,
    symbol,
    open,
    high,
    low,
    close,
    volume,
    bars,
    expected_bars,
    is_partial,
    run_id
from stored_derived_bars
