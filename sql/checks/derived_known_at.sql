-- derived_known_at: a derived bar is known when its window ends, by the close if it expects bars; partial means a shorter window.
-- A daily bar is the whole session, 24 hours in name only.
with windows as (
    select derived_bars.*, epoch_us(known_at) - epoch_us(timestamp) as window_us from derived_bars
),
odd as (
    -- Reading an interval's text is the cost of this check, so it is done once for all windows alike.
    select interval, window_us, is_partial
    from (select distinct interval, window_us, is_partial from windows)
    where
        window_us <= 0
        or (
            interval <> '1d'
            and (
                window_us > epoch_us(interval::interval)
                or is_partial is distinct from (window_us < epoch_us(interval::interval))
            )
        )
)
select session, symbol, interval, timestamp, known_at, is_partial, session_open, session_close
from windows
join session_summary using (session, symbol)
where
    (windows.expected_bars > 0 and known_at > session_close)
    or (interval = '1d' and (timestamp <> session_open or known_at <> session_close or is_partial))
    or (interval, window_us, is_partial) in (from odd)
