-- selections_values: a selection is made before the session's close and of a symbol of the session.
select selections.session, selections.known_at, selections.symbol, scanner, action
from selections
left join session_summary
    on selections.session = session_summary.session and selections.symbol = session_summary.symbol
where
    session_close is null
    or selections.known_at >= session_close
    or selections.known_at < session_open - interval 1 day
    or action not in ('selected', 'dropped')
