-- gaps_inside: a gap begins and ends on labels inside regular hours and holds as many bars as lie between, a break taken out.
with sized as (
    select
        gaps.*,
        summary.session_open,
        summary.session_close,
        summary.break_start,
        summary.break_end,
        epoch_us(run.step) as step_us,
        case
            when first_missing < break_start and last_missing >= break_end
                then epoch_us(break_start - first_missing) // step_us
                    + epoch_us(last_missing - break_end) // step_us
                    + 1
            else epoch_us(last_missing - first_missing) // step_us + 1
        end as labels
    from gaps
    join session_summary summary using (session, symbol)
    cross join (select interval::interval as step from runs) run
)
select session, symbol, kind, first_missing, last_missing, missing_bars, labels, session_open, session_close
from sized
where
    first_missing < session_open
    or last_missing >= session_close
    or (first_missing >= break_start and first_missing < break_end)
    or (last_missing >= break_start and last_missing < break_end)
    or missing_bars < 1
    or missing_bars <> labels
    or epoch_us(first_missing - session_open) % step_us <> 0
    or epoch_us(last_missing - session_open) % step_us <> 0
