-- derived_known_at: a derived bar is known when its window ends, by the close if it expects bars; partial means a shorter window.
select session, symbol, interval, timestamp, known_at, is_partial, session_open, session_close
from derived_bars
join session_summary using (session, symbol)
where
    known_at <= timestamp
    or (derived_bars.expected_bars > 0 and known_at > session_close)
    -- A daily bar is the whole session, 24 hours in name only.
    or (interval = '1d' and (timestamp <> session_open or known_at <> session_close or is_partial))
    or (interval <> '1d' and known_at - timestamp > interval::interval)
    or (interval <> '1d' and is_partial is distinct from (known_at - timestamp < interval::interval))
