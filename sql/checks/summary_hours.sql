-- summary_hours: open comes before close, alike for all symbols of a session; first and last bar are in order, inside regular hours.
select session, symbol, session_open, session_close, first_bar, last_bar
from session_summary
cross join (select interval::interval as step, hours from runs) run
where
    session_open >= session_close
    or abs(epoch_us(session_open) - epoch_us(session::timestamp)) > 86400000000
    or first_bar > last_bar
    or (run.hours = 'regular' and (first_bar < session_open or last_bar >= session_close))
    or (session, session_open, session_close) not in (
        select (session, min(session_open), min(session_close)) from session_summary group by session
    )
