"""The tables of the ledger: what a strategy asked for, what became of it, and what the account was worth.

Quantities are in units and never negative where a side stands beside them (+1 buys, -1 sells); money is in quote
currency, and costs are positive. `timestamp` is the label of the bar, `_at` a moment: the label where it happened at
the open, else the instant the bar is known. Numbers that count orders, events, fills and trades count from 0 over the
whole run. No float is NaN: a price that is not there is null.
"""

from __future__ import annotations

import pyarrow as pa

from backtester.schema.fields import INSTANT, SYMBOL, required

# One row per request as the strategy made it, sorted by (timestamp, rank descending, symbol). timestamp is the label
# whose bars decided it, known_at the moment. kind: target, enter, exit, order, cancel.
SIGNALS = pa.schema(
    [
        required("timestamp", INSTANT),
        required("known_at", INSTANT),
        required("symbol", SYMBOL),
        required("kind", SYMBOL),
        pa.field("unit", SYMBOL),  # null where the request has no amount of its own, as amount
        required("side", pa.int8()),  # 0 where the kind has none
        pa.field("amount", pa.float64()),
        pa.field("order_type", SYMBOL),  # null for exit and cancel
        pa.field("limit_price", pa.float64()),  # null without a limit
        pa.field("stop_price", pa.float64()),  # null without a stop
        required("rank", pa.float64()),
    ]
)

# One row per order submitted in this session, sorted by order_id; an order is never changed, only its events go on.
# role: entry, exit, target, order, stop_loss, take_profit, trail, timer, flat_by, margin_call, daily_loss, end.
ORDERS = pa.schema(
    [
        required("order_id", pa.int64()),
        required("timestamp", INSTANT),  # the label it was decided on; of a leg, that of the entry's fill
        required("submitted_at", INSTANT),
        required("symbol", SYMBOL),
        required("side", pa.int8()),
        required("order_type", SYMBOL),
        required("tif", SYMBOL),
        pa.field("until", INSTANT),  # null unless tif is gtd
        pa.field("quantity", pa.float64()),  # null where it is sized when it fills, or closes whatever is held
        pa.field("limit_price", pa.float64()),  # null without a limit
        pa.field("stop_price", pa.float64()),  # null without a stop, and while a trailing stop has none
        pa.field("trail", pa.float64()),  # null unless it trails
        required("trail_is_frac", pa.bool_()),
        required("role", SYMBOL),
        pa.field("parent_id", pa.int64()),  # null unless it is a leg: the entry's order_id
        pa.field("oco_group", pa.int64()),  # null without a group
    ]
)

# One row per step in the life of an order, sorted by (order_id, seq): also of orders of earlier sessions. seq counts
# the order's events from 0. event: submitted, accepted, triggered, partially_filled, filled, cancelled, expired,
# rejected, replaced; the last five end the order.
ORDER_EVENTS = pa.schema(
    [
        required("order_id", pa.int64()),
        required("seq", pa.int32()),
        required("timestamp", INSTANT),
        required("happened_at", INSTANT),
        required("event", SYMBOL),
        pa.field("quantity", pa.float64()),  # filled by this event; null unless it is a fill
        pa.field("price", pa.float64()),  # null unless it is a fill
        pa.field("reason", SYMBOL),  # null unless it was cancelled, expired, rejected or replaced
    ]
)

# One row per fill, sorted by fill_id. trade_id is the trade the fill opens, changes or ends; a fill that reverses a
# position ends the symbol's trade before it too. reference_price is the price before slippage, spread and rounding.
# bar_*: the bar that gave the price; null where the label had none, as when a position is closed at its mark.
FILLS = pa.schema(
    [
        required("fill_id", pa.int64()),
        required("order_id", pa.int64()),
        required("trade_id", pa.int64()),
        required("symbol", SYMBOL),
        required("timestamp", INSTANT),
        required("filled_at", INSTANT),
        required("side", pa.int8()),
        required("quantity", pa.float64()),
        required("price", pa.float64()),
        required("reference_price", pa.float64()),
        required("commission", pa.float64()),
        required("slippage", pa.float64()),  # money lost to it: side x quantity x (price - reference_price)
        required("rule", SYMBOL),  # which of the rules of docs/execution.md made the price
        required("ambiguous", pa.bool_()),
        required("worst_price", pa.float64()),  # the price itself unless ambiguous, as best_price
        required("best_price", pa.float64()),
        required("gap_adjacent", pa.bool_()),
        required("is_stale", pa.bool_()),
        required("is_defective", pa.bool_()),
        required("realized_pnl", pa.float64()),  # of the units it closes, before commission
        required("position_after", pa.float64()),  # signed
        required("cash_after", pa.float64()),
        pa.field("bar_open", pa.float64()),
        pa.field("bar_high", pa.float64()),
        pa.field("bar_low", pa.float64()),
        pa.field("bar_close", pa.float64()),
        pa.field("bar_volume", pa.float64()),
    ]
)

# One row per trade, flat to flat, sorted by trade_id; in the session it ends in. The run's last session also holds
# those still open, at their mark. Prices are averages over the units; pnl is after commission. mae and mfe are the
# worst (0 or negative) and the best (0 or positive) unrealised P&L by bars' lows and highs, before commission.
TRADES = pa.schema(
    [
        required("trade_id", pa.int64()),
        required("symbol", SYMBOL),
        required("side", pa.int8()),
        required("entered_at", INSTANT),
        pa.field("exited_at", INSTANT),  # null while open
        required("quantity", pa.float64()),  # the most that was held
        required("entry_price", pa.float64()),
        pa.field("exit_price", pa.float64()),  # null before a first exit
        required("commission", pa.float64()),  # of a fill that reverses, the part of the units that are the trade's
        required("pnl", pa.float64()),
        required("return_frac", pa.float64()),  # pnl over what its entries cost: the sum of quantity x price
        required("mae", pa.float64()),
        required("mfe", pa.float64()),
        required("bars_held", pa.int32()),
        required("entry_fills", pa.int32()),
        required("exit_fills", pa.int32()),
        required("is_open", pa.bool_()),
    ]
)

# One row per open position at the session's end, sorted by symbol. quantity and value are signed.
POSITIONS = pa.schema(
    [
        required("symbol", SYMBOL),
        required("quantity", pa.float64()),
        required("average_price", pa.float64()),
        required("mark_price", pa.float64()),
        required("value", pa.float64()),
        required("unrealized_pnl", pa.float64()),
        required("trade_id", pa.int64()),
        required("since", INSTANT),  # the trade's first fill
    ]
)

# One row per label, at its end: cash, cash plus every position at its mark, and the positions' values summed.
EQUITY = pa.schema(
    [
        required("timestamp", INSTANT),
        required("known_at", INSTANT),
        required("cash", pa.float64()),
        required("equity", pa.float64()),
        required("gross_exposure", pa.float64()),
        required("net_exposure", pa.float64()),
        required("open_positions", pa.int32()),
    ]
)

# One row: the session at its end. start_equity is that of the session before, or the capital: before carrying costs.
SESSION_EQUITY = pa.schema(
    [
        required("start_equity", pa.float64()),
        required("equity", pa.float64()),
        required("cash", pa.float64()),
        required("fees", pa.float64()),  # commissions
        required("interest", pa.float64()),  # what cash earned; negative where it was paid
        required("borrow", pa.float64()),  # what short positions cost
        required("turnover", pa.float64()),  # traded notional
        required("realized_pnl", pa.float64()),  # of the units closed, before commission
    ]
)

# In the order they are written.
LEDGER_TABLES = {
    "signals": SIGNALS,
    "orders": ORDERS,
    "order_events": ORDER_EVENTS,
    "fills": FILLS,
    "trades": TRADES,
    "positions": POSITIONS,
    "equity": EQUITY,
    "session_equity": SESSION_EQUITY,
}
