"""Replay: callbacks in order, and the same fills and equity whether requests come row by row or all at once."""

import datetime as dt
import itertools
import sys

import numpy as np
import pytest

from backtester.arrays import Bars, Grid
from backtester.config.execution import Execution, Limits
from backtester.data.calendar import Session
from backtester.data.columns import text
from backtester.errors import StrategyError
from backtester.execution import clock as clocks
from backtester.execution.rules import rules_of
from backtester.execution.simulate import Ledger
from backtester.features.grid import SessionGrid
from backtester.features.intraday import run_pass
from backtester.features.rows import Rows, rows_of
from backtester.interval import Interval
from backtester.kernels import codes, state
from backtester.strategy.events import Desk
from backtester.strategy.replay import replay_session
from backtester.strategy.series import derived_columns
from backtester.strategy.session_data import SessionData
from tests.execution import two_engines
from tests.execution.generated import generated
from tests.reference import Row
from tests.sessions import MINUTE, OPEN, session, table


def day_rows(case, day, first, market):
    """A session of a generated case as rows; nothing but what the replay itself reads."""
    labels = np.array(day.labels, dtype=np.int64)
    codes_, label = market.symbol, []
    for k in range(len(labels)):
        label += [k] * sum((first + k, symbol) in case.bars for symbol in range(case.symbols))
    label = np.array(label, dtype=np.int32)
    ends = np.searchsorted(label, np.arange(len(labels)), "right")
    starts = np.searchsorted(label, np.arange(len(labels)), "left")
    grid = SessionGrid(labels, Grid(starts, ends, np.arange(len(labels), dtype=np.int32)), labels, case.step, "regular")
    whole = Session(day.date, day.labels[0], day.close_at, None, None, False, day.close_at)
    known_at = np.minimum(labels + case.step, day.close_at)
    bars = Bars(market.open, market.high, market.low, market.close, market.volume)
    none = np.zeros(len(label))
    return Rows(whole, text(case.names), grid, known_at, label, codes_, bars, None, none, none, none)


class Scripted:
    """Asks what a case asks, at the label's first bar; looks at its money now and then, which must change nothing."""

    def __init__(self, requests, *, looks):
        self.requests, self.looks, self.fills, self.label = requests, looks, [], None

    def on_session_start(self, data, desk):
        before = desk._books.state.counters.tolist(), desk._books.state.account.tolist()
        if self.looks:
            self.look(desk)
        assert before == (desk._books.state.counters.tolist(), desk._books.state.account.tolist())

    def on_fill(self, fill, data, desk):
        self.fills.append(fill)
        if self.looks:
            self.look(desk)

    def look(self, desk):
        assert np.isfinite([desk.equity, desk.cash, desk.position("S00"), desk.live_orders]).all()

    def on_bar(self, bar, data, desk):
        if desk.label == self.label:
            return
        self.label = desk.label
        if self.looks and desk.label % self.looks == 0:
            self.look(desk)
        at = np.flatnonzero(self.requests.label == desk.label)
        for q, row in enumerate(at.tolist()):
            for name, column in desk._at.asked._asdict().items():
                values = getattr(self.requests, name)
                column[desk.base + q] = (values[row] if len(values) > 1 else values[0]).item()
        desk.asked[0] = desk.base + len(at)

    def on_session_end(self, data, desk):
        self.label = None


def by_events(case, looks):
    """The outcome of a case whose requests come from an event strategy, session by session."""
    execution, limits = two_engines.settings(case)
    rules = rules_of(execution, limits, symbols=case.names, quality=case.asks_entry)
    account, outcome = state.new_state(case.symbols, execution.capital), two_engines.Outcome([], [], [], [])
    total, cuts, told = sum(len(day.labels) for day in case.days), range(1, len(case.days)), []
    for day, (clock, market, first) in zip(case.days, two_engines._parts(case, limits, cuts, ()), strict=True):
        count = len(clock.timestamp)
        books = Ledger(clock, market, rules=rules, state=account, is_last=first + count == total)
        rows = day_rows(case, day, first, market)
        asked = [row for row in case.requests if first <= row["label"] < first + count]
        strategy = Scripted(two_engines._columns(asked, first), looks=looks)
        desk = Desk(books, case.names, rows.grid.labels)
        replay_session(strategy, rows, SessionData(rows, Interval.parse("1m")), desk, derived={})
        done = books.done()
        account = done.state
        two_engines._read(done, outcome)
        told += strategy.fills
    return outcome, told


def askable(case):
    """The case without requests at labels that have no bar: an event strategy is not called there."""
    numbers = {number for number, _ in case.bars}
    case.requests = [row for row in case.requests if row["label"] in numbers]
    return case


@pytest.mark.parametrize("looks", [0, 1, 3])
@pytest.mark.parametrize("start", range(0, 300, 25))
def test_requests_row_by_row_give_the_same_bits_as_all_at_once(start, looks):
    for seed in range(start, start + 25):
        case = askable(generated(seed))

        outcome, told = by_events(case, looks)

        assert outcome == two_engines.real(case, session_cuts=range(1, len(case.days)))
        assert [fill.price for fill in told] == [fill["price"] for fill in outcome.fills]
        times = [at for day in case.days for at in day.labels]
        assert [fill.timestamp for fill in told] == [times[fill["label"]] for fill in outcome.fills]


class Recorder:
    """Every callback, written down."""

    def __init__(self):
        self.told = []

    def on_session_start(self, data, desk):
        self.told.append(("start", data.clock, data.get_latest_bar("A")))

    def on_bar(self, bar, data, desk):
        assert data.get_latest_bar(bar.symbol) == bar
        assert data.clock == bar.known_at
        self.told.append(("bar", bar.symbol, (bar.timestamp - OPEN) // MINUTE))
        if bar.symbol == "A" and bar.timestamp == OPEN:
            desk.enter("A", 1, units=10.0)

    def on_derived_bar(self, bar, interval, data, desk):
        assert data.get_latest_bar(bar.symbol, interval) == bar
        self.told.append((interval, bar.symbol, (bar.timestamp - OPEN) // MINUTE, (data.clock - OPEN) // MINUTE))

    def on_quality(self, symbol, quality_pct, data, desk):
        self.told.append(("quality", symbol, quality_pct))

    def on_fill(self, fill, data, desk):
        assert desk.position(fill.symbol) == fill.position_after
        self.told.append(("fill", fill.symbol, fill.quantity, fill.price, (data.clock - OPEN) // MINUTE))

    def on_session_end(self, data, desk):
        self.told.append(("end", (data.clock - OPEN) // MINUTE, desk.position("A")))


def replayed(strategy, minutes=6, missing=(), *, flat_by=None, **rules):
    """A strategy's session of two symbols on a made-up market."""
    rows = [
        Row(OPEN + t * MINUTE, name, 10.0 + t, 11.0 + t, 9.0 + t, 10.5 + t, 1000.0)
        for t, name in itertools.product(range(minutes), "AB")
        if (t, name) not in missing
    ]
    whole, minute, five = session(minutes), Interval.parse("1m"), [Interval.parse("5m")]
    bars, _ = table(rows, ["A", "B"])
    done = run_pass(bars, whole, interval=minute, derived=five)
    made = rows_of(done, whole, five, minute)
    labels = clocks.session_labels(whole, made.grid.labels, made.grid.grid, step=MINUTE, rows=len(made.codes))
    execution, limits = Execution(capital=10_000.0, **rules), Limits(flat_by=flat_by)
    books = Ledger(
        clocks.clock_of([labels], flat_by_us=limits.flat_by_us),
        clocks.market_of(made.bars, made.codes),
        rules=rules_of(execution, limits, symbols=["A", "B"]),
        state=state.new_state(2, execution.capital),
        is_last=True,
    )
    derived = {"5m": derived_columns(done, 0)}
    data = SessionData(made, minute, derived=derived)
    desk = Desk(books, ["A", "B"], made.grid.labels)
    replay_session(strategy, made, data, desk, derived=derived, use="mine:Mine")
    return books.done()


def test_callbacks_come_in_the_order_of_the_clock():
    recorder = Recorder()

    done = replayed(recorder, missing=[(2, "B")])

    assert recorder.told == [
        ("start", OPEN, None),
        *(("bar", "A", 0), ("bar", "B", 0)),
        *(("fill", "A", 10.0, 11.0, 2), ("bar", "A", 1), ("bar", "B", 1)),
        *(("bar", "A", 2), ("quality", "B", 100.0 * 2 / 3)),
        *(("bar", "A", 3), ("bar", "B", 3), ("bar", "A", 4), ("bar", "B", 4), ("5m", "A", 0, 5), ("5m", "B", 0, 5)),
        *(("bar", "A", 5), ("bar", "B", 5), ("5m", "A", 5, 6), ("5m", "B", 5, 6)),
        ("end", 6, 10.0),
    ]
    assert done.final_equity == 10_000.0 + 10 * (15.5 - 11.0)


class Asks:
    """Asks where it is told to."""

    def __init__(self, where, ask):
        self.where, self.ask = where, ask

    def on_bar(self, bar, data, desk):
        if self.where == "on_bar" and bar.symbol == "A":
            self.ask(desk)

    def on_session_start(self, data, desk):
        if self.where == "on_session_start":
            self.ask(desk)

    def on_session_end(self, data, desk):
        if self.where == "on_session_end":
            self.ask(desk)


@pytest.mark.parametrize(
    ("where", "ask", "words"),
    [
        ("on_session_start", lambda desk: desk.target("A", units=1.0), "before a session's first bar"),
        ("on_bar", lambda desk: desk.target("C", units=1.0), "'C' is no symbol of the run"),
        ("on_bar", lambda desk: [desk.exit_("A") for _ in range(100)], "more than 64 requests"),
        ("on_bar", lambda desk: desk.enter("A", 2), "A: side is 2; expected 1 to buy, -1 to sell"),
        ("on_bar", lambda desk: desk.place("A", "buy", units=1.0), "A: side is 'buy'; expected 1 to buy"),
        (
            "on_bar",
            lambda desk: desk.enter("A", 1, units=float("nan")),
            "A: units is nan; expected a number, or leave it",
        ),
        (
            "on_bar",
            lambda desk: desk.enter("A", 1, limit=float("nan")),
            "A: limit is nan; expected a number, or leave it",
        ),
        ("on_bar", lambda desk: desk.enter("A", 1, limit=None), "A: limit is None; expected a number, or leave it out"),
        ("on_bar", lambda desk: desk.place("A", 1, units=-2.0), "A: units is -2.0; expected above 0, the side says"),
        ("on_bar", lambda desk: desk.enter("A", 1, units=1.0, notional=2.0), "A: enter with units, notional; give one"),
        ("on_bar", lambda desk: desk.target("A"), "A: target with no amount; give one"),
        ("on_bar", lambda desk: desk.enter("A", 1, exit_after=2.5), "A: exit_after is 2.5; expected a whole number"),
        ("on_bar", lambda desk: desk.enter("A", 1, exit_after=2**40), "A: .*invalid value"),
        ("on_bar", lambda desk: desk.enter("A", 1, tif="gtx"), "A: tif is 'gtx'; expected gtc, day, ioc, fok, gtd"),
        ("on_bar", lambda desk: desk.enter("A", 1, unit=2.0), "A: .*unexpected keyword argument 'unit'"),
        ("on_session_end", lambda desk: sys.exit(0), r"mine:Mine, session 2025-06-16.*SystemExit: 0 \(test_replay.py"),
        ("on_bar", lambda desk: 1 / 0, "mine:Mine, session 2025-06-16.*ZeroDivisionError"),
    ],
)
def test_what_cannot_be_asked_is_said(where, ask, words):
    with pytest.raises(StrategyError, match=words):
        replayed(Asks(where, ask))


def test_a_request_that_was_refused_is_none_for_who_goes_on():
    def ask(desk):
        if desk.label == 0:
            for wrong in ({"exit_after": 2**40}, {"tif": "gtx"}, {"units": float("nan")}):
                with pytest.raises(StrategyError):
                    desk.enter("A", 1, **wrong)
            desk.place("A", 1, units=2.0, limit=11.0, tif="day")

    orders = replayed(Asks("on_bar", ask)).written.order_facts

    assert orders[:, state.LOGGED_TIF].tolist() == [codes.DAY]


def test_what_is_asked_at_the_session_end_is_asked_with_the_last_bar():
    done = replayed(Asks("on_session_end", lambda desk: desk.target("A", units=3.0)))

    orders = done.written.order_facts
    assert orders[:, state.LOGGED_LABEL].tolist() == [5]
    assert codes.KINDS[codes.TARGET] == "target"
    assert done.sessions[0, state.S_EQUITY] == 10_000.0


def test_the_ledger_moves_when_somebody_looks_and_not_before():
    class Moves(Asks):
        def __init__(self, looks, told):
            super().__init__("", None)
            self.looks, self.calls = looks, []
            if told:
                self.on_fill = lambda fill, data, desk: None

        def on_session_start(self, data, desk):
            move = desk._books.move
            desk._books.move = lambda *given: (self.calls.append(given[1:]), move(*given))

        def on_bar(self, bar, data, desk):
            if bar.symbol == "A" and desk.label in (1, 2):
                desk.target("A", units=float(desk.label))
            if desk.label in self.looks:
                assert desk.position("A") == max(min(desk.label - 1, 2), 0)

    unseen, late, told = Moves((), told=False), Moves((2, 5), told=False), Moves((), told=True)

    assert replayed(unseen).final_equity == replayed(late).final_equity == replayed(told).final_equity
    assert unseen.calls == [(0, 6, 0)]
    # Its first look is at a label; what it asked there and later is done by the second.
    assert late.calls == [(0, 3, 2), (2, 6, 3), (5, 6, 1)]
    assert told.calls == [(0, 1, 2), (0, 3, 3), (2, 4, 3), (3, 6, 1)]


class Counts:
    """Asks at the first bar; what it sees of the account at every bar and fill, and which rule filled."""

    def __init__(self, **order):
        self.order, self.seen = order, []

    def on_bar(self, bar, data, desk):
        if bar.symbol == "A":
            if desk.label == 0:
                desk.enter("A", 1, units=10.0, **self.order)
            self.seen.append((desk.position("A"), desk.live_orders))

    def on_fill(self, fill, data, desk):
        assert (fill.position_after, fill.cash_after) == (desk.position("A"), desk.cash)
        self.seen.append(fill.rule)


@pytest.mark.parametrize("end", ["close", "open"])
def test_a_fill_told_after_the_last_bar_finds_the_account_as_it_is(end):
    counts = Counts()

    replayed(counts, end=end)

    assert counts.seen == [(0.0, 0), "market_open", *[(10.0, 0)] * 5, f"end_{end}"]


def test_an_order_that_a_guard_cancelled_is_live_no_more():
    counts = Counts(limit=1.0)

    replayed(counts, flat_by="close-2m")

    assert counts.seen == [(0.0, 0), *[(0.0, 1)] * 2, *[(0.0, 0)] * 3]


def test_of_one_label_higher_ranks_are_asked_first():
    class Both:
        def on_bar(self, bar, data, desk):
            if bar.timestamp == OPEN:
                desk.target(bar.symbol, units=1.0, rank=1.0 if bar.symbol == "B" else 0.0)

    done = replayed(Both())

    assert done.written.order_facts[:, state.LOGGED_SYMBOL].tolist() == [1, 0]
    assert dt.date(2025, 6, 16) == session(6).date
