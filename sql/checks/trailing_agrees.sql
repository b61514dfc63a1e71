-- trailing_agrees: a trailing session that the run itself covers has the bars its own session summary says.
select
    looked_back.session,
    symbol,
    trailing_session,
    looked_back.bars,
    summary.bars as summary_bars,
    looked_back.expected_bars,
    summary.expected_bars as summary_expected_bars
from trailing_sessions looked_back
join session_summary summary using (symbol)
where
    summary.session = trailing_session
    and (looked_back.bars <> summary.bars or looked_back.expected_bars <> summary.expected_bars)
