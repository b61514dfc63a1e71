"""Requests become orders: targets, entries, exits, and the checks at submission."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from tests.exact import money
from tests.exact.filling import NEARLY, execute, set_rates, settle_first_bar, size_by, size_by_cash
from tests.exact.types import Order

# A limit is exceeded by more than this share of it.
SLACK = 1 + NEARLY
PRICES = ("limit", "stop", "trail")
# The prices each order type reads.
READS = {"limit": ("limit",), "stop": ("stop",), "trailing_stop": ("trail",)}
READS |= dict.fromkeys(("stop_limit", "limit_if_touched"), ("limit", "stop"))


def type_of(request):
    """The order's type: that of a market order is told by the prices it is given."""
    if request.order_type != "market":
        return request.order_type
    if request.limit is not None:
        return "limit" if request.stop is None else "stop_limit"
    if request.stop is not None:
        return "stop"
    return "market" if request.trail is None else "trailing_stop"


def ask(book, request):
    """Handle one request."""
    {"target": _target, "enter": _enter, "exit": _exit, "order": _order, "cancel": _cancel}[request.kind](book, request)


def _cancel(book, request):
    for order in book.live(request.symbol):
        book.drop(order, "asked")


def _order(book, request):
    submit(book, request, role="order", side=request.side, unit=request.unit, amount=request.amount)


def _exit(book, request):
    leave(book, request.symbol, reason="exit", role="exit")


def leave(book, symbol, *, reason, role):
    """Cancel what the symbol has in the market and close its position."""
    for order in book.live(symbol):
        book.drop(order, reason)
    held = book.held(symbol)
    if held:
        submit(book, None, role=role, side=-1 if held > 0 else 1, unit="close", symbol=symbol)


def _enter(book, request):
    symbol, side, held = request.symbol, request.side, book.held(request.symbol)
    if held * side > 0 or any(order.side == side for order in book.working(symbol)):
        return
    if held:
        if book.rules.on_opposite == "ignore":
            return
        leave(book, symbol, reason="exit", role="exit")
        if book.rules.on_opposite == "close":
            return
    submit(book, request, role="entry", side=side, unit=request.unit, amount=request.amount)


def _target(book, request):
    symbol, asked = request.symbol, (request.unit, request.amount)
    if book.targets.get(symbol) == asked:
        return
    book.targets[symbol] = asked
    if symbol not in book.mark and (request.amount or request.unit != "units"):
        submit(book, request, role="target", side=1, unit=request.unit, amount=request.amount)
        return
    mark = book.mark.get(symbol, Fraction(1))
    held, wanted = book.held(symbol), size_by(book, request.unit, request.amount, mark)
    working = book.working(symbol)
    if wanted == held + sum((o.side * remainder(book, o) for o in working), Fraction(0)):
        return
    for order in working:
        book.drop(order, "replaced")
    if wanted == held:
        return
    side = 1 if wanted > held else -1
    if wanted == 0:
        for leg in book.live(symbol):
            book.drop(leg, "replaced")
        submit(book, request, role="target", side=side, unit="close")
    else:
        submit(book, request, role="target", side=side, unit="units", amount=abs(wanted - held))


def size_at_mark(book, order):
    """The units of an order, counted at mark while it has no size of its own."""
    if order.closes:
        held = book.held(order.symbol)
        return abs(held) if held * order.side < 0 else Fraction(0)
    if order.quantity is not None:
        return order.quantity
    price = book.mark[order.symbol]
    if order.unit != "cash_frac":
        return size_by(book, order.unit, order.amount, price)
    probe = replace(order)
    set_rates(book, probe, at_open=True)
    return size_by_cash(book, probe, price)


def remainder(book, order):
    """What of an order is still to fill."""
    return size_at_mark(book, order) - (0 if order.closes else order.filled)


def submit(book, request, *, role, side, unit, amount=Fraction(0), symbol=None):
    """Make, check and accept one order; with `fill_bar = "same"` execute a market order at once."""
    rules = book.rules
    order = Order(
        0, request.symbol if request else symbol, side, "market", role, book.label, book.now.session, unit, amount
    )
    if request is not None:
        order.tif, order.until, order.group = request.tif, request.until, request.group
        order.legs = request.legs
        order.type = type_of(request)
        reads = READS.get(order.type, ())
        order.limit, order.stop, order.trail = (getattr(request, n) if n in reads else None for n in PRICES)
    if (
        unit != "close"
        and order.symbol in book.mark
        and (unit == "units" or (rules.size_at == "decision" and unit != "cash_frac"))
    ):
        order.quantity = size_by(book, unit, amount, book.mark[order.symbol])
    book.round_prices(order)
    book.add(order)
    reason = refusal(book, order)
    if reason:
        book.drop(order, reason, "rejected")
        return
    book.tell(order, "accepted")
    if order.type == "trailing_stop":
        order.reference = book.mark[order.symbol]
    if order.type == "market":
        execute_now(book, order)


def execute_now(book, order):
    """With `fill_bar = "same"`: a market order meets the bar it was decided on, at its close."""
    bar = book.now.bars.get(order.symbol)
    if book.rules.fill_bar == "same" and bar is not None:
        execute(book, order, bar.close, rule="same_close", bar=bar)
        settle_first_bar(book, order)
        order.bars_met += 1


def counted(book, symbol):
    """The position as the checks see it: 0 while an order that closes it is working."""
    closing = any(order.closes for order in book.working(symbol))
    return Fraction(0) if closing else book.held(symbol)


def opens(book, order):
    """The units of an order that would open."""
    return (
        Fraction(0) if order.closes else book.opening(order.side, remainder(book, order), counted(book, order.symbol))
    )


def refusal(book, order):
    """Why an order is refused, or None."""
    absent = any(getattr(order, name) is None for name in READS.get(order.type, ()))
    if order.symbol not in book.mark or absent or not book.priced_well(order):
        return "price"
    if order.quantity is not None and order.quantity <= 0:
        return "quantity"
    opening = opens(book, order)
    if opening == 0:
        return None
    rules, symbol = book.rules, order.symbol
    if symbol in rules.restricted:
        return "restricted"
    if rules.quality and symbol not in book.now.bars:
        return "no_bar"
    if symbol in book.now.barred:
        return "quality"
    if symbol in book.now.unselected:
        return "not_selected"
    if book.halted:
        return "halted"
    if book.past_cutoff:
        return "flat_by"
    return _over_limits(book, order, opening) or (None if _cash_at_mark(book, order) else "cash")


def _over_limits(book, order, opening):
    rules, symbol, mark = book.rules, order.symbol, book.mark
    others = [o for o in book.working() if o is not order and opens(book, o) > 0]
    names = {symbol, *(o.symbol for o in others), *(s for s, p in book.position.items() if p)}
    if rules.max_open_positions is not None and len(names) > rules.max_open_positions:
        return "max_open_positions"
    notional = opening * mark[symbol]
    if rules.max_per_trade is not None and notional > rules.max_per_trade * SLACK:
        return "max_per_trade"
    after = abs(counted(book, symbol) + order.side * size_at_mark(book, order)) * mark[symbol]
    if rules.max_per_symbol is not None and after > rules.max_per_symbol * SLACK:
        return "max_per_symbol"
    total = book.gross() + sum((opens(book, o) * mark[o.symbol] for o in others), Fraction(0)) + notional
    if rules.max_gross is not None and total > rules.max_gross * book.worth() * SLACK:
        return "max_gross"
    if rules.max_buying_power is not None and total > rules.max_buying_power * SLACK:
        return "max_buying_power"
    return None


def _cash_at_mark(book, order):
    """False if, this label's orders filled at mark one after another, this one would leave no free cash."""
    rules = book.rules
    if rules.cash != "at_submit":
        return True
    cash, held = book.cash, dict(book.position)
    earlier = [o for o in book.working() if o.label == book.label and o is not order]
    for each in [*earlier, order]:
        price, position = book.mark[each.symbol], held.get(each.symbol, Fraction(0))
        opposite = abs(position) if position * each.side < 0 else Fraction(0)
        quantity = opposite if each.closes else remainder(book, each)
        if quantity == 0:
            continue
        c = rules.commission
        per_unit = money.unit_fee(rules, book.month_units.get(book.now.month, 0))
        fee = money.total_fee(rules, each.side, c.taker_rate, per_unit, quantity, quantity * price)
        cash -= each.side * quantity * price + fee
        held[each.symbol] = position + each.side * quantity
        value = quantity * price
    keep, book.position = book.position, held
    free = book.free(cash=cash)
    book.position = keep
    return free >= -NEARLY * value
