-- running_hours: a run over regular hours has no running row outside [open, close).
select session, symbol, timestamp, session_open, session_close
from running
join session_summary using (session, symbol)
cross join (select interval::interval as step, hours from runs) run
where run.hours = 'regular' and (timestamp < session_open or timestamp >= session_close)
