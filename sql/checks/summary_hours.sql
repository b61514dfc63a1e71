-- summary_hours: open comes before close and the break between them, alike for all symbols; first and last bar are in order.
-- In regular hours both lie inside [open, close) and outside the break.
select session, symbol, session_open, session_close, break_start, break_end, first_bar, last_bar
from session_summary
cross join (select interval::interval as step, hours from runs) run
where
    session_open >= session_close
    or abs(epoch_us(session_open) - epoch_us(session::timestamp)) > 86400000000
    or (break_start is null) <> (break_end is null)
    or not (session_open < break_start and break_start < break_end and break_end < session_close)
    or first_bar > last_bar
    or (
        run.hours = 'regular'
        and (
            first_bar < session_open
            or last_bar >= session_close
            or (first_bar >= break_start and first_bar < break_end)
            or (last_bar >= break_start and last_bar < break_end)
        )
    )
    or (session, session_open, session_close) not in (
        select (session, min(session_open), min(session_close)) from session_summary group by session
    )
    or (break_start is not null and (session, break_start, break_end) not in (
        select (session, min(break_start), min(break_end)) from session_summary group by session
    ))
