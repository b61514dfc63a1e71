-- summary_quality: quality_pct is 100 x bars / expected bars.
select session, symbol, quality_pct, bars, expected_bars
from session_summary
where expected_bars > 0 and not abs(quality_pct - 100.0 * bars / expected_bars) <= 1e-12 * 100
