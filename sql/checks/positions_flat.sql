-- positions_flat: with flat_by no position is held overnight, and nothing is opened from its time on to the session's close.
select session, symbol, quantity, null as fill_id
from positions
where (select flat_by from execution_settings) is not null
union all
select session, symbol, opened_quantity, fill_id
from fills
join session_summary using (session, symbol, run_id)
join execution_settings using (run_id)
where
    flat_by is not null
    and opened_quantity > 0.0
    and timestamp >= session_close - to_seconds(flat_by_seconds)
    and timestamp > session_open
