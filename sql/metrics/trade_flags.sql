-- trade_flags: one row per trade: whether a fill inside it, of its symbol and from its entry to its exit, is flagged.
-- A fill that closes one trade and opens the next lies in both; a trade that is open has no exit.
select
    trades.trade_id,
    any_value(trades.symbol) as symbol,
    any_value(pnl) as pnl,
    any_value(is_open) as is_open,
    coalesce(bool_or(ambiguous), false) as is_ambiguous,
    coalesce(bool_or(gap_adjacent), false) as is_gap_adjacent,
    coalesce(bool_or(is_stale), false) as is_stale,
    coalesce(bool_or(is_defective), false) as is_defective,
    trades.run_id
from trades
left join fills
    on fills.symbol = trades.symbol
    and filled_at >= entered_at
    and filled_at <= case when is_open or exited_at is null then 'infinity'::timestamptz else exited_at end
group by trades.trade_id, trades.run_id
