"""The scalar rules of a fill: what touches a price, what it fills at, what it costs. docs/execution.md names them.

Prices come in the buying form: for an order that sells, every price negated and low and high exchanged.
"""

from __future__ import annotations

import math

from backtester.kernels.codes import (
    AT_LIMIT,
    AT_LIMIT_HIGH,
    AT_LIMIT_MARKET,
    AT_LIMIT_OPEN,
    AT_STOP,
    AT_STOP_CLOSE,
    AT_STOP_MARKET,
    AT_STOP_OPEN,
)
from backtester.kernels.flat import outlined, step
from backtester.kernels.state import Rules

# A quantity this near to the next multiple of the lot, in lots, counts as that multiple.
NEARLY = 1e-9
# Every number this large is whole, and some are too large for an integer.
ALL_WHOLE = 2.0**53
# An order of more units than this is refused, as one of none is.
MOST_UNITS = 1e18


@step
def floored(number: float) -> float:
    """The largest whole number that is not above this one; NaN stays."""
    return float(math.floor(number)) if abs(number) < ALL_WHOLE else number


@step
def whole_lots(quantity: float, lot: float) -> float:
    """A quantity of at least 0, rounded down to a multiple of the lot; without a lot next to nothing is nothing."""
    if lot == 0.0:
        return quantity if quantity > NEARLY else 0.0
    return floored(quantity / lot + NEARLY) * lot


@step
def to_tick(price: float, direction: int, rules: Rules) -> float:
    """A price rounded to the tick: down (-1), up (+1), or to the nearest with halves up (0); nearly whole is whole."""
    ticks = price * rules.per_tick if rules.per_tick > 0.0 else price / rules.tick
    if direction == 0:
        whole = floored(ticks + 0.5 + NEARLY)
    elif direction < 0:
        whole = floored(ticks + NEARLY)
    else:
        whole = -floored(NEARLY - ticks)
    return whole / rules.per_tick if rules.per_tick > 0.0 else whole * rules.tick


@step
def limit_at_open(touch: int, limit: float, first: float) -> bool:
    """Does the limit's condition hold at the open?"""
    if touch == 0:
        return first <= limit
    return touch == 1 and first < limit


@step
def limit_inside(touch: int, limit: float, low: float) -> bool:
    """Does the limit's condition hold within the bar?"""
    if touch == 0:
        return low <= limit
    return touch == 1 and low < limit


@step
def limit_at_close(touch: int, limit: float, close: float, market: float) -> bool:
    """Does the limit's condition hold at the close?"""
    if touch == 2:
        return close <= limit
    return touch == 3 and market <= limit


@step
def stop_at_open(touch: int, stop: float, first: float) -> bool:
    """Does the stop's condition hold at the open?"""
    if touch == 0:
        return first >= stop
    return touch == 1 and first > stop


@step
def stop_inside(touch: int, stop: float, high: float) -> bool:
    """Does the stop's condition hold within the bar?"""
    if touch == 0:
        return high >= stop
    return touch == 1 and high > stop


@step
def limit_fill(rule: int, limit: float, first: float, high: float, market: float) -> float:
    """What a limit order fills at, before slippage."""
    if rule == 0:
        return first if first < limit else limit
    if rule == 1:
        return limit
    if rule == 2:
        return high if high < limit else limit
    return market


@step
def limit_rule(rule: int, limit: float, first: float, high: float) -> int:
    """The name of that price."""
    if rule == 0:
        return AT_LIMIT_OPEN if first < limit else AT_LIMIT
    if rule == 2:
        return AT_LIMIT_HIGH if high < limit else AT_LIMIT
    return AT_LIMIT if rule == 1 else AT_LIMIT_MARKET


@step
def stop_fill(rule: int, stop: float, first: float, close: float, market: float) -> float:
    """What a stop order fills at, before slippage."""
    if rule == 0:
        return first if first > stop else stop
    if rule == 1:
        return stop
    if rule == 2:
        return close if close > stop else stop
    return market


@step
def stop_rule(rule: int, stop: float, first: float, close: float) -> int:
    """The name of that price."""
    if rule == 0:
        return AT_STOP_OPEN if first > stop else AT_STOP
    if rule == 2:
        return AT_STOP_CLOSE if close > stop else AT_STOP
    return AT_STOP if rule == 1 else AT_STOP_MARKET


@step
def market_price(rule: int, first: float, high: float, low: float, close: float) -> float:
    """The price of a market order."""
    if rule == 0:
        return first
    return close if rule == 1 else (high + low) / 2.0


@step
def slipped(price: float, side: float, is_opening: bool, quantity: float, volume: float, rules: Rules) -> float:
    """A price after slippage, spread and impact; quantity 0 leaves the impact out."""
    price = price * (1.0 + side * rules.slippage_frac)
    price = price + side * rules.slippage_price
    if rules.spread_on == 0 or is_opening:
        price = price * (1.0 + side * rules.spread_frac)
    if rules.share_impact > 0.0 and quantity > 0.0:
        share = rules.share_cap
        if volume > 0.0 and quantity / volume < share:
            share = quantity / volume
        price = price * (1.0 + side * rules.share_impact * share * share)
    return price


@step
def fee(units: float, value: float, side: int, rate: float, per_unit: float, rules: Rules) -> float:
    """The commission of an order that has filled `units` worth `value`."""
    cost = rules.per_order + per_unit * units + rate * value
    is_minimum = rules.minimum > 0.0 and cost < rules.minimum
    if is_minimum:
        cost = rules.minimum
    is_spared = is_minimum and rules.cap_spares_minimum != 0
    if rules.maximum_frac > 0.0 and cost > rules.maximum_frac * value and not is_spared:
        cost = rules.maximum_frac * value
    if side < 0:
        by_unit = rules.sell_per_unit * units
        cost = cost + rules.sell_rate * value + (by_unit if by_unit < rules.sell_cap else rules.sell_cap)
    return cost


@outlined
def tier_rate(units: float, rules: Rules) -> float:
    """The commission a unit after `units` of this month."""
    for k in range(len(rules.tier_bounds)):
        if units < rules.tier_bounds[k]:
            return float(rules.tier_rates[k])
    return rules.per_unit


@outlined
def cost_of(
    opening: float, closing: float, price: float, side: int, margin: float, filled: float, value: float, charged: float,
    rate: float, per_unit: float, rules: Rules,
) -> float:  # fmt: skip
    """What a fill of closing + opening units takes from the free cash that closing alone would leave."""
    units = closing + opening
    commission = 0.0
    if rules.charges != 0:
        commission = fee(filled + units, value + units * price, side, rate, per_unit, rules) - charged
    return opening * price * margin + commission


@outlined
def affordable(
    most: float, budget: float, closing: float, price: float, side: int, filled: float, value: float, charged: float,
    rate: float, per_unit: float, rules: Rules,
) -> float:  # fmt: skip
    """The largest opening quantity, at most `most` and in whole lots, that costs no more than the budget."""
    margin = rules.margin
    if most <= 0.0:
        return 0.0
    if rules.minimum == 0.0 and rules.maximum_frac == 0.0 and (side > 0 or math.isinf(rules.sell_cap)):
        # Each unit costs the same: no search.
        each, fixed = price * margin, 0.0
        if rules.charges != 0:
            by_value = rate + (rules.sell_rate if side < 0 else 0.0)
            by_unit = per_unit + (rules.sell_per_unit if side < 0 else 0.0)
            fixed = rules.per_order + by_unit * (filled + closing) + by_value * (value + closing * price) - charged
            each = each + by_unit + by_value * price
        left = (budget - fixed) / each
        return whole_lots(most if most < left else left, rules.lot) if left > 0.0 else 0.0
    if cost_of(most, closing, price, side, margin, filled, value, charged, rate, per_unit, rules) <= budget:
        return whole_lots(most, rules.lot)
    low, high = 0.0, most if rules.lot == 0.0 else floored(most / rules.lot + NEARLY) + 1.0
    unit = 1.0 if rules.lot == 0.0 else rules.lot
    slack = budget + NEARLY * price * rules.lot
    for _ in range(200):
        middle = (low + high) / 2.0 if rules.lot == 0.0 else floored((low + high) / 2.0)
        if middle <= low or middle >= high:
            break
        if cost_of(middle * unit, closing, price, side, margin, filled, value, charged, rate, per_unit, rules) <= slack:
            low = middle
        else:
            high = middle
    return low * unit
