-- signals: one row per request of the strategy, as it was made; the orders of its label and symbol are what became of it.
select
    session,
    timestamp,
    known_at,
    symbol,
    kind,
    unit,
    side,
    amount,
    order_type,
    limit_price,
    stop_price,
    rank,
    run_id
from stored_signals
