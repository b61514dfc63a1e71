-- failures_absent: a symbol that failed to load in a session has no row in that session's results, and fails once a phase.
-- One whose past could not be read (phase history) is computed all the same, with what is left of its windows.
with absent as (select session, symbol from failures where phase <> 'history')
select session, symbol, 'session_summary' as found_in from session_summary semi join absent using (session, symbol)
union all
select distinct session, symbol, 'derived_bars' from derived_bars semi join absent using (session, symbol)
union all
select distinct session, symbol, 'gaps' from gaps semi join absent using (session, symbol)
union all
select distinct session, symbol, 'running' from running semi join absent using (session, symbol)
union all
select session, symbol, 'failures, ' || count(*) || ' times'
from failures
where phase <> 'history'
group by session, symbol
having count(*) > 1
