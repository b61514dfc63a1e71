"""Live orders meet the bars of one label: open, inside, close, or one queue."""

from __future__ import annotations

from tests.exact import touch
from tests.exact.filling import execute, settle_first_bar

PRICED = ("limit", "stop", "stop_limit", "limit_if_touched", "trailing_stop")
MARKET_RULE = {"open": "market_open", "close": "market_close", "mid": "market_mid", "quote": "market_close"}


def match(book):
    """Everything that was accepted at an earlier label meets this label's bars."""
    rules, label = book.rules, book.now
    book.used, book.armed = {}, []
    meets = []
    for order in book.live():
        waited, fresh = book.label - order.label, order.type == "market" and not order.was_stop
        if order.symbol not in label.bars:
            if fresh and rules.missing_bar == "cancel" and waited == 1 and order.bars_met == 0:
                book.drop(order, "missing")
        elif fresh and order.bars_met == 0 and waited > rules.stale_after_bars > 0:
            book.drop(order, "stale", "rejected")
        else:
            meets.append(order)
    first = [order for order in meets if order.bars_met == 0]
    if rules.trail_first:
        for order in meets:
            if order.type == "trailing_stop":
                touch.ratchet(rules, order, label.bars[order.symbol])
    _Round(book, meets).go()
    for order in first:
        settle_first_bar(book, order)
    for order in meets:
        order.bars_met += 1
    if not rules.trail_first:
        for order in [*meets, *book.armed]:
            if order.type == "trailing_stop" and order.status == "live":
                touch.ratchet(rules, order, label.bars[order.symbol])


class _Round:
    """The turns of one label."""

    def __init__(self, book, meets):
        self.book, self.meets, self.had_turn = book, meets, set()

    def go(self):
        if self.book.rules.intrabar == "queue":
            waiting = list(self.meets)
            while waiting:
                order = waiting.pop(0)
                seen = len(self.book.armed)
                if order.status == "live":
                    self.queue_turn(order)
                waiting += self.book.armed[seen:]
            return
        for stage in ("open", "inside", "close"):
            self.stage(stage)

    def bar(self, order):
        return self.book.now.bars[order.symbol]

    def stage(self, name):
        book, rules = self.book, self.book.rules
        asked = [*self.meets, *(book.armed if name == "inside" else ())]
        orders = [o for o in asked if o.status == "live" and o.id not in self.had_turn and self.belongs(o, name)]

        def place(order):
            held = book.held(order.symbol)
            group = 0 if rules.exits_first and held * order.side < 0 else 1
            if name != "inside":
                return (group, order.id)
            return (group, order.symbol, *touch.path_rank(rules, order, self.bar(order)), order.id)

        for order in sorted(orders, key=place):
            if order.status == "live":
                self.turn(order, name)

    def belongs(self, order, stage):
        rules, label = self.book.rules, self.book.now
        if order.type == "market":
            return stage == ("open" if rules.market_price == "open" else "close")
        if order.type == "market_on_open":
            return stage == "open" and label.session > order.session
        if order.type == "market_on_close":
            return stage == "close" and label.is_last
        if order.type not in PRICED:
            return False
        when = {"open": "open", "inside": "within", "close": "close"}[stage]
        return touch.touched(rules, order, self.bar(order), when)

    def queue_turn(self, order):
        """The queue knows no stages: an order's condition is asked once, of the whole bar."""
        armed = order in self.book.armed
        for stage in ("open", "inside", "close"):
            if armed and stage == "open":
                continue
            if order.status == "live" and order.id not in self.had_turn and self.belongs(order, stage):
                self.turn(order, stage)

    def turn(self, order, stage):
        book, rules, bar = self.book, self.book.rules, self.bar(order)
        self.had_turn.add(order.id)
        order.turned = book.label
        if order.type in ("market", "market_on_open", "market_on_close"):
            self.market_turn(order, bar, stage)
            return
        at_open = touch.touched(rules, order, bar, "open")
        inside = stage == "inside" and not at_open
        marks = {"bar": bar, "at_open": at_open, "inside": inside}
        if order.type == "limit":
            reference = touch.limit_fill(rules, order, bar)
            execute(book, order, reference, rule=limit_rule(rules, order, reference, bar), **marks)
        elif order.type == "stop_limit":
            self.stop_limit_turn(order, bar, stage, marks)
        elif order.type == "limit_if_touched":
            if touch.limit_allows(order):
                reference = touch.touch_fill(order, bar)
                execute(
                    book, order, reference, rule="touched" if reference == order.stop else "touched_at_open", **marks
                )
            self.becomes(order, "limit")
        else:
            reference = touch.stop_fill(rules, order, bar)
            execute(book, order, reference, rule=stop_rule(rules, order, reference), **marks)
            self.becomes(order, "market")
            order.was_stop = True

    def becomes(self, order, kind):
        if order.status == "live":
            order.type = kind
            self.book.tell(order, "triggered")

    def market_turn(self, order, bar, stage):
        book, rules = self.book, self.book.rules
        if order.type == "market":
            reference, rule = touch.market_price(rules, bar), MARKET_RULE[rules.market_price]
        else:
            reference, rule = (bar.open if order.type == "market_on_open" else bar.close), order.type
        execute(book, order, reference, rule=rule, bar=bar, at_open=stage == "open")

    def stop_limit_turn(self, order, bar, stage, marks):
        book = self.book
        if stage == "inside" and touch.limit_allows(order):
            execute(book, order, order.stop, rule="stop_limit", **marks)
        self.becomes(order, "limit")
        if stage == "open" and order.status == "live":
            self.had_turn.discard(order.id)
            if self.belongs(order, "open"):
                self.turn(order, "open")


def limit_rule(rules, order, reference, bar):
    """The name of what gave a limit order its price."""
    names = {"limit_or_open": "limit_at_open", "limit_or_high": "limit_at_high", "market": "limit_at_market"}
    if rules.limit_price == "market":
        return "limit_at_market"
    return "limit" if reference == order.limit else names[rules.limit_price]


def stop_rule(rules, order, reference):
    """The name of what gave a stop its price."""
    names = {"stop_or_open": "stop_at_open", "stop_or_close": "stop_at_close"}
    if rules.stop_price == "market":
        return "stop_at_market"
    return "stop" if reference == touch.level(order) else names[rules.stop_price]
