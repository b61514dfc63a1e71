-- trailing_before: a trailing session lies before the session that looks back on it.
select session, symbol, trailing_session from trailing_sessions where trailing_session >= session
