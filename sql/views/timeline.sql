-- timeline: one row per session, timestamp and symbol of running inside [open, close), with the quality so far; known_at is its clock.
-- Bars missing so far are those of the gaps that ended before this bar, so breaks need no special care.
with missing as (
    select
        session,
        symbol,
        last_missing,
        sum(missing_bars) over (partition by session, symbol order by last_missing)::integer as missing_bars
    from gaps
),
regular as (
    select
        running.*,
        -- Extended hours go on after the close, which then cuts no bar but a daily one.
        case
            when run.hours = 'extended' and run.interval <> '1d' then running.timestamp + run.step
            else least(running.timestamp + run.step, summary.session_close)
        end as known_at,
        (running_bars - case when run.hours = 'extended' then summary.pre_bars else 0 end)::integer as bars
    from running
    cross join (select interval, interval::interval as step, hours from runs) run
    join session_summary summary using (session, symbol)
    where running.timestamp >= summary.session_open and running.timestamp < summary.session_close
)
select
    regular.session,
    regular.timestamp,
    regular.known_at,
    regular.symbol,
    regular.running_volume,
    regular.running_high,
    regular.running_low,
    regular.running_vwap,
    regular.running_bars,
    regular.bars + coalesce(missing.missing_bars, 0) as expected_bars,
    coalesce(missing.missing_bars, 0) as missing_bars,
    100.0 * regular.bars / (regular.bars + coalesce(missing.missing_bars, 0)) as quality_pct,
    regular.run_id
from regular
asof left join missing
    on regular.session = missing.session
    and regular.symbol = missing.symbol
    and regular.timestamp >= missing.last_missing
