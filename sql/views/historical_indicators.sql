-- historical_indicators: one row per session, symbol and value known before the open; value is null where nothing took part.
select
    session,
    key,
    indicator,
    symbol,
    value,
    unit,
    window_periods,
    used,
    source,
    first_session,
    last_session,
    sessions,
    sessions_used,
    sessions_with_gaps,
    run_id
from stored_historical_indicators
