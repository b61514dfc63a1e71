"""When in a bar an order's condition holds first, and the price it would fill at before costs."""

from __future__ import annotations

from backtester.arrays import Clock, Market
from backtester.kernels.codes import (
    AT_MARKET_OPEN,
    AT_ON_CLOSE,
    AT_ON_OPEN,
    AT_STOP_LIMIT,
    AT_TOUCHED,
    AT_TOUCHED_OPEN,
    LAST_LABEL,
    LIMIT,
    MARKET,
    ON_CLOSE,
    ON_OPEN,
    STOP,
    STOP_LIMIT,
    TOUCHED,
    TRAIL_FRAC,
    TRAILING,
)
from backtester.kernels.flat import outlined, step
from backtester.kernels.state import (
    ACCEPTED_IN,
    FRACTIONS,
    LIMIT_PRICE,
    NOW_LIMIT,
    NOW_MARKET,
    REFERENCE,
    ROUTE,
    SESSIONS,
    SIDE,
    STOP_PRICE,
    TRAIL_BY,
    TYPE,
    Rules,
    State,
)
from backtester.kernels.steps import (
    limit_at_close,
    limit_at_open,
    limit_fill,
    limit_inside,
    limit_rule,
    market_price,
    stop_at_open,
    stop_fill,
    stop_inside,
    stop_rule,
)

# What kind of price a fill has: it decides which costs it bears.
AS_MARKET, AS_LIMIT, AS_STOP = range(3)
# When in the bar an order fills; NEVER where it does not. TRIGGERS: it does not fill, but becomes a limit order.
NEVER, OPEN, INSIDE, AT_CLOSE, FORCED, TRIGGERS = range(6)


@step
def stop_level(k: int, state: State) -> float:
    """The stop price of the order in row k, that of a trailing stop where it has moved to."""
    if state.orders[k, TYPE] != TRAILING:
        return float(state.amounts[k, STOP_PRICE])
    side, reference, trail = state.orders[k, SIDE], state.amounts[k, REFERENCE], state.amounts[k, TRAIL_BY]
    is_frac = state.orders[k, FRACTIONS] & TRAIL_FRAC
    return float(reference * (1.0 + side * trail) if is_frac else reference + side * trail)


@step
def condition(
    k: int, row: int, t: int, clock: Clock, market: Market, rules: Rules, state: State
) -> tuple[int, float, int, int]:
    """(when, reference price, rule, kind of price) of the order in row k on this bar."""
    if rules.orders == 0 or state.orders[k, TYPE] == MARKET or state.orders[k, ROUTE] == NOW_MARKET:
        rule = rules.market_price
        price = market_price(rule, market.open[row], market.high[row], market.low[row], market.close[row])
        return OPEN if rule == 0 else AT_CLOSE, price, AT_MARKET_OPEN + rule, AS_MARKET
    return priced(k, row, t, clock, market, rules, state)


@outlined
def priced(
    k: int, row: int, t: int, clock: Clock, market: Market, rules: Rules, state: State
) -> tuple[int, float, int, int]:
    """The same for every other order."""
    kind, side = state.orders[k, TYPE], state.orders[k, SIDE]
    first, close = side * market.open[row], side * market.close[row]
    low = market.low[row] if side > 0 else -market.high[row]
    high = market.high[row] if side > 0 else -market.low[row]
    fill_price = side * market_price(
        rules.market_price, market.open[row], market.high[row], market.low[row], market.close[row]
    )
    if kind == ON_OPEN:
        is_due = state.counters[SESSIONS] > state.orders[k, ACCEPTED_IN]
        return OPEN if is_due else NEVER, market.open[row], AT_ON_OPEN, AS_MARKET
    if kind == ON_CLOSE:
        return AT_CLOSE if clock.flags[t] & LAST_LABEL else NEVER, market.close[row], AT_ON_CLOSE, AS_MARKET
    if kind == LIMIT or state.orders[k, ROUTE] == NOW_LIMIT:
        limit = side * state.amounts[k, LIMIT_PRICE]
        price = side * limit_fill(rules.limit_price, limit, first, high, fill_price)
        when = limit_when(rules.limit_touch, limit, first, low, close, fill_price)
        return when, price, limit_rule(rules.limit_price, limit, first, high), AS_LIMIT
    if kind in (STOP, TRAILING):
        stop = side * stop_level(k, state)
        price = side * stop_fill(rules.stop_price, stop, first, close, fill_price)
        return stop_when(rules.stop_touch, stop, first, high, close), price, stop_rule(
            rules.stop_price, stop, first, close
        ), AS_STOP  # fmt: skip
    if kind == STOP_LIMIT:
        stop, limit = side * state.amounts[k, STOP_PRICE], side * state.amounts[k, LIMIT_PRICE]
        when = stop_when(rules.stop_touch, stop, first, high, close)
        if when == INSIDE and limit >= stop:
            return INSIDE, side * stop, AT_STOP_LIMIT, AS_LIMIT
        return TRIGGERS if when != NEVER else NEVER, 0.0, when, AS_LIMIT
    if kind == TOUCHED:
        touch, limit = side * state.amounts[k, STOP_PRICE], side * state.amounts[k, LIMIT_PRICE]
        when = limit_when(rules.limit_touch, touch, first, low, close, fill_price)
        if when != NEVER and limit >= touch:
            price, rule = (first, AT_TOUCHED_OPEN) if first < touch else (touch, AT_TOUCHED)
            return when, side * price, rule, AS_LIMIT
        return TRIGGERS if when != NEVER else NEVER, 0.0, when, AS_LIMIT
    return NEVER, 0.0, 0, AS_MARKET


@step
def limit_when(touch: int, limit: float, first: float, low: float, close: float, market: float) -> int:
    """When a limit's condition holds first."""
    if limit_at_open(touch, limit, first):
        return OPEN
    if limit_inside(touch, limit, low):
        return INSIDE
    return AT_CLOSE if limit_at_close(touch, limit, close, market) else NEVER


@step
def stop_when(touch: int, stop: float, first: float, high: float, close: float) -> int:
    """When a stop's condition holds first."""
    if stop_at_open(touch, stop, first):
        return OPEN
    if stop_inside(touch, stop, high):
        return INSIDE
    return AT_CLOSE if touch == 2 and close >= stop else NEVER
