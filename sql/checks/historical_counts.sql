-- historical_counts: no more periods took part than were asked for, no more sessions than there are, and a value needs one.
select session, key, symbol, value, window_periods, used, sessions, sessions_used, sessions_with_gaps
from historical_indicators
where
    used not between 0 and window_periods
    or sessions_used not between 0 and sessions
    or sessions_with_gaps not between 0 and sessions_used
    or (used = 0 and value is not null)
    or not isfinite(value)
