"""Requests become orders: what each kind asks of the orders and the position its symbol has."""

from __future__ import annotations

import math

from backtester.arrays import Clock, Float64, Int8, Int32, Int64, Market, Requests, UInt8
from backtester.kernels.booking import DUST
from backtester.kernels.checks import equity_now, expected_units, refusal, sized
from backtester.kernels.codes import (
    CASH_FRAC,
    CLOSE,
    ENTER,
    EQUITY_FRAC,
    EXIT,
    LIMIT,
    MARKET,
    NO_REASON,
    NOTIONAL,
    ORDER,
    ROLE_ENTRY,
    ROLE_EXIT,
    ROLE_ORDER,
    ROLE_TARGET,
    STOP,
    STOP_LIMIT,
    TARGET,
    TRAILING,
    UNIT,
    WAS_ASKED,
    WAS_EXITED,
    WAS_REPLACED,
)
from backtester.kernels.fills import HAS_LEGS
from backtester.kernels.flat import outlined, step
from backtester.kernels.matching import at_once
from backtester.kernels.orders import accept, bring_mark, cancel_all, draft, has_working
from backtester.kernels.state import (
    AMOUNT,
    EXIT_AFTER,
    FRACTIONS,
    GONE,
    GROUP,
    LEG_OF,
    LEG_STOP,
    LEG_TAKE,
    LEG_TRAIL,
    LIMIT_PRICE,
    LIVE,
    MARK,
    ORDER_ID,
    POSITION,
    QUANTITY,
    REFERENCE,
    SIDE,
    STOP_PRICE,
    SYMBOL,
    TARGET_AMOUNT,
    TARGET_UNIT,
    TIF,
    TRAIL_BY,
    TYPE,
    UNTIL,
    Log,
    Rules,
    State,
)
from backtester.kernels.steps import MOST_UNITS, to_tick, whole_lots


@step
def pick(column: Float64, q: int) -> float:
    """Request q's value of a column that may have one for all."""
    value: float = column[q if len(column) > 1 else 0]
    return value


@step
def pick_code(column: Int8 | UInt8 | Int32 | Int64, q: int) -> int:
    """The same of a column of whole numbers."""
    # One width for all, or what they are handed to is compiled for each.
    return int(column[q if len(column) > 1 else 0])


@step
def ask(q: int, t: int, clock: Clock, market: Market, requests: Requests, rules: Rules, state: State, log: Log) -> None:
    """Handle request q, made when the bars of label t were known."""
    symbol, kind = int(requests.symbol[q]), pick_code(requests.kind, q)
    bring_mark(symbol, t, clock, market, state)
    position = state.book[symbol, POSITION]
    side, role = pick_code(requests.side, q), ROLE_ENTRY
    unit, amount = pick_code(requests.unit, q), pick(requests.amount, q)
    exits, orders = kind == EXIT, False
    if kind == ENTER:
        if position * side > 0.0 or (state.counters[LIVE] > 0 and has_working(symbol, side, state)):
            return
        is_opposite = position * side < 0.0
        exits = is_opposite and rules.on_opposite != 2
        orders = not is_opposite or rules.on_opposite == 0
        if unit < 0:
            unit, amount = rules.size_unit, rules.size_amount
    elif kind != EXIT:
        orders, side, unit, amount, role = ask_other(q, symbol, kind, side, t, clock, requests, rules, state, log)
    # One place each for an exit and for an order: they are compiled into the loop.
    if exits:
        exit_symbol(symbol, WAS_EXITED, ROLE_EXIT, t, clock, market, rules, state, log)
    if orders:
        ask_order(q, symbol, side, unit, amount, role, t, clock, market, requests, rules, state, log)


@outlined
def ask_other(
    q: int, symbol: int, kind: int, side: int, t: int, clock: Clock, requests: Requests, rules: Rules, state: State,
    log: Log,
) -> tuple[bool, int, int, float, int]:  # fmt: skip
    """A target, an order as given, or a cancel: (is there an order, side, unit, amount, role)."""
    unit, amount = pick_code(requests.unit, q), pick(requests.amount, q)
    role, at = ROLE_ORDER, clock.known_at[t]
    if kind == TARGET:
        if side != 0:
            amount = side * abs(amount)
        if amount == state.book[symbol, TARGET_AMOUNT] and unit == state.facts[symbol, TARGET_UNIT]:
            return False, side, unit, amount, role
        state.book[symbol, TARGET_AMOUNT], state.facts[symbol, TARGET_UNIT] = amount, unit
        position = state.book[symbol, POSITION]
        wanted = wanted_position(symbol, unit, amount, rules, state)
        if is_same(wanted, position + working_units(symbol, rules, state), position):
            return False, side, unit, amount, role
        legs = 1 if wanted == 0.0 else 0
        cancel_all(symbol, -1, WAS_REPLACED, legs, 1, at, rules.events, state, log)
        unit = CLOSE if wanted == 0.0 else UNIT
        amount, role = wanted - position, ROLE_TARGET
        side = 1 if amount > 0.0 or (math.isnan(amount) and not position > 0.0) else -1
        return not is_same(wanted, position, position), side, unit, abs(amount), role
    if kind == ORDER:
        if side == 0:
            side = -1 if amount < 0.0 else 1
            if unit == CLOSE:
                side = -1 if state.book[symbol, POSITION] > 0.0 else 1
        amount = abs(amount)
        if unit < 0:
            unit, amount = rules.size_unit, rules.size_amount
        return True, side, unit, amount, role
    cancel_all(symbol, -1, WAS_ASKED, 1, 1, at, rules.events, state, log)
    return False, side, unit, amount, role


@step
def wanted_position(symbol: int, unit: int, amount: float, rules: Rules, state: State) -> float:
    """The position a target stands for, in whole lots."""
    mark, units = state.book[symbol, MARK], abs(amount)
    if unit == NOTIONAL:
        units = units / mark
    elif unit == EQUITY_FRAC:
        worth = amount * equity_now(state)
        amount, units = worth, abs(worth) / mark
    if not units <= MOST_UNITS:
        return math.nan
    units = whole_lots(units, rules.lot)
    return units if amount >= 0.0 else -units


@step
def working_units(symbol: int, rules: Rules, state: State) -> float:
    """The signed remainder of the symbol's working orders."""
    units = 0.0
    for k in range(state.counters[LIVE]):
        is_working = state.orders[k, ORDER_ID] != GONE and state.orders[k, LEG_OF] < 0
        if is_working and state.orders[k, SYMBOL] == symbol:
            units += state.orders[k, SIDE] * expected_units(k, rules, state)
    return units


@step
def is_same(wanted: float, other: float, position: float) -> bool:
    """Equal, but for rounding errors."""
    return abs(wanted - other) <= DUST * (abs(wanted) + abs(position))


@step
def ask_order(
    q: int, symbol: int, side: int, unit: int, amount: float, role: int, t: int, clock: Clock, market: Market,
    requests: Requests, rules: Rules, state: State, log: Log,
) -> None:  # fmt: skip
    """Submit one order with everything request q says of it."""
    k = draft(symbol, side, unit, role, state)
    state.amounts[k, AMOUNT] = amount
    if rules.orders != 0:
        describe(q, k, symbol, side, unit, requests, rules, state)
    if unit == UNIT or (rules.size_at == 0 and unit not in (CASH_FRAC, CLOSE)):
        state.amounts[k, QUANTITY] = sized(k, state.book[symbol, MARK], 0.0, 0.0, rules, state)
    submit(k, t, clock, market, rules, state, log)


@step
def describe(q: int, k: int, symbol: int, side: int, unit: int, requests: Requests, rules: Rules, state: State) -> None:
    """Give the drafted order in row k the type, prices, legs, time and group request q names."""
    kind = pick_code(requests.order_type, q)
    limit, stop, trail = pick(requests.limit, q), pick(requests.stop, q), pick(requests.trail, q)
    if kind == MARKET:
        if not math.isnan(limit):
            kind = LIMIT if math.isnan(stop) else STOP_LIMIT
        elif not math.isnan(stop):
            kind = STOP
        elif not math.isnan(trail):
            kind = TRAILING
    if kind != MARKET:
        if rules.round_orders != 0:
            limit = to_tick(limit, -side, rules) if 0.0 < limit < math.inf else limit
            stop = to_tick(stop, side, rules) if 0.0 < stop < math.inf else stop
        state.orders[k, TYPE] = kind
        state.amounts[k, LIMIT_PRICE], state.amounts[k, STOP_PRICE], state.amounts[k, TRAIL_BY] = limit, stop, trail
        state.amounts[k, REFERENCE] = state.book[symbol, MARK]
    state.orders[k, TIF], state.orders[k, UNTIL] = pick_code(requests.tif, q), pick_code(requests.until, q)
    state.orders[k, GROUP] = pick_code(requests.group, q)
    fractions, after = pick_code(requests.fractions, q), pick_code(requests.exit_after_bars, q)
    stop_loss, take, leg_trail = pick(requests.stop_loss, q), pick(requests.take_profit, q), pick(requests.leg_trail, q)
    has_legs = after > 0 or not (math.isnan(stop_loss) and math.isnan(take) and math.isnan(leg_trail))
    state.orders[k, FRACTIONS] = fractions
    if has_legs and unit != CLOSE:
        state.orders[k, FRACTIONS] = fractions | HAS_LEGS
        state.orders[k, EXIT_AFTER] = after
        state.amounts[k, LEG_STOP], state.amounts[k, LEG_TAKE], state.amounts[k, LEG_TRAIL] = stop_loss, take, leg_trail


@step
def submit(k: int, t: int, clock: Clock, market: Market, rules: Rules, state: State, log: Log) -> None:
    """Submit the drafted order in row k."""
    reason = refusal(k, t, clock, market, rules, state)
    accept(k, reason, clock.known_at[t], rules.events, state, log)
    if reason == NO_REASON and rules.same_bar != 0:
        at_once(k, t, clock, market, rules, state, log)


@step
def exit_symbol(
    symbol: int, reason: int, role: int, t: int, clock: Clock, market: Market, rules: Rules, state: State, log: Log
) -> None:
    """Cancel a symbol's orders, and close its position with a market order."""
    if state.counters[LIVE] > 0:
        cancel_all(symbol, -1, reason, 1, 1, clock.known_at[t], rules.events, state, log)
    position = state.book[symbol, POSITION]
    if position != 0.0:
        k = draft(symbol, -1 if position > 0.0 else 1, CLOSE, role, state)
        submit(k, t, clock, market, rules, state, log)
