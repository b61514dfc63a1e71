"""One turn of one order: how much of it, at what price after costs, with which cash."""

from __future__ import annotations

from tests.exact import money, touch

NEARLY = money.NEARLY


def kind_of(order):
    """How slippage sees an order: market, stop or limit."""
    if order.type in ("stop", "trailing_stop"):
        return "stop"
    return "limit" if order.type in ("limit", "stop_limit", "limit_if_touched") else "market"


def set_rates(book, order, at_open):
    """Maker or taker, and the tier: settled by the order's first fill."""
    if order.filled == 0:
        fees = book.rules.commission
        maker = order.type == "limit" and not at_open
        order.rate = fees.maker_rate if maker else fees.taker_rate
        order.per_unit = money.unit_fee(book.rules, book.month_units.get(book.now.month, 0))


def cost_of(book, order, quantity, price):
    """What the next `quantity` would be charged."""
    total = money.total_fee(
        book.rules, order.side, order.rate, order.per_unit, order.filled + quantity, order.value + quantity * price
    )
    return total - order.charged


def size_by(book, unit, amount, price):
    """The rounded size of an order by units, notional or equity."""
    units = {
        "units": lambda: amount,
        "notional": lambda: amount / price,
        "equity_frac": lambda: amount * book.worth() / price,
    }
    return money.rounded(units[unit](), book.rules.lot)


def size_by_cash(book, order, price):
    """The largest quantity whose cost is within the order's share of free cash."""
    m = 1 / book.rules.leverage
    budget = order.amount * book.free()
    if budget <= 0:
        return 0
    affordable = money.largest(lambda q: q * price * m + cost_of(book, order, q, price) <= budget, budget / (price * m))
    return money.rounded(affordable, book.rules.lot)


def free_after(book, order, quantity, price):
    """Free cash once this were filled."""
    cash = book.cash - order.side * quantity * price - cost_of(book, order, quantity, price)
    return book.free(cash=cash, changed=(order.symbol, book.held(order.symbol) + order.side * quantity, price))


def allowed_by_cash(book, order, quantity, price):
    """The quantity that cash allows."""
    opening = book.opening(order.side, quantity, book.held(order.symbol))
    if book.rules.cash == "none" or opening == 0:
        return quantity
    if free_after(book, order, quantity, price) >= -NEARLY * quantity * price:
        return quantity
    if book.rules.cash != "reduce":
        return 0
    closing = quantity - opening
    more = money.largest(lambda q: free_after(book, order, closing + q, price) >= 0, opening)
    return money.rounded(closing + more, book.rules.lot)


def give(book, order, bar):
    """(wanted, given by volume): units, or None where the order ended instead."""
    held = book.held(order.symbol)
    if order.closes:
        if held * order.side >= 0:
            book.drop(order, "flat")
            return None
        wanted = abs(held)
    else:
        wanted = order.quantity - order.filled
    room = room_of(book, order, bar)
    return wanted, wanted if room is None else min(wanted, room)


def room_of(book, order, bar):
    """The units a bar still gives, None for any number."""
    rules = book.rules
    if bar is None or rules.volume_frac == 0:
        return None
    cap = money.rounded(rules.volume_frac * bar.volume, rules.lot)
    room = cap - book.used.get(order.symbol, 0)
    return room if room > NEARLY else 0


def size_now(book, order, reference, bar):
    """Settle the size of an order that is sized when it fills; false where it is refused."""
    if order.closes or order.quantity is not None:
        return True
    opens = book.held(order.symbol) * order.side >= 0
    price = money.costly_price(book.rules, reference, order.side, kind=kind_of(order), opens=opens, bar=bar)
    by_cash = order.unit == "cash_frac"
    order.quantity = size_by_cash(book, order, price) if by_cash else size_by(book, order.unit, order.amount, price)
    if order.quantity <= 0:
        book.drop(order, "quantity", "rejected")
        return False
    return True


def execute(book, order, reference, *, rule, bar, at_open=False, inside=False):
    """Give an order its turn at a reference price; `bar` None is a close at a mark."""
    rules = book.rules
    set_rates(book, order, at_open)
    fills_all = rules.volume_rest == "next_tick"
    if not size_now(book, order, reference, bar):
        return
    gives = give(book, order, bar)
    if gives is None:
        return
    wanted, given = gives
    if order.tif == "fok" and given < wanted and not fills_all:
        return
    opens = book.opening(order.side, given if given else wanted, book.held(order.symbol)) > 0
    price = money.costly_price(rules, reference, order.side, kind=kind_of(order), opens=opens, quantity=given, bar=bar)
    if given and not _fill(book, order, given, price, reference, rule, bar, at_open, inside):
        return
    if given < wanted and order.status == "live":
        if fills_all:
            worse = price + order.side * rules.tick
            _fill(book, order, wanted - given, worse, reference, "remainder", bar, at_open, inside)
        elif rules.volume_rest == "cancel":
            book.drop(order, "volume")


def _fill(book, order, quantity, price, reference, rule, bar, at_open, inside):
    """One fill if limit and cash allow; false where nothing more may follow."""
    rules = book.rules
    if rules.limit_guard and order.limit is not None and price * order.side > order.limit * order.side:
        return False
    allowed = allowed_by_cash(book, order, quantity, price)
    if allowed < quantity and order.tif == "fok":
        return False
    if allowed == 0:
        book.drop(order, "cash", "rejected" if order.filled == 0 else "cancelled")
        return False
    spread = doubt(book, order, allowed, price, rule, bar, inside)
    spread = (None, None) if spread[0] == spread[1] else spread
    book.used[order.symbol] = book.used.get(order.symbol, 0) + allowed
    book.apply(order, allowed, price, reference=reference, rule=rule, bar=bar, at_open=at_open, spread=spread)
    if allowed < quantity:
        book.drop(order, "cash")
        return False
    return True


def doubt(book, order, quantity, price, rule, bar, inside):
    """(worst, best) prices where the bar's path decided the fill, else (None, None)."""
    rules, side = book.rules, order.side
    if rule == "market_mid":
        return (bar.high, bar.low) if side > 0 else (bar.low, bar.high)
    if not inside:
        return None, None
    if order.is_leg:
        prices = [price]
        for leg in book.live(order.symbol):
            if leg is order or not leg.is_leg or leg.type not in ("stop", "trailing_stop", "limit"):
                continue
            if takes_part(book, leg) and within_only(rules, leg, bar):
                fill = touch.limit_fill if leg.type == "limit" else touch.stop_fill
                reference = fill(rules, leg, bar)
                kind = kind_of(leg)
                prices.append(
                    money.costly_price(rules, reference, side, kind=kind, opens=False, quantity=quantity, bar=bar)
                )
        if len(prices) == 1:
            return None, None
        return (max(prices), min(prices)) if side > 0 else (min(prices), max(prices))
    if order.legs.stop_loss and not order.legs_made:
        value, is_frac = order.legs.stop_loss
        stop = price * (1 - side * value) if is_frac else value
        if rules.round_orders:
            stop = money.to_tick(stop, rules.tick, up=side < 0)
        seen = touch.view(bar, -side)
        at = stop * -side
        hit = {"at": seen.high >= at, "through": seen.high > at, "close": False}[rules.stop_touch]
        if hit and (book.held(order.symbol) + side * quantity) * side > 0:
            return price + side * abs(price - stop), price
    return None, None


def takes_part(book, leg):
    """True if a leg meets the bar at hand and has not had its turn in it."""
    return (leg.label < book.label or leg in book.armed) and leg.turned < book.label


def within_only(rules, leg, bar):
    """True if a leg's condition holds within the bar and did not at its open."""
    return touch.touched(rules, leg, bar, "within") and not touch.touched(rules, leg, bar, "open")


def settle_first_bar(book, order):
    """What ioc and fok say once the first bar is over."""
    if order.status == "live" and order.tif in ("ioc", "fok") and order.type != "timer":
        book.drop(order, order.tif)
