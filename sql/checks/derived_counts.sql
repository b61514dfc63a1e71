-- derived_counts: the source bars inside a symbol's derived bars of one interval add up to its session's bars.
-- A bar that the close cuts short is in a derived bar but never expected: a session that is no whole number of bars may
-- have one, at its break another. A daily bar over extended hours holds those too.
select
    session,
    symbol,
    interval,
    sum(derived_bars.bars) as derived_bars,
    any_value(summary.bars) as session_bars
from derived_bars
join session_summary summary using (session, symbol)
cross join (select interval::interval as step, hours from runs) run
where derived_bars.expected_bars > 0
group by session, symbol, interval
having
    sum(derived_bars.bars) < any_value(summary.bars)
    or (
        sum(derived_bars.bars) > any_value(summary.bars)
        and any_value(epoch_us(session_close - session_open) % epoch_us(run.step)) = 0
        and not (interval = '1d' and any_value(run.hours) = 'extended')
    )
