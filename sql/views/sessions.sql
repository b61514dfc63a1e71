-- sessions: one row per session over all its symbols; quality_pct weighs every expected bar alike, session_bars is a full symbol's count.
select
    session,
    min(session_open) as session_open,
    max(session_close) as session_close,
    min(break_start) as break_start,
    max(break_end) as break_end,
    max(expected_bars) as session_bars,
    count(*) as symbols,
    count(*) filter (missing_bars = 0) as complete_symbols,
    count(*) filter (first_bar is null) as silent_symbols,
    sum(bars)::bigint as bars,
    sum(expected_bars)::bigint as expected_bars,
    sum(missing_bars)::bigint as missing_bars,
    case when sum(expected_bars) > 0 then 100.0 * sum(bars) / sum(expected_bars) end as quality_pct,
    run_id
from session_summary
group by session, run_id
