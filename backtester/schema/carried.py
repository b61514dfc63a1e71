"""The tables a session hands to the next: the account between two labels, column by column as kernels/state.py has it.

A float is null where the ledger has no value yet. Numbers of labels and sessions count from the run's start.
"""

from __future__ import annotations

import pyarrow as pa

from backtester.schema.fields import SYMBOL, required

ACCOUNT_FLOATS = (
    *("cash", "session_start", "opened_at", "fees", "interest", "borrow", "turnover", "realized", "month_units"),
)
ACCOUNT_COUNTS = (
    *("next_order", "next_fill", "next_trade", "live", "held", "shorts", "labels", "sessions", "halted", "cut"),
    *("month", "request", "free_lot", "legs"),
)
BOOK_FLOATS = (
    *("position", "mark", "average", "flows", "paid", "most", "entry_units", "entry_value", "exit_units"),
    *("exit_value", "worst", "best", "used", "target_amount"),
)
BOOK_COUNTS = (
    *("trade", "since", "bars_held", "entry_fills", "exit_fills", "used_label", "mark_label", "moved_label"),
    *("target_unit", "first_lot", "last_lot"),
)
ORDER_FLOATS = (
    *("quantity", "filled_units", "filled_value", "charged", "limit_price", "stop_price", "trail_by", "reference"),
    *("amount", "leg_stop", "leg_take", "leg_trail", "fee_rate", "fee_unit"),
)
ORDER_COUNTS = (
    *("order_id", "symbol", "side", "type", "tif", "size_unit", "role", "parent", "group", "until", "accepted_at"),
    *("accepted_in", "fractions", "exit_after", "turn", "armed", "route", "seq", "leg_of", "met", "row"),
)


def _floats(names: tuple[str, ...]) -> list[pa.Field]:
    return [pa.field(name, pa.float64()) for name in names]


def _counts(names: tuple[str, ...]) -> list[pa.Field]:
    return [required(name, SYMBOL if name == "symbol" else pa.int64()) for name in names]


# One row.
ACCOUNT = pa.schema([*_floats(ACCOUNT_FLOATS), *_counts(ACCOUNT_COUNTS)])

# One row per symbol that had a bar or a request so far, sorted by symbol.
BOOK = pa.schema([required("symbol", SYMBOL), *_floats(BOOK_FLOATS), *_counts(BOOK_COUNTS)])

# One row per live order, in order of submission.
OPEN_ORDERS = pa.schema([*_counts(ORDER_COUNTS), *_floats(ORDER_FLOATS)])

# One row per lot that FIFO counts, by its place; next_lot is the lot after it, of a symbol's or of the free ones.
LOTS = pa.schema(
    [pa.field("quantity", pa.float64()), pa.field("price", pa.float64()), required("next_lot", pa.int64())]
)

# One row per symbol: the numbers a compiled strategy keeps.
STRATEGY_MEMORY = pa.schema([required("symbol", SYMBOL), required("numbers", pa.list_(pa.float64()))])

CARRIED_TABLES = {
    "account": ACCOUNT,
    "book": BOOK,
    "open_orders": OPEN_ORDERS,
    "lots": LOTS,
    "strategy_memory": STRATEGY_MEMORY,
}
