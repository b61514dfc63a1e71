"""A session's bars, read ahead of its computation; what cannot be read is named and leaves the rest."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from backtester.data.calendar import Session
from backtester.data.session_file import bars_table
from backtester.errors import BacktestError
from backtester.run.plan import Plan


@dataclass(frozen=True)
class Loaded:
    """A session's bars (BARS); `failures` are (symbol, reason) of those that could not be read."""

    session: Session
    bars: pa.Table
    failures: list[tuple[str, str]]
    started_at: int
    seconds: float


def load_session(plan: Plan, session: Session) -> Loaded:
    """Read a session's bars; damage to one symbol leaves the others."""
    started_at, begun = time.time_ns() // 1000, time.perf_counter()
    universe = plan.universe(session.date)
    failures = [(symbol, f"no {plan.source} bars in the store; import them") for symbol in plan.unknown]
    bars, damaged = _read(plan, session, universe)
    return Loaded(session, bars, [*failures, *damaged], started_at, time.perf_counter() - begun)


def _read(plan: Plan, session: Session, universe: list[str]) -> tuple[pa.Table, list[tuple[str, str]]]:
    entry = plan.entry(session.date)
    if entry is None or not universe:
        none = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int32)
        return bars_table(*none, universe, [np.empty(0)] * 5), []
    try:
        return plan.store.load(entry, universe), []
    except BacktestError:
        whole, failures = [], []
        for symbol in universe:
            try:
                plan.store.load_partial(entry, [symbol])
                whole.append(symbol)
            except BacktestError as error:
                failures.append((symbol, str(error)))
        return plan.store.load_partial(entry, whole), failures
