-- gap_profile: one row per minute of the session and kind of gap: how many bars were missing there over all sessions and symbols.
-- A gap that spans a break of the exchange is left out: its table row does not say where the break lies.
with spans as (
    select
        gaps.kind,
        gaps.first_missing - summary.session_open as first_after,
        gaps.last_missing - summary.session_open as last_after,
        run.step,
        gaps.run_id,
        count(*) as gaps
    from gaps
    join session_summary summary using (session, symbol)
    cross join (select interval::interval as step from runs) run
    where gaps.last_missing = gaps.first_missing + (gaps.missing_bars - 1) * run.step
    group by all
),
labels as (
    select
        kind,
        gaps,
        run_id,
        unnest(generate_series(
            epoch_us(first_after), epoch_us(last_after), epoch_us(step)
        )) // 60000000 as session_minute
    from spans
)
select session_minute, kind, sum(gaps)::bigint as missing_bars, run_id from labels group by session_minute, kind, run_id
