-- running_hours: a run over regular hours has no running row outside [open, close) and none in the break.
select session, symbol, timestamp, session_open, session_close, break_start, break_end
from running
join session_summary using (session, symbol)
cross join (select interval::interval as step, hours from runs) run
where
    run.hours = 'regular'
    and (
        timestamp < session_open
        or timestamp >= session_close
        or (timestamp >= break_start and timestamp < break_end)
    )
