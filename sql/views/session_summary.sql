-- session_summary: one row per session and symbol; prices are null without a bar, vwap without volume, quality_pct is 0 to 100.
select
    session,
    symbol,
    open,
    high,
    low,
    close,
    volume,
    vwap,
    bars,
    expected_bars,
    missing_bars,
    longest_gap_bars,
    quality_pct,
    first_bar,
    last_bar,
    pre_bars,
    post_bars,
    post_volume,
    session_open,
    session_close,
    run_id
from stored_session_summary
