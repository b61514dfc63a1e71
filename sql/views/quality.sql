-- quality: one row per symbol over the whole run; quality_pct weighs every expected bar alike, worst_session is the first of its worst.
select
    symbol,
    count(*) as sessions,
    sum(bars)::bigint as bars,
    sum(expected_bars)::bigint as expected_bars,
    sum(missing_bars)::bigint as missing_bars,
    case when sum(expected_bars) > 0 then 100.0 * sum(bars) / sum(expected_bars) end as quality_pct,
    arg_min(session, (quality_pct, session)) as worst_session,
    min(quality_pct) as worst_quality_pct,
    max(longest_gap_bars) as longest_gap_bars,
    count(*) filter (missing_bars = 0) as complete_sessions,
    run_id
from session_summary
group by symbol, run_id
