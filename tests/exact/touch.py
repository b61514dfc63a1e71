"""When and at what price an order meets a bar: everything in the buying form, selling by negating every price."""

from __future__ import annotations

from tests.exact.types import Bar

STOPS = ("stop", "trailing_stop", "stop_limit")


def view(bar, side):
    """The bar as a buyer sees it: for selling every price is negated, and low and high change places."""
    return bar if side > 0 else Bar(-bar.open, -bar.low, -bar.high, -bar.close, bar.volume)


def market_price(rules, bar):
    """The price of market orders."""
    return {"open": bar.open, "close": bar.close, "mid": (bar.high + bar.low) / 2, "quote": bar.close}[
        rules.market_price
    ]


def level(order):
    """The price that decides: the limit, or the stop or touch price, of a trailing stop where it stands now."""
    if order.type == "limit":
        return order.limit
    if order.type != "trailing_stop":
        return order.stop
    value, is_frac = order.trail
    offset = order.reference * value if is_frac else value
    return order.reference + order.side * offset


def touched(rules, order, bar, when):
    """True if the order's condition holds at the `open`, `within` the bar, or at the `close` stage."""
    seen, at = view(bar, order.side), level(order) * order.side
    is_stop = order.type in STOPS
    touch = rules.stop_touch if is_stop else rules.limit_touch
    if when == "close":
        if touch not in ("close", "fill_price"):
            return False
        price = seen.close if touch == "close" else market_price(rules, seen)
        return price >= at if is_stop else price <= at
    if touch in ("close", "fill_price"):
        return False
    extreme = seen.open if when == "open" else seen.high if is_stop else seen.low
    if is_stop:
        return extreme > at if touch == "through" else extreme >= at
    return extreme < at if touch == "through" else extreme <= at


def stage_of(rules, order, bar):
    """The stage at which a priced order's condition holds: open, inside, close, or None."""
    if touched(rules, order, bar, "open"):
        return "open"
    if touched(rules, order, bar, "within"):
        return "inside"
    return "close" if touched(rules, order, bar, "close") else None


def limit_fill(rules, order, bar):
    """The reference price of a limit order."""
    seen, limit = view(bar, order.side), order.limit * order.side
    price = {
        "limit_or_open": min(seen.open, limit),
        "limit": limit,
        "limit_or_high": min(seen.high, limit),
        "market": market_price(rules, seen),
    }[rules.limit_price]
    return price * order.side


def stop_fill(rules, order, bar):
    """The reference price of a stop or trailing stop."""
    seen, stop = view(bar, order.side), level(order) * order.side
    price = {
        "stop_or_open": max(seen.open, stop),
        "stop": stop,
        "stop_or_close": max(seen.close, stop),
        "market": market_price(rules, seen),
    }[rules.stop_price]
    return price * order.side


def touch_fill(order, bar):
    """The reference price of a limit-if-touched order whose limit allows its touch price."""
    return min(view(bar, order.side).open, order.stop * order.side) * order.side


def limit_allows(order):
    """True if a stop-limit or touched order's limit is no worse than the price that triggers it."""
    return order.limit * order.side >= order.stop * order.side


def path_rank(rules, order, bar):
    """(which way first, distance from the open): the order of a symbol's orders inside a bar."""
    at = level(order)
    distance = abs(at - bar.open)
    path = rules.intrabar
    if path == "adaptive":
        path = "ohlc" if bar.high - bar.open < bar.open - bar.low else "olhc"
    if path in ("stop_first", "target_first"):
        first = (order.type in STOPS) == (path == "stop_first")
    else:
        first = (at > bar.open) == (path == "ohlc")
    return (0 if first else 1, distance)


def ratchet(rules, order, bar):
    """Move a trailing stop's reference by a bar, in the position's favour only."""
    extreme = bar.low if order.side > 0 else bar.high
    seen = extreme if rules.trail_reference == "high" else bar.close
    better = min if order.side > 0 else max
    order.reference = better(order.reference, seen)
