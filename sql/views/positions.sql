-- positions: one row per session and symbol with an open position at its end; quantity and value are signed.
select session, symbol, quantity, average_price, mark_price, value, unrealized_pnl, trade_id, since, run_id
from stored_positions
