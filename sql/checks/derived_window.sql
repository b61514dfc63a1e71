-- derived_window: a derived bar that expects bars expects as many as fit between its timestamp and known_at.
select session, symbol, interval, timestamp, known_at, expected_bars
from derived_bars
cross join (select interval::interval as step from runs) run
where
    expected_bars > 0
    and interval <> '1d'
    and expected_bars <> (epoch_us(known_at) - epoch_us(timestamp)) // epoch_us(run.step)
