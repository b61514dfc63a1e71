-- trades: one row per trade, flat to flat, in the session it ended in, or the run's last if it is open; excursions also as fractions.
select
    session,
    trade_id,
    symbol,
    side,
    entered_at,
    exited_at,
    quantity,
    entry_price,
    exit_price,
    commission,
    pnl,
    return_frac,
    mae,
    mfe,
    bars_held,
    entry_fills,
    exit_fills,
    is_open,
    mae / (quantity * entry_price) as mae_frac,
    mfe / (quantity * entry_price) as mfe_frac,
    run_id
from stored_trades
