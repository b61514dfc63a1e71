-- trailing_sessions: one row per session, symbol and session before it that it looks back on; quality_pct is 0 to 100.
select session, trailing_session, symbol, bars, expected_bars, quality_pct, run_id from stored_trailing
