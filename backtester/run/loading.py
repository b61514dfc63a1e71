"""A session's bars, read ahead of its computation; what cannot be read is named and leaves the rest."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from backtester.data.calendar import Session
from backtester.data.session_file import bars_table
from backtester.data.store import Entry
from backtester.errors import BacktestError
from backtester.interval import Interval
from backtester.run.plan import Plan

if TYPE_CHECKING:
    from backtester.features.trailing import Historical, Trailing


class Failure(NamedTuple):
    """A symbol that could not be read, in which phase, and why."""

    symbol: str
    phase: str  # `load` for the session's own bars, `history` for those before
    reason: str


@dataclass(frozen=True)
class Loaded:
    """A session's bars (BARS), and what it knows of its past; `failures` could not be read."""

    session: Session
    bars: pa.Table
    past: Historical | None  # None where no historical indicator is asked for
    failures: list[Failure]
    started_at: int
    seconds: float
    past_seconds: float


class Loader:
    """Reads a run's sessions in order, each past session once for all that look back on it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._trailing: Trailing | None = None
        if plan.historical:
            from backtester.features.trailing import Trailing  # which other runs have no use for

            self._trailing = Trailing(plan.historical, plan.reach, plan.columns, self._past)

    def load(self, session: Session) -> Loaded:
        """Read a session's bars; damage to one symbol leaves the others."""
        plan, begun = self._plan, time.perf_counter()
        failures = [
            Failure(symbol, "load", f"no {plan.source} bars in the store; import them") for symbol in plan.unknown
        ]
        past = self._trailing.at(session.date) if self._trailing is not None else None
        if past is not None:
            failures += [Failure(symbol, "history", f"left out of its windows: {why}") for symbol, why in past.damaged]
        started_at, halfway = time.time_ns() // 1000, time.perf_counter()
        bars, damaged = read_bars(plan, plan.entry(session.date), plan.universe(session.date))
        seconds = time.perf_counter() - halfway
        if self._trailing is not None:
            self._trailing.feed(session.date, plan.source, bars, damaged)
        failures += [Failure(symbol, "load", why) for symbol, why in damaged]
        return Loaded(session, bars, past, failures, started_at, seconds, halfway - begun)

    def _past(self, session: Session, interval: Interval) -> tuple[pa.Table | None, list[tuple[str, str]]]:
        entry = self._plan.store.entry(self._plan.calendar.exchange, interval, session.date)
        return (None, []) if entry is None else read_bars(self._plan, entry, self._plan.columns)


def read_bars(plan: Plan, entry: Entry | None, symbols: list[str]) -> tuple[pa.Table, list[tuple[str, str]]]:
    """A stored session as BARS with `symbols` (sorted) as its dictionary, and (symbol, reason) of those damaged."""
    if entry is None or not symbols:
        none = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int32)
        return bars_table(*none, symbols, [np.empty(0)] * 5), []
    try:
        return plan.store.load(entry, symbols), []
    except BacktestError:
        whole, damaged = [], []
        for symbol in symbols:
            try:
                plan.store.load_partial(entry, [symbol])
                whole.append(symbol)
            except BacktestError as error:
                damaged.append((symbol, str(error)))
        return plan.store.load_partial(entry, whole), damaged
