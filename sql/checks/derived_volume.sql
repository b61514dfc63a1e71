-- derived_volume: a symbol's derived bars of one interval add up to its session volume.
-- Whole volumes agree exactly. A fractional sum rounds once a bar, and the two sums add in another order, so they may
-- differ by 2^-52 a bar; fsum adds nothing of its own. Two whole sums within that bound are equal anyway.
with derived as (
    select
        session,
        symbol,
        interval,
        fsum(volume) as volume,
        bool_and(volume = trunc(volume)) as is_whole,
        sum(bars) as bars
    from derived_bars
    group by session, symbol, interval
)
select session, symbol, interval, derived.volume as derived_volume, summary.volume as session_volume
from derived
join session_summary summary using (session, symbol)
where
    derived.volume is distinct from summary.volume
    and (
        (derived.is_whole and summary.volume = trunc(summary.volume))
        or not abs(derived.volume - summary.volume) <= summary.volume * (derived.bars + 8) * 2.3e-16
    )
