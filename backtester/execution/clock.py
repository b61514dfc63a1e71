"""The ledger's clock and market: the labels and bars of sessions, laid out once for any number of simulations."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import NamedTuple

import numpy as np

from backtester.arrays import Bars, Clock, Grid, Int32, Int64, Market, UInt8, frozen
from backtester.data.calendar import Session
from backtester.errors import UsageError
from backtester.kernels.codes import FIRST_LABEL, LAST_LABEL, PAST_CUTOFF

NO_FLAGS: UInt8 = frozen(np.zeros(1, dtype=np.uint8))


class SessionLabels(NamedTuple):
    """What the clock needs of one session: its labels, where their rows are, and its times."""

    date: date
    labels: Int64  # UTC microseconds, rising
    grid: Grid  # rows counted from the session's first
    close_at: int  # known_at of no bar of regular hours is later
    step: int  # microseconds from a label to the end of its bar
    rows: int


def session_labels(session: Session, labels: Int64, grid: Grid, *, step: int, rows: int) -> SessionLabels:
    """A session of the pass as the clock takes it."""
    return SessionLabels(session.date, labels, grid, session.close_at, step, rows)


def clock_of(sessions: Sequence[SessionLabels], *, before: date | None = None, flat_by_us: int | None = None) -> Clock:
    """The clock of sessions in time order, whose rows lie one after the other.

    before      the run's session before the first of these, None where there is none
    flat_by_us  Limits.flat_by_us
    """
    if not sessions:
        raise UsageError("clock: no session; give at least one")
    labels, known, starts, ends, flags = [], [], [], [], []
    row = 0
    for session in sessions:
        over = session.labels + session.step
        known_at = np.where(session.labels < session.close_at, np.minimum(over, session.close_at), over)
        flag = np.zeros(len(session.labels), dtype=np.uint8)
        flag[:1] |= FIRST_LABEL
        flag[-1:] |= LAST_LABEL
        if flat_by_us is not None:
            flag[known_at >= session.close_at - flat_by_us] |= PAST_CUTOFF
        labels.append(session.labels)
        known.append(known_at)
        starts.append(session.grid.starts + row)
        ends.append(session.grid.ends + row)
        flags.append(flag)
        row += session.rows
    counts = [len(part) for part in labels]
    dates = [session.date for session in sessions]
    past = [before, *dates[:-1]]
    days = [0.0 if b is None else float((d - b).days) for d, b in zip(dates, past, strict=True)]
    return Clock(
        timestamp=frozen(np.concatenate(labels).astype(np.int64)),
        known_at=frozen(np.concatenate(known).astype(np.int64)),
        starts=frozen(np.concatenate(starts).astype(np.int64)),
        ends=frozen(np.concatenate(ends).astype(np.int64)),
        flags=frozen(np.concatenate(flags)),
        session_starts=frozen(np.concatenate(([0], np.cumsum(counts))).astype(np.int64)),
        days=frozen(np.array(days)),
        month=frozen(np.array([12 * (d.year - 1970) + d.month - 1 for d in dates], dtype=np.int32)),
    )


def market_of(bars: Bars, symbols: Int32, flags: UInt8 = NO_FLAGS) -> Market:
    """Bars sorted by (label, symbol) as the ledger takes them; no copy is made of what is contiguous."""
    open_, high, low, close, volume = (frozen(column) for column in bars)
    return Market(open_, high, low, close, volume, frozen(symbols), frozen(flags))
