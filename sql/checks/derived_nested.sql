-- derived_nested: a derived bar of a wide interval merges the narrower ones inside it: their bars, highest high, lowest low.
-- A daily bar over extended hours begins before its own label, so it is left to derived_prices and derived_counts.
with widths as (select distinct interval, epoch_us(interval::interval) as width_us from derived_bars),
pairs as (
    select narrow.interval as narrow, wide.interval as wide
    from widths narrow
    join widths wide on wide.width_us > narrow.width_us and wide.width_us % narrow.width_us = 0
    where wide.interval <> '1d' or (select hours from runs) = 'regular'
),
narrow as (
    select derived_bars.*, pairs.wide from derived_bars join pairs on derived_bars.interval = pairs.narrow
),
merged as (
    select
        wide.session,
        wide.symbol,
        wide.interval,
        wide.timestamp,
        narrow.interval as narrower,
        sum(narrow.bars) as bars,
        max(narrow.high) as high,
        min(narrow.low) as low,
        any_value(wide.bars) as wide_bars,
        any_value(wide.high) as wide_high,
        any_value(wide.low) as wide_low
    from narrow
    asof join derived_bars wide
        on wide.session = narrow.session
        and wide.symbol = narrow.symbol
        and wide.interval = narrow.wide
        and wide.timestamp <= narrow.timestamp
    group by all
)
select session, symbol, interval, timestamp, narrower, bars, wide_bars, high, wide_high, low, wide_low
from merged
where bars <> wide_bars or high <> wide_high or low <> wide_low
