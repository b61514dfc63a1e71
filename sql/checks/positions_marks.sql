-- positions_marks: a position is marked at its symbol's last close of the session, where the session has a bar of it.
select session, symbol, mark_price, close
from positions
join session_summary using (session, symbol)
where close is not null and mark_price <> close
