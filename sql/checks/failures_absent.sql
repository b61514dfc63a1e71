-- failures_absent: a symbol that failed in a session has no row in that session's results, and fails once.
select session, symbol, 'session_summary' as found_in from session_summary semi join failures using (session, symbol)
union all
select distinct session, symbol, 'derived_bars' from derived_bars semi join failures using (session, symbol)
union all
select distinct session, symbol, 'gaps' from gaps semi join failures using (session, symbol)
union all
select distinct session, symbol, 'running' from running semi join failures using (session, symbol)
union all
select session, symbol, 'failures, ' || count(*) || ' times' from failures group by session, symbol having count(*) > 1
