-- selections: one row per change of what a scanner selects, from `known_at` to the session's end or until it is dropped.
select
    session,
    known_at,
    symbol,
    scanner,
    action,
    reason,
    run_id
from stored_selections
