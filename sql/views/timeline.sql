-- timeline: one row per session, timestamp and symbol of running in regular hours, with the quality so far; known_at is its clock.
-- Bars missing so far are those of the gaps that ended before this bar.
with missing as (
    select
        session,
        symbol,
        last_missing,
        sum(missing_bars) over (partition by session, symbol order by last_missing)::integer as missing_bars
    from gaps
),
hours as (
    select
        session,
        symbol,
        session_open,
        session_close,
        coalesce(break_start, session_close) as pauses_at,
        coalesce(break_end, session_close) as resumes_at
    from session_summary
),
regular as (
    select
        running.*,
        running.timestamp + run.step as over_at,
        -- Extended hours go on after the close and in the break, which then cut no bar but a daily one.
        case
            when run.hours = 'extended' and run.interval <> '1d' then over_at
            when running.timestamp < pauses_at and run.interval <> '1d' then least(over_at, pauses_at)
            else least(over_at, session_close)
        end as known_at,
        case
            when run.interval = '1d' then 1
            else epoch_us(least(over_at, pauses_at) - session_open) // epoch_us(run.step)
                + greatest(epoch_us(least(over_at, session_close) - resumes_at), 0) // epoch_us(run.step)
        end::integer as expected_bars
    from running
    cross join (select interval, interval::interval as step, hours from runs) run
    join hours using (session, symbol)
    where
        (running.timestamp >= session_open and running.timestamp < pauses_at)
        or (running.timestamp >= resumes_at and running.timestamp < session_close)
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
    regular.expected_bars,
    coalesce(missing.missing_bars, 0) as missing_bars,
    100.0 * (expected_bars - coalesce(missing.missing_bars, 0)) / nullif(expected_bars, 0) as quality_pct,
    regular.run_id
from regular
asof left join missing
    on regular.session = missing.session
    and regular.symbol = missing.symbol
    and regular.timestamp >= missing.last_missing
