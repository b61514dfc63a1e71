-- running_end: where running is kept, a symbol's last row is its session summary, and a symbol without bars has no row.
with last as (
    select
        session,
        symbol,
        arg_max(running_volume, timestamp) as volume,
        arg_max(running_high, timestamp) as high,
        arg_max(running_low, timestamp) as low,
        arg_max({vwap: running_vwap}, timestamp).vwap as vwap,
        arg_max(running_bars, timestamp) as bars,
        max(timestamp) as last_bar
    from running
    group by session, symbol
)
select
    session,
    symbol,
    last.volume as running_volume,
    summary.volume,
    last.high as running_high,
    summary.high,
    last.low as running_low,
    summary.low,
    last.vwap as running_vwap,
    summary.vwap,
    last.bars as running_bars,
    summary.bars
from session_summary summary
full join last using (session, symbol)
cross join (select interval::interval as step, hours from runs) run
where
    session in (select session from last)
    and (
        coalesce(last.volume, 0) is distinct from summary.volume
        or last.high is distinct from summary.high
        or last.low is distinct from summary.low
        or last.vwap is distinct from summary.vwap
        or last.last_bar is distinct from summary.last_bar
        or coalesce(last.bars, 0) < summary.bars
        -- More than the expected bars: those outside regular hours, and one that the close cuts short.
        or (
            coalesce(last.bars, 0) > summary.bars
            and run.hours = 'regular'
            and epoch_us(session_close - session_open) % epoch_us(run.step) = 0
        )
    )
