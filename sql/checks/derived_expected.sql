-- derived_expected: a derived bar holds at least one source bar, and no more than expected where it expects any.
-- A bar that the close cuts short is in a derived bar but never expected; so is, in a daily bar, one outside hours.
select session, symbol, interval, timestamp, derived_bars.bars, derived_bars.expected_bars
from derived_bars
join session_summary using (session, symbol)
cross join (select interval::interval as step, hours from runs) run
where
    derived_bars.bars < 1
    or derived_bars.expected_bars < 0
    or (
        derived_bars.expected_bars > 0
        and derived_bars.bars > derived_bars.expected_bars
        and epoch_us(session_close - session_open) % epoch_us(run.step) = 0
        and not (interval = '1d' and run.hours = 'extended')
    )
