-- indicators_known: a bar's indicators are known when it is over: after its start, and in regular hours by the close.
select indicators.session, interval, symbol, timestamp, known_at
from indicators
cross join (select hours from runs) run
left join session_summary using (session, symbol)
where known_at <= timestamp or session_close is null or (run.hours = 'regular' and known_at > session_close)
