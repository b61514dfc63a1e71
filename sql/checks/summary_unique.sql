-- summary_unique: the session summary has one row per session and symbol.
select session, symbol, count(*) as rows from session_summary group by session, symbol having count(*) > 1
