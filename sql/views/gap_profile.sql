-- gap_profile: one row per minute of the session and kind of gap: how many bars were missing there over all sessions and symbols.
-- Minutes are those of the clock since the open; a gap that spans a break has no bar missing in it.
with spans as (
    select
        gaps.kind,
        gaps.first_missing - summary.session_open as first_after,
        gaps.last_missing - summary.session_open as last_after,
        summary.break_start - summary.session_open as break_after,
        summary.break_end - summary.session_open as resumed_after,
        run.step,
        gaps.run_id,
        count(*) as gaps
    from gaps
    join session_summary summary using (session, symbol)
    cross join (select interval::interval as step from runs) run
    group by all
),
stretches as (
    -- The bars missing before the break, then those from its end on: each side counts from its own start.
    select
        kind,
        gaps,
        run_id,
        step,
        first_after,
        case when last_after >= break_after then break_after - step else last_after end as last_after
    from spans
    where break_after is null or first_after < break_after
    union all
    select kind, gaps, run_id, step, greatest(first_after, resumed_after), last_after
    from spans
    where last_after >= resumed_after
),
labels as (
    select
        kind,
        gaps,
        run_id,
        unnest(generate_series(
            epoch_us(first_after), epoch_us(last_after), epoch_us(step)
        )) // 60000000 as session_minute
    from stretches
)
select session_minute, kind, sum(gaps)::bigint as missing_bars, run_id from labels group by session_minute, kind, run_id
