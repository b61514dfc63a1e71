"""Event strategies: bars a second of a plain Python on_bar with orders, beside the same wishes all at once.

The same strategy is measured with what makes the ledger move more often: a look at the position at every bar, fills
that are told, and limit orders that stay live.
"""

from __future__ import annotations

import datetime as dt
import itertools
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

from backtester.arrays import Bars, Float64, Grid, Requests
from backtester.config.execution import Execution, Limits
from backtester.data.calendar import Session
from backtester.data.columns import text
from backtester.execution import clock as clocks
from backtester.execution.requests import joined, requests_of
from backtester.execution.rules import rules_of
from backtester.execution.simulate import Ledger, simulate
from backtester.features.grid import SessionGrid
from backtester.features.rows import Rows
from backtester.interval import Interval
from backtester.kernels import codes, jit, state
from backtester.strategy.events import Desk
from backtester.strategy.replay import bars_by_label, replay_session
from backtester.strategy.session_data import SessionData

MINUTE = Interval.parse("1m")
BARS = 390
FAST, SLOW = 20, 50
UNITS = 10.0
BAR = 400_000


class Average:
    """The last n values and their sum; values are multiples of 1/64, so that sums are exact in any order."""

    def __init__(self, bars: int) -> None:
        self.values = deque([0.0] * bars, bars)
        self.sum = 0.0

    def add(self, value: float) -> float:
        """The sum with one more value."""
        self.sum += value - self.values[0]
        self.values.append(value)
        return self.sum


class Cross:
    """Long while the fast average is above the slow one: what a user writes."""

    def __init__(self) -> None:
        self.known: dict[str, list[Any]] = {}

    def on_bar(self, bar: Any, data: Any, desk: Any) -> None:  # noqa: ARG002
        """Two averages, one bar further."""
        own = self.known.get(bar.symbol)
        if own is None:
            own = self.known[bar.symbol] = [0, False, Average(FAST), Average(SLOW)]
        fast, slow = own[2].add(bar.close) / FAST, own[3].add(bar.close) / SLOW
        own[0] += 1
        if own[0] >= SLOW and (fast > slow) is not own[1]:
            own[1] = fast > slow
            desk.target(bar.symbol, units=UNITS if own[1] else 0.0)


class Looking(Cross):
    """The same, and asks for its position at every bar."""

    def on_bar(self, bar: Any, data: Any, desk: Any) -> None:
        """A look, then the averages."""
        desk.position(bar.symbol)
        super().on_bar(bar, data, desk)


class Told(Cross):
    """The same, and is told its fills."""

    def __init__(self) -> None:
        super().__init__()
        self.fills = 0

    def on_fill(self, fill: Any, data: Any, desk: Any) -> None:  # noqa: ARG002
        """One more."""
        self.fills += 1


class Resting(Cross):
    """Limit orders eight ticks away at every cross, which wait; told its fills, it looks at its position too."""

    def on_bar(self, bar: Any, data: Any, desk: Any) -> None:  # noqa: ARG002
        """A look, two averages, one bar further."""
        desk.position(bar.symbol)
        own = self.known.get(bar.symbol)
        if own is None:
            own = self.known[bar.symbol] = [0, False, Average(FAST), Average(SLOW)]
        fast, slow = own[2].add(bar.close) / FAST, own[3].add(bar.close) / SLOW
        own[0] += 1
        if own[0] >= SLOW and (fast > slow) is not own[1]:
            own[1] = fast > slow
            side = 1 if own[1] else -1
            desk.cancel(bar.symbol)
            desk.place(bar.symbol, side, units=UNITS, limit=bar.close - side / 8)

    def on_fill(self, fill: Any, data: Any, desk: Any) -> None:
        """Nothing: that it is told is what costs."""


def main(root: Path, *, quick: bool) -> None:  # noqa: ARG001
    """Print bars a second; the answers are compared first."""
    jit.compiled()
    print(f"replay: a Python on_bar with incremental averages {FAST} and {SLOW}, and their orders")
    for symbols, sessions in ((1, 20), (5, 4)) if quick else ((1, 252), (20, 21)):
        days, closes = days_of(symbols, sessions)
        rows = symbols * sessions * BARS
        fast, all_at_once = timed(lambda days=days, closes=closes: _at_once(days, _wishes(closes)), repeats=3)
        slow, (told, _) = timed(lambda days=days: _told(days, Cross()), repeats=3)
        assert told == all_at_once, (told, all_at_once)
        bare, _ = timed(lambda days=days: _bare(days), repeats=3)
        share = f"{bare / slow:.2f} of a bare loop's {rows / bare:,.0f} (bar 0.38), {slow / fast:.0f} x all at once"
        print(f"  {symbols:2} symbols x {sessions:3} sessions  {rows / slow:9,.0f} bars/s (bar {BAR:,}); {share}")
        for kind in (Looking, Told, Resting):
            slow, (told, asked) = timed(lambda days=days, kind=kind: _told(days, kind()), repeats=3)
            assert told == _at_once(days, asked)
            print(f"    {kind.__name__.lower():8} {rows / slow:9,.0f} bars/s, {len(asked.label):,} requests")


class _NoDesk:
    def target(self, symbol: str, *, units: float) -> None:
        """Take no order."""


def _bare(days: list[Rows]) -> None:
    """The strategy alone: bars made and told, no clock, no account."""
    strategy, nowhere = Cross(), _NoDesk()
    for day in days:
        for bars in bars_by_label(day):
            for bar in bars:
                strategy.on_bar(bar, None, nowhere)


def timed(work: Any, *, repeats: int) -> tuple[float, float]:
    """The least CPU seconds, and the answer."""
    best, answer = float("inf"), work()
    for _ in range(repeats):
        begun = time.process_time()
        answer = work()
        best = min(best, time.process_time() - begun)
    return best, answer


def days_of(symbols: int, sessions: int) -> tuple[list[Rows], Float64]:
    """Random walks in ticks of 1/64, every bar there."""
    random = np.random.default_rng(7)
    steps = random.integers(-4, 5, (symbols, sessions * BARS))
    closes = np.maximum(6400 + np.cumsum(steps, axis=1), 64) / 64.0
    names, days = text([f"S{k:02d}" for k in range(symbols)]), []
    for s in range(sessions):
        labels = np.arange(BARS, dtype=np.int64) * MINUTE.us + 1_700_000_000_000_000 + s * 86_400_000_000
        starts = np.arange(BARS, dtype=np.int64) * symbols
        grid = Grid(starts, starts + symbols, np.arange(BARS, dtype=np.int32))
        whole = SessionGrid(labels, grid, labels, MINUTE.us, "regular")
        close = np.ascontiguousarray(closes[:, s * BARS : (s + 1) * BARS].T).ravel()
        bars = Bars(close, close + 1 / 64, close - 1 / 64, close, np.full(len(close), 1e6))
        over = int(labels[-1]) + MINUTE.us
        session = Session(dt.date(2024, 1, 1) + dt.timedelta(s), int(labels[0]), over, None, None, False, over)
        label = np.repeat(np.arange(BARS, dtype=np.int32), symbols)
        code = np.tile(np.arange(symbols, dtype=np.int32), BARS)
        none: Any = None
        days.append(Rows(session, names, whole, labels + MINUTE.us, label, code, bars, none, none, none, none))
    return days, closes


def _wishes(closes: Float64) -> Requests:
    """The same strategy over whole columns."""
    rising = []
    for own in closes:
        total = np.concatenate(([0.0], np.cumsum(own)))
        fast = (total[SLOW:] - total[SLOW - FAST : -FAST]) / FAST
        slow = (total[SLOW:] - total[:-SLOW]) / SLOW
        rising.append(np.concatenate((np.zeros(SLOW - 1, dtype=np.bool_), fast > slow)))
    above = np.array(rising)
    before = np.concatenate((np.zeros((len(above), 1), dtype=np.bool_), above[:, :-1]), axis=1)
    label, symbol = np.nonzero((above != before).T)
    amount = np.where(above[symbol, label], UNITS, 0.0)
    return requests_of(label, symbol, np.full(len(label), codes.TARGET), unit=codes.UNIT, amount=amount)


def session_labels(day: Rows) -> clocks.SessionLabels:
    return clocks.session_labels(day.session, day.grid.labels, day.grid.grid, step=MINUTE.us, rows=len(day.label))


def _rules(days: list[Rows]) -> Any:
    return rules_of(Execution(capital=1e6), Limits(), symbols=days[0].symbols.to_pylist())


def _at_once(days: list[Rows], asked: Requests) -> float:
    clock = clocks.clock_of([session_labels(day) for day in days])
    bars = Bars(*(np.concatenate(columns) for columns in zip(*(day.bars for day in days), strict=True)))
    market = clocks.market_of(bars, np.concatenate([day.codes for day in days]))
    account = state.new_state(len(days[0].symbols), 1e6)
    return simulate(clock, market, asked, rules=_rules(days), state=account, is_last=True).final_equity


def _told(days: list[Rows], strategy: Cross) -> tuple[float, Requests]:
    """(end equity, all that was asked)."""
    rules, names = _rules(days), days[0].symbols.to_pylist()
    account, equity, asked = state.new_state(len(names), 1e6), 0.0, []
    for before, day in itertools.pairwise([None, *days]):
        clock = clocks.clock_of([session_labels(day)], before=None if before is None else before.session.date)
        market = clocks.market_of(day.bars, day.codes)
        books = Ledger(clock, market, rules=rules, state=account, is_last=day is days[-1])
        desk = Desk(books, names, day.grid.labels)
        replay_session(strategy, day, SessionData(day, MINUTE), desk, derived={})
        done = books.done()
        account, equity = done.state, done.final_equity
        asked.append(desk.made._replace(label=desk.made.label + BARS * len(asked)))
    return equity, joined(asked)
