"""What a new order is asked at its submission, and what the account is worth and has free."""

from __future__ import annotations

import math

from backtester.arrays import Clock, Market
from backtester.kernels.codes import (
    BAD_PRICE,
    BAD_QUALITY,
    BAD_QUANTITY,
    CASH_FRAC,
    CLOSE,
    EQUITY_FRAC,
    IS_HALTED,
    LIMIT,
    NO_BAR,
    NO_CASH,
    NO_ENTRY,
    NO_REASON,
    NOT_SELECTED,
    NOTIONAL,
    OVER_BUYING_POWER,
    OVER_GROSS,
    OVER_POSITIONS,
    OVER_SYMBOL,
    OVER_TRADE,
    PAST_FLAT_BY,
    RESTRICTED,
    STOP,
    STOP_LIMIT,
    TOUCHED,
    TRAILING,
    UNIT,
    UNSELECTED,
)
from backtester.kernels.flat import outlined, step
from backtester.kernels.orders import find_row, is_closing_live, opening_units, refresh_mark
from backtester.kernels.state import (
    ACCEPTED_AT,
    AMOUNT,
    CASH,
    CUT,
    FILLED_UNITS,
    GONE,
    HALTED,
    HELD,
    LABELS,
    LEG_OF,
    LIMIT_PRICE,
    MARK,
    MONTH_UNITS,
    ORDER_ID,
    POSITION,
    QUANTITY,
    SHORTS,
    SIDE,
    SIZE_UNIT,
    STOP_PRICE,
    SYMBOL,
    TRAIL_BY,
    TYPE,
    Rules,
    State,
)
from backtester.kernels.steps import MOST_UNITS, affordable, fee, tier_rate, whole_lots

# A limit in money is exceeded by more than this share of it, so that an order sized to it passes.
SLACK = 1e-9


@step
def equity_now(state: State) -> float:
    """Cash and every position at its mark, summed in symbol order."""
    net = 0.0
    for j in range(state.counters[HELD]):
        symbol = state.held[j]
        net += state.book[symbol, POSITION] * state.book[symbol, MARK]
    return float(state.account[CASH] + net)


@step
def gross_now(state: State) -> float:
    """The sum of the positions' absolute values at mark."""
    gross = 0.0
    for j in range(state.counters[HELD]):
        symbol = state.held[j]
        gross += abs(state.book[symbol, POSITION] * state.book[symbol, MARK])
    return gross


@step
def freed(position: float, price: float, margin: float) -> float:
    """What a position adds to the free cash."""
    value = position * price
    return value * (1.0 - margin) if position >= 0.0 else value * (1.0 + margin)


@step
def free_beside(symbol: int, margin: float, state: State) -> float:
    """Free cash without the position of one symbol (-1: with all)."""
    free: float = state.account[CASH]
    if margin == 1.0 and state.counters[SHORTS] == 0:
        return free
    for j in range(state.counters[HELD]):
        held = state.held[j]
        if held != symbol:
            free += freed(state.book[held, POSITION], state.book[held, MARK], margin)
    return free


@outlined
def sized(k: int, price: float, rate: float, per_unit: float, rules: Rules, state: State) -> float:
    """The quantity of an order that is not sized yet, at a price; 0 without one."""
    unit, amount, symbol = state.orders[k, SIZE_UNIT], state.amounts[k, AMOUNT], state.orders[k, SYMBOL]
    if not (price > 0.0 and amount > 0.0):
        return 0.0
    if unit == UNIT:
        return whole_lots(amount, rules.lot)
    if unit == NOTIONAL:
        return whole_lots(amount / price, rules.lot)
    if unit == EQUITY_FRAC:
        worth = amount * equity_now(state) / price
        return whole_lots(worth, rules.lot) if worth > 0.0 else 0.0
    if unit == CASH_FRAC:
        budget = amount * free_beside(-1, rules.margin, state)
        side = state.orders[k, SIDE]
        each = price * rules.margin
        return affordable(budget / each, budget, 0.0, price, side, 0.0, 0.0, 0.0, rate, per_unit, rules)
    held: float = abs(state.book[symbol, POSITION])
    return held


@step
def expected_units(k: int, rules: Rules, state: State) -> float:
    """What is left of an order, its size at mark where it has none yet."""
    if state.orders[k, SIZE_UNIT] == CLOSE:
        held: float = abs(state.book[state.orders[k, SYMBOL], POSITION])
        return held
    quantity = state.amounts[k, QUANTITY]
    if math.isnan(quantity):
        mark = state.book[state.orders[k, SYMBOL], MARK]
        quantity = sized(k, mark, rules.taker_rate, unit_fee(rules, state), rules, state)
    left: float = quantity - state.amounts[k, FILLED_UNITS]
    return left


@step
def unit_fee(rules: Rules, state: State) -> float:
    """The commission a unit at this point of the month."""
    return rules.per_unit if len(rules.tier_bounds) == 0 else tier_rate(state.account[MONTH_UNITS], rules)


@step
def is_price(value: float) -> bool:
    """Finite and positive?"""
    return 0.0 < value < math.inf


@step
def has_prices(k: int, state: State) -> bool:
    """Does the drafted order have the prices its type needs, and its symbol a mark?"""
    kind = state.orders[k, TYPE]
    if not is_price(state.book[state.orders[k, SYMBOL], MARK]):
        return False
    if kind in (LIMIT, STOP_LIMIT, TOUCHED) and not is_price(state.amounts[k, LIMIT_PRICE]):
        return False
    if kind in (STOP, STOP_LIMIT, TOUCHED) and not is_price(state.amounts[k, STOP_PRICE]):
        return False
    return kind != TRAILING or is_price(state.amounts[k, TRAIL_BY])


@step
def refusal(k: int, t: int, clock: Clock, market: Market, rules: Rules, state: State) -> int:
    """Why the drafted order in row k is refused, NO_REASON where it is not."""
    has_all = is_price(state.book[state.orders[k, SYMBOL], MARK]) if rules.orders == 0 else has_prices(k, state)
    if not has_all:
        return BAD_PRICE
    if state.orders[k, SIZE_UNIT] == CLOSE:
        return BAD_QUANTITY if state.book[state.orders[k, SYMBOL], POSITION] == 0.0 else NO_REASON
    if not 0.0 < state.amounts[k, QUANTITY] <= MOST_UNITS and not math.isnan(state.amounts[k, QUANTITY]):
        return BAD_QUANTITY
    if rules.checks == 0:
        return NO_REASON
    return limited(k, t, clock, market, rules, state)


@outlined
def limited(k: int, t: int, clock: Clock, market: Market, rules: Rules, state: State) -> int:
    """The checks of an order that opens, in their order."""
    quantity = expected_units(k, rules, state)
    opening = opening_units(k, quantity, state)
    if opening == 0.0:
        return NO_REASON
    symbol = state.orders[k, SYMBOL]
    mark = state.book[symbol, MARK]
    if rules.restricted[symbol]:
        return RESTRICTED
    if rules.quality != 0:
        row = find_row(market, clock.starts[t], clock.ends[t], symbol)
        if row < 0:
            return NO_BAR
        flags = market.flags[row if len(market.flags) > 1 else 0]
        if flags & NO_ENTRY:
            return BAD_QUALITY
        if flags & UNSELECTED:
            return NOT_SELECTED
    if state.counters[HALTED] != 0:
        return IS_HALTED
    if state.counters[CUT] != 0:
        return PAST_FLAT_BY
    if rules.max_open_positions < math.inf and symbols_in_play(k, rules, state) > rules.max_open_positions:
        return OVER_POSITIONS
    if opening * mark > rules.max_per_trade * (1.0 + SLACK):
        return OVER_TRADE
    held = 0.0 if is_closing_live(symbol, k, state) else state.book[symbol, POSITION]
    after = abs(held + state.orders[k, SIDE] * quantity)
    if after * mark > rules.max_per_symbol * (1.0 + SLACK):
        return OVER_SYMBOL
    if rules.cash == 3 or rules.max_gross < math.inf or rules.max_buying_power < math.inf:
        # A symbol that is not held is marked only when it is asked for.
        for j in range(k):
            refresh_mark(state.orders[j, SYMBOL], t, clock, market, state)
    if rules.max_gross < math.inf or rules.max_buying_power < math.inf:
        used = gross_now(state) + working_notional(k, rules, state) + opening * mark
        if rules.max_gross < math.inf and used > rules.max_gross * equity_now(state) * (1.0 + SLACK):
            return OVER_GROSS
        if used > rules.max_buying_power * (1.0 + SLACK):
            return OVER_BUYING_POWER
    if rules.cash == 3 and not is_paid(k, quantity, rules, state):
        return NO_CASH
    return NO_REASON


@outlined
def symbols_in_play(k: int, rules: Rules, state: State) -> int:
    """Symbols with a position or an opening working order, that of row k included."""
    count: int = state.counters[HELD]
    for j in range(k + 1):
        if not is_opening(j, k, rules, state) or state.book[state.orders[j, SYMBOL], POSITION] != 0.0:
            continue
        is_new = True
        for i in range(j):
            if state.orders[i, SYMBOL] == state.orders[j, SYMBOL] and is_opening(i, k, rules, state):
                is_new = False
        count += 1 if is_new else 0
    return count


@step
def is_opening(j: int, k: int, rules: Rules, state: State) -> bool:
    """Is the order in row j the drafted one of row k, or a live working order that opens?"""
    if j == k:
        return True
    if state.orders[j, ORDER_ID] == GONE or state.orders[j, LEG_OF] >= 0:
        return False
    return opening_units(j, expected_units(j, rules, state), state) > 0.0


@outlined
def working_notional(k: int, rules: Rules, state: State) -> float:
    """What the working orders before row k open, at mark."""
    notional = 0.0
    for j in range(k):
        if state.orders[j, ORDER_ID] != GONE and state.orders[j, LEG_OF] < 0:
            opening = opening_units(j, expected_units(j, rules, state), state)
            notional += opening * state.book[state.orders[j, SYMBOL], MARK]
    return notional


@outlined
def is_paid(k: int, quantity: float, rules: Rules, state: State) -> bool:
    """Is cash left free if this label's working orders and then the drafted one had filled at mark?"""
    free, last = free_beside(-1, rules.margin, state), 0.0
    per_unit = unit_fee(rules, state)
    for j in range(k + 1):
        if j < k and (
            state.orders[j, ORDER_ID] == GONE
            or state.orders[j, LEG_OF] >= 0
            or state.orders[j, ACCEPTED_AT] != state.counters[LABELS]
        ):
            continue
        symbol, side = state.orders[j, SYMBOL], state.orders[j, SIDE]
        mark = state.book[symbol, MARK]
        position = state.book[symbol, POSITION]
        for i in range(j):
            if (
                state.orders[i, SYMBOL] == symbol
                and state.orders[i, ORDER_ID] != GONE
                and state.orders[i, LEG_OF] < 0
                and state.orders[i, ACCEPTED_AT] == state.counters[LABELS]
            ):
                position += state.orders[i, SIDE] * expected_units(i, rules, state)
        units = quantity if j == k else expected_units(j, rules, state)
        after = position + side * units
        last = units * mark
        paid = fee(units, last, side, rules.taker_rate, per_unit, rules) if rules.charges != 0 else 0.0
        free += freed(after, mark, rules.margin) - freed(position, mark, rules.margin) - side * last - paid
    return free >= -SLACK * last
