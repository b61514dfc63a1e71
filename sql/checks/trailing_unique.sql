-- trailing_unique: trailing sessions are one per session, symbol and trailing session.
select session, symbol, trailing_session, count(*) as rows
from trailing_sessions
group by session, symbol, trailing_session
having count(*) > 1
