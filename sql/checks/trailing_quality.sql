-- trailing_quality: a trailing session's quality_pct is 100 x bars / expected bars, at most 100.
select session, symbol, trailing_session, quality_pct, bars, expected_bars
from trailing_sessions
where
    bars < 0
    or bars > expected_bars
    or not quality_pct between 0 and 100
    or (expected_bars > 0 and not abs(quality_pct - 100.0 * bars / expected_bars) <= 1e-12 * 100)
