-- derived_window: a derived bar that expects bars expects as many as fit between its timestamp and its end, the break or the close.
select session, symbol, interval, timestamp, known_at, derived_bars.expected_bars
from derived_bars
join session_summary using (session, symbol)
cross join (select interval::interval as step from runs) run
where
    derived_bars.expected_bars > 0
    and interval <> '1d'
    and derived_bars.expected_bars
        <> epoch_us(least(known_at, if(timestamp < break_start, break_start, session_close)) - timestamp)
            // epoch_us(run.step)
