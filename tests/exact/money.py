"""Prices after costs, commissions, sizes and free cash."""

from __future__ import annotations

import math
from fractions import Fraction

NEARLY = Fraction(1, 10**9)


def rounded(quantity, lot):
    """Toward zero to a multiple of `lot`, a multiple if within 1e-9 lots of the next; without lots dust is nothing."""
    if lot == 0:
        return quantity if abs(quantity) > NEARLY else Fraction(0)
    whole = math.floor(abs(quantity) / lot + NEARLY)
    return lot * whole if quantity >= 0 else -lot * whole


def half_away(number):
    """The nearest integer, halves away from zero."""
    return math.floor(number + Fraction(1, 2)) if number >= 0 else -math.floor(-number + Fraction(1, 2))


def to_tick(price, tick, *, up):
    """The tick at or above, or at or below."""
    return tick * (math.ceil(price / tick) if up else math.floor(price / tick))


def costly_price(rules, price, side, *, kind, opens, quantity=None, bar=None):
    """A reference price after slippage, spread and rounding; without a bar it is a close at a mark.

    kind      market, stop or limit; without a quantity there is no share_impact
    """
    frees = (kind == "limit" and not rules.limit_slippage) or (kind == "stop" and not rules.stop_slippage)
    if not frees:
        price *= 1 + side * rules.slippage_bps / 10_000
        price += side * rules.slippage_ticks * rules.tick
        if rules.spread_on == "both":
            price *= 1 + side * rules.spread_bps / 20_000
        elif opens:
            price *= 1 + side * rules.spread_bps / 10_000
        if bar is not None and quantity:
            share = min(quantity / bar.volume, rules.share_cap) if bar.volume else rules.share_cap
            price *= 1 + side * rules.share_impact * share**2
    if rules.slip_within_bar and bar is not None:
        price = min(max(price, bar.low), bar.high)
    if rules.round_fills:
        price = rules.tick * half_away(price / rules.tick)
    return price


def total_fee(rules, side, rate, per_unit, units, value):
    """What an order is charged for `units` and `value` in all."""
    c = rules.commission
    fee = c.per_order + per_unit * units + rate * value
    is_minimum = fee < c.minimum and c.minimum > 0
    fee = c.minimum if is_minimum else fee
    if c.maximum_frac > 0 and fee > c.maximum_frac * value and not (is_minimum and c.cap_spares_minimum):
        fee = c.maximum_frac * value
    if side < 0:
        extra = c.sell_per_unit * units
        fee += c.sell_rate * value + (extra if c.sell_cap is None else min(extra, c.sell_cap))
    return fee


def unit_fee(rules, month_units):
    """The commission per unit, by tier."""
    for bound, per_unit in rules.commission.tiers:
        if bound is None or bound > month_units:
            return per_unit
    return rules.commission.per_unit


def largest(does, bound):
    """The largest number up to `bound` for which `does`, which holds from 0 up to some point."""
    if does(bound):
        return bound
    step = Fraction(1, 2**56)
    low, high = 0, math.ceil(bound / step)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if does(middle * step) else (low, middle)
    return low * step
