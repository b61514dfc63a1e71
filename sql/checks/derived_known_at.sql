-- derived_known_at: a derived bar is known when its window ends, in regular hours by the close; partial means a shorter window.
-- A daily bar is the whole session, 24 hours in name only; over extended hours it is known when those are over.
-- In extended hours a source bar that begins before its window ends, and is over later, keeps the window open.
with windows as (
    select
        derived_bars.*,
        epoch_us(known_at) - epoch_us(timestamp) as window_us,
        run.step,
        run.hours = 'extended' as is_extended,
        case when is_extended then epoch_us(run.step) - 1 else 0 end as later_us
    from derived_bars
    cross join (select interval::interval as step, hours from runs) run
),
odd as (
    -- Reading an interval's text is the cost of this check, so it is done once for all windows alike.
    select interval, window_us, is_partial
    from (select distinct interval, window_us, later_us, is_partial from windows)
    where
        window_us <= 0
        or (
            interval <> '1d'
            and (
                window_us > epoch_us(interval::interval) + later_us
                or (window_us < epoch_us(interval::interval) and not is_partial)
                or (window_us >= epoch_us(interval::interval) + later_us and is_partial)
            )
        )
),
daily as (select session, min(known_at) as known_at from derived_bars where interval = '1d' group by session)
select session, symbol, interval, timestamp, windows.known_at, is_partial, session_open, session_close
from windows
join session_summary using (session, symbol)
left join daily using (session)
where
    (interval, window_us, is_partial) in (from odd)
    or (
        interval <> '1d'
        and windows.expected_bars > 0
        and epoch_us(windows.known_at) > epoch_us(session_close) + later_us
    )
    or (
        interval = '1d'
        and (
            timestamp <> session_open
            or is_partial
            or windows.known_at <> daily.known_at
            or windows.known_at < session_close
            or windows.known_at <> session_close and not is_extended
            or windows.known_at < last_bar + step and is_extended
        )
    )
