"""The ledger's arrays: the rule vector, the account and its orders between two labels, and what it writes down.

Everything that outlives a label is in `State`, so the loop can stop at any label and go on, in another process too.
Rows of the two-dimensional arrays are records; the constants name their columns.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from backtester.arrays import Bool, Float64, Int64


class Rules(NamedTuple):
    """The rule vector of docs/execution.md as numbers: words by their place in kernels.codes, money and fractions."""

    same_bar: int
    market_price: int
    exits_first: int
    intrabar: int
    arm: int
    limit_touch: int
    limit_price: int
    limit_guard: int
    stop_touch: int
    stop_price: int
    trail_reference: int
    trail_first: int
    missing_bar: int
    stale_after_bars: int
    volume_frac: float
    volume_rest: int
    slips: int  # a fill's price can differ from its reference: slippage, spread, impact, within bar, rounding
    slippage_frac: float  # slippage_bps / 10000
    slippage_price: float  # slippage_ticks x tick
    spread_frac: float  # the half of it, as a fraction
    spread_on: int
    share_impact: float
    share_cap: float
    limit_slippage: int
    stop_slippage: int
    slip_within_bar: int
    round_fills: int
    round_orders: int
    tick: float
    per_tick: float  # 1 / tick where that is a whole number, else 0
    lot: float
    size_unit: int
    size_amount: float
    size_at: int
    on_opposite: int
    cash: int
    margin: float  # 1 / leverage
    maintenance: float
    interest_rate: float
    debit_rate: float
    borrow_rate: float
    carries: int  # any of the three is on
    fifo: int
    end: int
    charges: int  # any commission is on
    per_order: float
    per_unit: float
    maker_rate: float
    taker_rate: float
    minimum: float
    maximum_frac: float
    cap_spares_minimum: int
    sell_rate: float
    sell_per_unit: float
    sell_cap: float
    checks: int  # any limit, restriction or quality rule is on
    max_buying_power: float  # infinite where off, as the others
    max_per_trade: float
    max_per_symbol: float
    max_open_positions: float
    max_gross: float
    guards: int  # daily loss, maintenance or flat_by is on
    max_daily_loss: float
    flattens: int
    flat_by: int
    quality: int
    orders: int  # orders other than market orders, good till cancelled, without legs and group, may come or be live
    marks: int  # record the equity of every label
    events: int  # write orders and their events
    restricted: Bool  # [symbols]
    tier_bounds: Float64  # [tiers]
    tier_rates: Float64


# State.account
CASH, SESSION_START, OPENED_AT, FEES, INTEREST, BORROW, TURNOVER, REALIZED, MONTH_UNITS = range(9)
ACCOUNT_COLUMNS = 9

# State.counters. LABELS and SESSIONS count those begun since the run's start; REQUEST is the next to handle.
(
    NEXT_ORDER,
    NEXT_FILL,
    NEXT_TRADE,
    LIVE,
    HELD,
    SHORTS,
    LABELS,
    SESSIONS,
    HALTED,
    CUT,
    MONTH,
    REQUEST,
    FREE_LOT,
    LEGS,
) = range(14)
COUNTERS = 14

# State.book, a row a symbol; from FLOWS to BEST it is the open trade's.
(
    POSITION,
    MARK,
    AVERAGE,
    FLOWS,
    PAID,
    MOST,
    ENTRY_UNITS,
    ENTRY_VALUE,
    EXIT_UNITS,
    EXIT_VALUE,
    WORST,
    BEST,
    USED,
    TARGET_AMOUNT,
) = range(14)
BOOK_COLUMNS = 14

# State.facts, a row a symbol. Labels are counted from the run's start; -1 where there is none.
(
    TRADE,
    SINCE,
    BARS_HELD,
    ENTRY_FILLS,
    EXIT_FILLS,
    USED_LABEL,
    MARK_LABEL,
    MOVED_LABEL,
    TARGET_UNIT,
    FIRST_LOT,
    LAST_LOT,
) = range(11)
FACT_COLUMNS = 11

# State.amounts, a row a live order; NaN where it has none. QUANTITY is NaN until an order sized at its fill is sized.
(
    QUANTITY,
    FILLED_UNITS,
    FILLED_VALUE,
    CHARGED,
    LIMIT_PRICE,
    STOP_PRICE,
    TRAIL_BY,
    REFERENCE,
    AMOUNT,
    LEG_STOP,
    LEG_TAKE,
    LEG_TRAIL,
    FEE_RATE,
    FEE_UNIT,
) = range(14)
AMOUNT_COLUMNS = 14

# State.orders, a row a live order, in order of submission. TURN is the label of its latest turn, ARMED the label in
# which it may fill inside although it was made there, ROUTE what it has become, ROW its bar at this label, if any.
(
    ORDER_ID,
    SYMBOL,
    SIDE,
    TYPE,
    TIF,
    SIZE_UNIT,
    ROLE,
    PARENT,
    GROUP,
    UNTIL,
    ACCEPTED_AT,
    ACCEPTED_IN,
    FRACTIONS,
    EXIT_AFTER,
    TURN,
    ARMED,
    ROUTE,
    SEQ,
    LEG_OF,
    MET,
    ROW,
) = range(21)
ORDER_COLUMNS = 21
GONE = -1  # the ORDER_ID of a row whose order has ended

# ROUTE
AS_GIVEN, NOW_LIMIT, NOW_MARKET = range(3)

# State.keys, a row a place of the queue.
KEY_GROUP, KEY_SYMBOL, KEY_PATH, KEY_DISTANCE, KEY_REFERENCE, KEY_RULE, KEY_KIND, KEY_WHERE = range(8)
KEY_COLUMNS = 8

# State.lots: (quantity, price); State.next_lot: the lot after it, -1 for the last.


class State(NamedTuple):
    """All that outlives a label."""

    account: Float64  # [ACCOUNT_COLUMNS]
    counters: Int64  # [COUNTERS]
    book: Float64  # [symbols, BOOK_COLUMNS]
    facts: Int64  # [symbols, FACT_COLUMNS]
    held: Int64  # [symbols]; the symbols with a position, rising; counters[HELD] of them
    amounts: Float64  # [room, AMOUNT_COLUMNS]
    orders: Int64  # [room, ORDER_COLUMNS]
    lots: Float64  # [room, 2]
    next_lot: Int64  # [room]
    queue: Int64  # [room]; scratch of one stage: rows of orders
    keys: Float64  # [room, KEY_COLUMNS]; scratch: what the queue is sorted by, and how each would fill


# Log.order_amounts: QUANTITY, LIMIT_PRICE, STOP_PRICE, TRAIL_BY; Log.order_facts likewise.
LOGGED_AMOUNTS = 4
(
    LOGGED_ID,
    LOGGED_LABEL,
    LOGGED_SYMBOL,
    LOGGED_SIDE,
    LOGGED_TYPE,
    LOGGED_TIF,
    LOGGED_ROLE,
    LOGGED_PARENT,
    LOGGED_GROUP,
    LOGGED_UNTIL,
    LOGGED_FRACTIONS,
    LOGGED_AT,
) = range(12)
LOGGED_FACTS = 12

# Log.events and Log.event_amounts (quantity, price).
EVENT_ORDER, EVENT_SEQ, EVENT_LABEL, EVENT_AT, EVENT_KIND, EVENT_REASON = range(6)
EVENT_COLUMNS = 6

# Log.fills and Log.fill_amounts; FILL_ROW is the bar's row, -1 where the price came from no bar of this label.
(
    FILL_ID,
    FILL_ORDER,
    FILL_TRADE,
    FILL_SYMBOL,
    FILL_LABEL,
    FILL_AT,
    FILL_SIDE,
    FILL_RULE,
    FILL_IS_AMBIGUOUS,
    FILL_IS_STALE,
    FILL_ROW,
) = range(11)
FILL_COLUMNS = 11
(
    F_QUANTITY,
    F_PRICE,
    F_REFERENCE,
    F_COMMISSION,
    F_WORST,
    F_BEST,
    F_REALIZED,
    F_POSITION,
    F_CASH,
) = range(9)
FILL_AMOUNTS = 9

# Log.trades and Log.trade_amounts, a row a trade that ended.
TRADE_ID, TRADE_SYMBOL, TRADE_SIDE, TRADE_SINCE, TRADE_UNTIL, TRADE_BARS, TRADE_ENTRIES, TRADE_EXITS = range(8)
TRADE_COLUMNS = 8
T_MOST, T_ENTRY_UNITS, T_ENTRY_VALUE, T_EXIT_UNITS, T_EXIT_VALUE, T_PAID, T_FLOWS, T_WORST, T_BEST = range(9)
TRADE_AMOUNTS = 9

# Log.equity, [EQUITY_ROWS, labels of the clock]; Log.sessions, [sessions of the clock, SESSION_COLUMNS].
E_CASH, E_NET, E_GROSS, E_OPEN = range(4)
EQUITY_ROWS = 4
S_START, S_EQUITY, S_CASH, S_FEES, S_INTEREST, S_BORROW, S_TURNOVER, S_REALIZED = range(8)
SESSION_COLUMNS = 8

# Log.rows: how many rows of each are written.
ORDER_ROWS, EVENT_ROWS, FILL_ROWS, TRADE_ROWS = range(4)


class Log(NamedTuple):
    """What happened, in order; rows[...] of each are filled."""

    rows: Int64  # [4]
    order_facts: Int64
    order_amounts: Float64
    events: Int64
    event_amounts: Float64
    fills: Int64
    fill_amounts: Float64
    trades: Int64
    trade_amounts: Float64
    equity: Float64  # [EQUITY_ROWS, labels], or no label where marks are off
    sessions: Float64  # [sessions, SESSION_COLUMNS]


# Columns of the arrays of State and Log that are records: compiled code takes them as one run of numbers.
WIDTHS = {
    "book": BOOK_COLUMNS,
    "facts": FACT_COLUMNS,
    "amounts": AMOUNT_COLUMNS,
    "orders": ORDER_COLUMNS,
    "lots": 2,
    "keys": KEY_COLUMNS,
    "order_facts": LOGGED_FACTS,
    "order_amounts": LOGGED_AMOUNTS,
    "events": EVENT_COLUMNS,
    "event_amounts": 2,
    "fills": FILL_COLUMNS,
    "fill_amounts": FILL_AMOUNTS,
    "trades": TRADE_COLUMNS,
    "trade_amounts": TRADE_AMOUNTS,
    "sessions": SESSION_COLUMNS,
}


# Axes of the arrays of groups that have two and are no records.
DIMENSIONS = {"equity": 2, "memory": 2}


# Steps.made: requests of this label; the most a label asked for, where that was beyond the room; 1 while a label's
# steps are taken and their requests not handled; 1 + a row that asked for a leg of 0 or less, for a side that is none.
MADE, BEYOND, WAITS, LEG_ROW, SIDE_ROW = range(5)
MADE_COUNTS = 5


class Steps(NamedTuple):
    """How the loop calls a compiled step; entry is 0 where there is none."""

    entry: int  # the address of kernels.stepping.take_rows with the step in it; as Python, that itself
    slots: Int64  # its table, kernels.held
    amounts: Float64
    made: Int64  # [MADE_COUNTS]


def new_state(symbols: int, capital: float, *, room: int = 64, lots: int = 64) -> State:
    """An account that holds `capital` in cash and nothing else."""
    account = np.zeros(ACCOUNT_COLUMNS)
    account[CASH] = account[SESSION_START] = account[OPENED_AT] = capital
    counters = np.zeros(COUNTERS, dtype=np.int64)
    counters[MONTH] = -1
    book = np.zeros((symbols, BOOK_COLUMNS))
    book[:, MARK] = np.nan
    facts = np.full((symbols, FACT_COLUMNS), -1, dtype=np.int64)
    facts[:, [BARS_HELD, ENTRY_FILLS, EXIT_FILLS, SINCE]] = 0
    next_lot = np.arange(1, lots + 1, dtype=np.int64)
    next_lot[-1] = -1
    return State(
        account=account,
        counters=counters,
        book=book,
        facts=facts,
        held=np.zeros(symbols, dtype=np.int64),
        amounts=np.zeros((room, AMOUNT_COLUMNS)),
        orders=np.zeros((room, ORDER_COLUMNS), dtype=np.int64),
        lots=np.zeros((lots, 2)),
        next_lot=next_lot,
        queue=np.zeros(room, dtype=np.int64),
        keys=np.zeros((room, KEY_COLUMNS)),
    )
