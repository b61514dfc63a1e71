"""The account and its live orders: what a fill, a cancellation and a fee do to them."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from tests.exact import money, touch
from tests.exact.trades import Trades
from tests.exact.types import Event, Fill, Legs, Order


class Book:
    """Cash, positions, marks and orders, in the order of submission; `label` is where the clock stands."""

    def __init__(self, rules):
        self.rules = rules
        self.cash = rules.capital
        self.position, self.mark, self.bar = {}, {}, {}
        self.orders, self.fills, self.events, self.equity = [], [], [], []
        self.now, self.label = None, 0  # the Label and its number
        self.used = {}  # units of this label's bars already given, by symbol
        self.month_units = {}
        self.armed = []  # legs that take part in the bar of their entry
        self.halted = self.past_cutoff = False
        self.trades = Trades(fifo=rules.lots == "fifo")

    def held(self, symbol):
        """The signed position."""
        return self.position.get(symbol, Fraction(0))

    def live(self, symbol=None):
        """Live orders in order of submission."""
        return [o for o in self.orders if o.status == "live" and symbol in (None, o.symbol)]

    def working(self, symbol=None):
        """Live orders that are no legs."""
        return [o for o in self.live(symbol) if not o.is_leg]

    def worth(self):
        """Equity at the marks as they are."""
        return self.cash + sum((p * self.mark[s] for s, p in sorted(self.position.items())), Fraction(0))

    def gross(self):
        """The sum of positions' values without sign."""
        return sum((abs(p) * self.mark[s] for s, p in self.position.items() if p), Fraction(0))

    def free(self, *, cash=None, changed=None):
        """Free cash; `changed` gives (symbol, position, price) in place of what is held."""
        m = 1 / self.rules.leverage
        held = {s: (p, self.mark[s]) for s, p in self.position.items() if p}
        if changed is not None:
            symbol, position, price = changed
            held[symbol] = (position, price)
        total = self.cash if cash is None else cash
        for position, price in held.values():
            total += abs(position) * price * (1 - m if position > 0 else -(1 + m))
        return total

    def tell(self, order, event, reason=""):
        """Append to the order's life."""
        self.events.append(Event(order.id, self.label, event, reason))

    def drop(self, order, reason, event="cancelled"):
        """End a live order otherwise than by filling it."""
        if order.status == "live":
            order.status = event
            self.tell(order, "replaced" if reason == "replaced" else event, reason)

    def add(self, order):
        """Number a new order and list it."""
        order.id = len(self.orders)
        self.orders.append(order)
        self.tell(order, "submitted")
        return order

    def opening(self, side, quantity, position):
        """The units of a fill or order that open."""
        return max(quantity - abs(position), Fraction(0)) if position * side < 0 else quantity

    def apply(self, order, quantity, price, *, reference, rule, bar, at_open=False, spread=(None, None)):
        """One fill: cash and position, then what follows from it for other orders and legs."""
        symbol, before = order.symbol, self.held(order.symbol)
        order.filled += quantity
        order.value += quantity * price
        fee = money.total_fee(self.rules, order.side, order.rate, order.per_unit, order.filled, order.value)
        fee, order.charged = fee - order.charged, fee
        self.cash -= order.side * quantity * price + fee
        after = self.position[symbol] = before + order.side * quantity
        trade, realized = self.trades.fill(
            symbol, order.side, quantity, price, fee, before, self.label, at_open=at_open
        )
        month = self.now.month
        self.month_units[month] = self.month_units.get(month, Fraction(0)) + quantity
        done = after == 0 if order.closes else order.filled == order.quantity
        self.tell(order, "filled" if done else "partially_filled")
        order.status = "filled" if done else "live"
        fill = Fill(
            order.id, symbol, self.label, at_open, order.side, quantity, price, reference, fee, rule,
            spread[0] is not None, *(price if p is None else p for p in spread), after, self.cash, trade, realized,
        )  # fmt: skip
        self.fills.append(fill)
        self._follow(order, before, after)
        if order.legs and not order.legs_made and after * order.side > 0:
            order.legs_made = True
            self._make_legs(order, price, at_open, bar)
        return fee

    def _follow(self, order, before, after):
        if order.is_leg:
            for other in self.live(order.symbol):
                if other is not order:
                    self.drop(other, "leg")
        if order.group:
            for other in self.live():
                if other is not order and other.group == order.group:
                    self.drop(other, "oco")
        if before and before * after <= 0:
            for leg in self.live(order.symbol):
                if leg.is_leg and leg is not order:
                    self.drop(leg, "flat")

    def _make_legs(self, entry, price, at_open, bar):
        for leg in self.live(entry.symbol):
            if leg.is_leg:
                self.drop(leg, "replaced")
        legs: Legs = entry.legs
        made = Order(
            0,
            entry.symbol,
            -entry.side,
            "",
            "",
            self.label,
            self.now.session,
            unit="close",
            parent=entry.id,
            is_leg=True,
        )
        wanted = [("stop", "stop_loss", legs.stop_loss), ("trailing_stop", "trail", legs.trail)]
        wanted += [("limit", "take_profit", legs.take_profit), ("timer", "timer", legs.exit_after_bars or None)]
        for kind, role, value in wanted:
            if value is None:
                continue
            leg = replace(made, type=kind, role=role, legs=Legs())
            if kind == "timer":
                leg.bars_left = value
            elif kind == "trailing_stop":
                leg.trail, leg.reference = value, price
            else:
                level, is_frac = value
                away = -entry.side if role == "stop_loss" else entry.side
                level = price * (1 + away * level) if is_frac else level
                setattr(leg, "stop" if kind == "stop" else "limit", level)
            self.round_prices(leg)
            self.add(leg)
            if not self.priced_well(leg):
                self.drop(leg, "price", "rejected")
                continue
            self.tell(leg, "accepted")
            if self.rules.arm == "entry_bar" and at_open and bar is not None:
                if kind == "trailing_stop" and self.rules.trail_first:
                    touch.ratchet(self.rules, leg, bar)
                self.armed.append(leg)

    def round_prices(self, order):
        """Limit prices to the tick, buys down and sells up; stops the other way."""
        if not self.rules.round_orders:
            return
        if order.limit is not None:
            order.limit = money.to_tick(order.limit, self.rules.tick, up=order.side < 0)
        if order.stop is not None:
            order.stop = money.to_tick(order.stop, self.rules.tick, up=order.side > 0)

    def priced_well(self, order):
        """True if every price of the order is positive."""
        prices = [order.limit, order.stop, order.trail[0] if order.trail else None]
        return all(price is None or price > 0 for price in prices)
