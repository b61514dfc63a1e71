"""The life of an order between its submission and its end: rows written down, live orders kept in order."""

from __future__ import annotations

from backtester.arrays import Clock, Market
from backtester.kernels.codes import (
    ACCEPTED,
    CANCELLED,
    CLOSE,
    GTC,
    MARKET,
    NO_REASON,
    OCO_FILLED,
    REJECTED,
    REPLACED,
    SUBMITTED,
    WAS_REPLACED,
)
from backtester.kernels.flat import outlined, step
from backtester.kernels.state import (
    ACCEPTED_AT,
    ACCEPTED_IN,
    ARMED,
    AS_GIVEN,
    CHARGED,
    EVENT_AT,
    EVENT_KIND,
    EVENT_LABEL,
    EVENT_ORDER,
    EVENT_REASON,
    EVENT_ROWS,
    EVENT_SEQ,
    EXIT_AFTER,
    FEE_UNIT,
    FILLED_UNITS,
    FILLED_VALUE,
    FRACTIONS,
    GONE,
    GROUP,
    LABELS,
    LEG_OF,
    LEGS,
    LIMIT_PRICE,
    LIVE,
    LOGGED_AT,
    LOGGED_FRACTIONS,
    LOGGED_GROUP,
    LOGGED_ID,
    LOGGED_LABEL,
    LOGGED_PARENT,
    LOGGED_ROLE,
    LOGGED_SIDE,
    LOGGED_SYMBOL,
    LOGGED_TIF,
    LOGGED_TYPE,
    LOGGED_UNTIL,
    MARK,
    MARK_LABEL,
    MET,
    NEXT_ORDER,
    ORDER_ID,
    ORDER_ROWS,
    PARENT,
    POSITION,
    QUANTITY,
    REFERENCE,
    ROLE,
    ROUTE,
    ROW,
    SEQ,
    SESSIONS,
    SIDE,
    SIZE_UNIT,
    STOP_PRICE,
    SYMBOL,
    TIF,
    TRAIL_BY,
    TURN,
    TYPE,
    UNTIL,
    Log,
    State,
)
from backtester.kernels.steps import NEARLY

NAN = float("nan")


@step
def find_row(market: Market, first: int, end: int, symbol: int) -> int:
    """The row of a symbol among rows `first` to `end` - 1 of one label, -1 where it has no bar."""
    if first >= end:
        return -1
    # Every symbol has a bar at most labels: then the row is known without a search.
    guess = first + symbol - market.symbol[first]
    if first <= guess < end and market.symbol[guess] == symbol:
        return int(guess)
    low, high = first, end
    while low < high:
        middle = (low + high) // 2
        if market.symbol[middle] < symbol:
            low = middle + 1
        else:
            high = middle
    return low if low < end and market.symbol[low] == symbol else -1


@step
def bring_mark(symbol: int, t: int, clock: Clock, market: Market, state: State) -> None:
    """Bring a symbol's mark up to label t."""
    now = state.counters[LABELS]
    if state.facts[symbol, MARK_LABEL] >= now:
        return
    row = find_row(market, clock.starts[t], clock.ends[t], symbol)
    if row >= 0:
        state.book[symbol, MARK] = market.close[row]
        state.facts[symbol, MARK_LABEL] = now
    else:
        refresh_mark(symbol, t, clock, market, state)


@outlined
def refresh_mark(symbol: int, t: int, clock: Clock, market: Market, state: State) -> None:
    """Bring the mark of a symbol that is not held up to label t; its bars since were not looked at."""
    now = state.counters[LABELS]
    while t >= 0 and now > state.facts[symbol, MARK_LABEL]:
        row = find_row(market, clock.starts[t], clock.ends[t], symbol)
        if row >= 0:
            state.book[symbol, MARK] = market.close[row]
            state.facts[symbol, MARK_LABEL] = now
            return
        t -= 1
        now -= 1


@step
def event(k: int, kind: int, reason: int, at: int, quantity: float, price: float, state: State, log: Log) -> None:
    """Write one event of the live order in row k."""
    i = log.rows[EVENT_ROWS]
    log.events[i, EVENT_ORDER] = state.orders[k, ORDER_ID]
    log.events[i, EVENT_SEQ] = state.orders[k, SEQ]
    log.events[i, EVENT_LABEL] = state.counters[LABELS]
    log.events[i, EVENT_AT] = at
    log.events[i, EVENT_KIND] = kind
    log.events[i, EVENT_REASON] = reason
    log.event_amounts[i, 0] = quantity
    log.event_amounts[i, 1] = price
    log.rows[EVENT_ROWS] = i + 1
    state.orders[k, SEQ] += 1


@step
def draft(symbol: int, side: int, unit: int, role: int, state: State) -> int:
    """A market order in the row after the last live one, to be completed and then submitted; the row."""
    k: int = state.counters[LIVE]
    for column in range(TRAIL_BY + 1):
        state.amounts[k, column] = NAN
    for column in range(REFERENCE, FEE_UNIT + 1):
        state.amounts[k, column] = NAN
    state.amounts[k, FILLED_UNITS] = state.amounts[k, FILLED_VALUE] = state.amounts[k, CHARGED] = 0.0
    state.orders[k, ORDER_ID] = state.counters[NEXT_ORDER]
    state.orders[k, SYMBOL] = symbol
    state.orders[k, SIDE] = side
    state.orders[k, TYPE] = MARKET
    state.orders[k, TIF] = GTC
    state.orders[k, SIZE_UNIT] = unit
    state.orders[k, ROLE] = role
    state.orders[k, PARENT] = state.orders[k, GROUP] = state.orders[k, LEG_OF] = -1
    state.orders[k, UNTIL] = state.orders[k, FRACTIONS] = state.orders[k, EXIT_AFTER] = 0
    state.orders[k, ACCEPTED_AT] = state.counters[LABELS]
    state.orders[k, ACCEPTED_IN] = state.counters[SESSIONS]
    state.orders[k, TURN] = state.orders[k, ARMED] = -1
    state.orders[k, ROUTE] = AS_GIVEN
    state.orders[k, SEQ] = state.orders[k, MET] = 0
    state.orders[k, ROW] = -1
    return k


@step
def accept(k: int, reason: int, at: int, has_events: int, state: State, log: Log) -> None:
    """Write the drafted order down; it lives from now on unless there is a reason to refuse it."""
    state.counters[NEXT_ORDER] += 1
    if has_events != 0:
        write_order(k, at, state, log)
        event(k, SUBMITTED, NO_REASON, at, NAN, NAN, state, log)
        event(k, ACCEPTED if reason == NO_REASON else REJECTED, reason, at, NAN, NAN, state, log)
    if reason == NO_REASON:
        state.counters[LIVE] = k + 1
        if state.orders[k, LEG_OF] >= 0:
            state.counters[LEGS] += 1


@step
def write_order(k: int, at: int, state: State, log: Log) -> None:
    """Write the row of `orders`."""
    i = log.rows[ORDER_ROWS]
    log.order_facts[i, LOGGED_ID] = state.orders[k, ORDER_ID]
    log.order_facts[i, LOGGED_LABEL] = state.counters[LABELS]
    log.order_facts[i, LOGGED_SYMBOL] = state.orders[k, SYMBOL]
    log.order_facts[i, LOGGED_SIDE] = state.orders[k, SIDE]
    log.order_facts[i, LOGGED_TYPE] = state.orders[k, TYPE]
    log.order_facts[i, LOGGED_TIF] = state.orders[k, TIF]
    log.order_facts[i, LOGGED_ROLE] = state.orders[k, ROLE]
    log.order_facts[i, LOGGED_PARENT] = state.orders[k, PARENT]
    log.order_facts[i, LOGGED_GROUP] = state.orders[k, GROUP]
    log.order_facts[i, LOGGED_UNTIL] = state.orders[k, UNTIL]
    log.order_facts[i, LOGGED_FRACTIONS] = state.orders[k, FRACTIONS]
    log.order_facts[i, LOGGED_AT] = at
    log.order_amounts[i, QUANTITY] = state.amounts[k, QUANTITY]
    log.order_amounts[i, 1] = state.amounts[k, LIMIT_PRICE]
    log.order_amounts[i, 2] = state.amounts[k, STOP_PRICE]
    log.order_amounts[i, 3] = state.amounts[k, TRAIL_BY]
    log.rows[ORDER_ROWS] = i + 1


@step
def end_order(k: int, kind: int, reason: int, at: int, has_events: int, state: State, log: Log) -> None:
    """End the live order in row k; `swept` takes its row away later."""
    if has_events != 0:
        event(k, kind, reason, at, NAN, NAN, state, log)
    remove(k, state)


@step
def remove(k: int, state: State) -> None:
    """Mark the row's order as ended."""
    state.orders[k, ORDER_ID] = GONE
    if state.orders[k, LEG_OF] >= 0:
        state.counters[LEGS] -= 1


@outlined
def cancel_all(
    symbol: int, beside: int, reason: int, legs: int, work: int, at: int, has_events: int, state: State, log: Log
) -> None:
    """End a symbol's live orders (-1: every symbol's), legs, working ones or both, but not that in row `beside`."""
    kind = REPLACED if reason == WAS_REPLACED else CANCELLED
    for k in range(state.counters[LIVE]):
        if k == beside or state.orders[k, ORDER_ID] == GONE or (symbol >= 0 and state.orders[k, SYMBOL] != symbol):
            continue
        if (legs if state.orders[k, LEG_OF] >= 0 else work) != 0:
            end_order(k, kind, reason, at, has_events, state, log)


@outlined
def cancel_group(group: int, beside: int, at: int, has_events: int, state: State, log: Log) -> None:
    """End every live order of an OCO group but that in row `beside`."""
    for k in range(state.counters[LIVE]):
        if k != beside and state.orders[k, ORDER_ID] != GONE and state.orders[k, GROUP] == group:
            end_order(k, CANCELLED, OCO_FILLED, at, has_events, state, log)


@step
def swept(state: State) -> None:
    """Take the rows of ended orders away; the others keep their order."""
    live = state.counters[LIVE]
    kept = 0
    while kept < live and state.orders[kept, ORDER_ID] != GONE:
        kept += 1
    for k in range(kept + 1, live):
        if state.orders[k, ORDER_ID] == GONE:
            continue
        move(k, kept, state)
        kept += 1
    state.counters[LIVE] = kept


@outlined
def move(source: int, target: int, state: State) -> None:
    """Copy a live order to another row."""
    for column in range(FEE_UNIT + 1):
        state.amounts[target, column] = state.amounts[source, column]
    for column in range(ROW + 1):
        state.orders[target, column] = state.orders[source, column]


@step
def is_closing_live(symbol: int, before: int, state: State) -> bool:
    """Is a working order of size `close` live in a row before `before`?"""
    for k in range(before):
        if (
            state.orders[k, SYMBOL] == symbol
            and state.orders[k, SIZE_UNIT] == CLOSE
            and state.orders[k, LEG_OF] < 0
            and state.orders[k, ORDER_ID] != GONE
        ):
            return True
    return False


@outlined
def has_working(symbol: int, side: int, state: State) -> bool:
    """Does the symbol have a working order of this side?"""
    for k in range(state.counters[LIVE]):
        if (
            state.orders[k, SYMBOL] == symbol
            and state.orders[k, SIDE] == side
            and state.orders[k, LEG_OF] < 0
            and state.orders[k, ORDER_ID] != GONE
        ):
            return True
    return False


@step
def opening_units(k: int, quantity: float, state: State) -> float:
    """How much of an order of this quantity opens: beyond closing the position, or all of it."""
    if state.orders[k, SIZE_UNIT] == CLOSE:
        return 0.0
    symbol = state.orders[k, SYMBOL]
    signed = state.book[symbol, POSITION] * state.orders[k, SIDE]
    if signed >= 0.0 or is_closing_live(symbol, k, state):
        return quantity
    return quantity + signed if quantity + signed > NEARLY else 0.0
