"""The clock of docs/execution.md, step by step."""

from __future__ import annotations

from tests.exact.asking import ask, execute_now, leave, opens
from tests.exact.book import Book
from tests.exact.filling import execute, settle_first_bar
from tests.exact.matching import match
from tests.exact.types import Order


def simulate(rules, labels, requests):
    """Run every label.

    labels    Labels in time order
    requests  {number of the label: its Requests, in any order}
    """
    book = Book(rules)
    book.targets = {}
    previous_day = None
    for number, label in enumerate(labels):
        book.now, book.label = label, number
        if label.is_first:
            if previous_day is not None:
                carry_costs(book, label.day - previous_day)
            previous_day = label.day
            book.start, book.halted, book.past_cutoff, book.loss_met = book.worth(), False, False, False
        match(book)
        mark(book)
        guard(book)
        asked = requests.get(number, [])
        for request in sorted(asked, key=lambda r: (-r.rank, r.symbol)):
            ask(book, request)
        expire(book)
        if label.is_last and rules.flat_by_us is not None:
            close_session(book)
        if number == len(labels) - 1:
            end(book)
        book.equity.append((book.cash, book.worth()))
    return book


def carry_costs(book, days):
    """Interest on cash, then fees of short positions."""
    rules = book.rules
    rate = rules.interest_rate if book.cash > 0 else rules.debit_rate
    book.cash += book.cash * rate * days / 365
    for symbol, position in sorted(book.position.items()):
        if position < 0:
            book.cash -= abs(position) * book.mark[symbol] * rules.borrow_rate * days / 365


def mark(book):
    """Marks at the close; timers count, and those that end become market orders."""
    for symbol, bar in book.now.bars.items():
        book.mark[symbol], book.bar[symbol] = bar.close, bar
        if book.held(symbol):
            book.trades.mark(symbol, book.held(symbol), bar, book.label)
    for order in book.live():
        if (
            order.status == "live"
            and order.type == "timer"
            and order.symbol in book.now.bars
            and order.label < book.label
        ):
            order.bars_left -= 1
            if order.bars_left == 0:
                order.type, order.label, order.session, order.bars_met = "market", book.label, book.now.session, 0
                book.tell(order, "triggered")
                execute_now(book, order)


def guard(book):
    """Daily loss, maintenance margin, flat_by."""
    rules = book.rules
    if rules.max_daily_loss is not None and not book.loss_met and book.worth() <= book.start - rules.max_daily_loss:
        book.loss_met = book.halted = True
        for order in book.working():
            if opens(book, order) > 0:
                book.drop(order, "halted")
        if rules.daily_loss_action == "flatten":
            leave_all(book, "daily_loss")
    if rules.maintenance > 0 and book.worth() < rules.maintenance * book.gross():
        leave_all(book, "margin_call")
    if rules.flat_by_us is not None and not book.past_cutoff and book.now.ends >= book.now.close_at - rules.flat_by_us:
        book.past_cutoff = True
        for order in book.live():
            book.drop(order, "flat_by")
        leave_all(book, "flat_by")


def leave_all(book, reason):
    """Exit every position, in symbol order."""
    for symbol, position in sorted(book.position.items()):
        if position:
            leave(book, symbol, reason=reason, role=reason)


def expire(book):
    """Day orders at a session's last label, gtd orders when their time has come."""
    for order in book.live():
        if order.tif == "day" and book.now.is_last:
            book.drop(order, "day", "expired")
        elif order.tif == "gtd" and order.until <= book.now.ends:
            book.drop(order, "gtd", "expired")


def close_at_mark(book, symbol, price, *, role, rule):
    """Close a position by a fill no bar gives."""
    position = book.held(symbol)
    if position == 0:
        return
    side = -1 if position > 0 else 1
    order = Order(0, symbol, side, "market", role, book.label, book.now.session, unit="close")
    book.add(order)
    book.tell(order, "accepted")
    execute(book, order, price, rule=rule, bar=None)


def close_session(book):
    """Nothing stays open over night under flat_by."""
    for order in book.live():
        book.drop(order, "flat_by")
    for symbol in sorted(book.position):
        close_at_mark(book, symbol, book.mark[symbol], role="flat_by", rule="flat_by")


def end(book):
    """What the end of the data does."""
    if book.rules.end == "mark":
        return
    if book.rules.end == "open":
        for order in book.live():
            if order.status == "live" and order.type == "market":
                execute(book, order, book.bar[order.symbol].open, rule="end_open", bar=None)
                settle_first_bar(book, order)
    for symbol in sorted(book.position):
        price = book.mark[symbol] if book.rules.end == "close" else book.bar[symbol].open
        close_at_mark(book, symbol, price, role="end", rule=f"end_{book.rules.end}")
