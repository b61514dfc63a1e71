-- historical_profile: a profile's slots lie inside regular hours, its values are volumes, and a value needs a session.
select session, key, symbol, timestamp, session_minute, value, sessions_used
from historical_profiles
join session_summary using (session, symbol)
where
    timestamp < session_open
    or timestamp >= session_close
    or session_minute < 0
    or session_minute > epoch_us(timestamp - session_open) // 60000000
    or sessions_used < 0
    or (sessions_used = 0 and value is not null)
    or value < 0
    or not isfinite(value)
