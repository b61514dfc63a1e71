-- derived_labels: a derived bar that expects bars begins inside regular hours, on the grid of the source bars.
select session, symbol, interval, timestamp, derived_bars.expected_bars, session_open, session_close
from derived_bars
join session_summary using (session, symbol)
cross join (select interval::interval as step from runs) run
where
    derived_bars.expected_bars > 0
    and (
        timestamp < session_open
        or timestamp >= session_close
        or (timestamp >= break_start and timestamp < break_end)
        or (epoch_us(timestamp) - epoch_us(session_open)) % epoch_us(run.step) <> 0
    )
