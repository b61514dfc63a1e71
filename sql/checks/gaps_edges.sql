-- gaps_edges: over regular hours an opening gap means a late first bar, a closing gap an early last bar, and the other way round.
select
    summary.session,
    summary.symbol,
    session_open,
    first_bar,
    opening.last_missing as opening_ends,
    last_bar,
    closing.first_missing as closing_begins
from session_summary summary
cross join (select interval::interval as step, hours from runs) run
left join gaps opening
    on opening.session = summary.session and opening.symbol = summary.symbol and opening.kind = 'opening'
left join gaps closing
    on closing.session = summary.session and closing.symbol = summary.symbol and closing.kind = 'closing'
where
    run.hours = 'regular'
    and summary.bars > 0
    -- A bar that the close cuts short lies after the last expected one.
    and epoch_us(session_close - session_open) % epoch_us(run.step) = 0
    and (
        (opening.symbol is null) <> (first_bar = session_open)
        or opening.last_missing >= first_bar
        or (closing.symbol is null) <> (last_bar + 2 * run.step > session_close)
        or closing.first_missing <= last_bar
    )
