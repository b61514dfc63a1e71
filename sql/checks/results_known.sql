-- results_known: every symbol with derived bars, gaps or running rows has a session summary.
select distinct session, symbol, 'derived_bars' as found_in
from derived_bars
anti join session_summary using (session, symbol)
union all
select distinct session, symbol, 'gaps' from gaps anti join session_summary using (session, symbol)
union all
select distinct session, symbol, 'running' from running anti join session_summary using (session, symbol)
