-- summary_nulls: a session's prices and its first and last bar are all there or all null, and null only if it has no bar.
-- Bars in a break and a bar that the close cuts short are not counted, so some may be there though bars is 0.
select session, symbol, bars, pre_bars, post_bars, open, high, low, close, first_bar, last_bar, volume
from session_summary
cross join (select interval::interval as step, hours from runs) run
where
    (first_bar is null and bars > 0)
    or (first_bar is null and run.hours = 'extended' and pre_bars + post_bars > 0)
    or (
        first_bar is not null
        and bars = 0
        and run.hours = 'regular'
        and epoch_us(session_close - session_open) % epoch_us(run.step) = 0
    )
    or (last_bar is null) <> (first_bar is null)
    or (open is null) <> (first_bar is null)
    or (high is null) <> (first_bar is null)
    or (low is null) <> (first_bar is null)
    or (close is null) <> (first_bar is null)
    or (first_bar is null and volume <> 0)
