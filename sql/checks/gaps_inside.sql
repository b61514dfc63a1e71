-- gaps_inside: a gap begins and ends on labels inside [open, close) and holds as many bars as lie between, fewer only over a break.
with sized as (
    select
        gaps.*,
        summary.session_open,
        summary.session_close,
        epoch_us(run.step) as step_us,
        -- Without a break the expected bars fill the session, but for a remainder shorter than a bar.
        epoch_us(session_close - session_open) // step_us > summary.expected_bars as has_break,
        epoch_us(last_missing - first_missing) // step_us + 1 as labels
    from gaps
    join session_summary summary using (session, symbol)
    cross join (select interval::interval as step, hours from runs) run
)
select session, symbol, kind, first_missing, last_missing, missing_bars, labels, session_open, session_close
from sized
where
    first_missing < session_open
    or last_missing >= session_close
    or missing_bars < 1
    or missing_bars > labels
    or (missing_bars < labels and not has_break)
    or epoch_us(first_missing - session_open) % step_us <> 0
    or epoch_us(last_missing - session_open) % step_us <> 0
