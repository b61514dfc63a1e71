-- historical_before: a historical value looks back on sessions before its own, and on none without naming the first.
select session, key, symbol, first_session, last_session, sessions
from historical_indicators
where
    last_session >= session
    or first_session > last_session
    or (first_session is null) <> (sessions = 0)
    or (last_session is null) <> (sessions = 0)
