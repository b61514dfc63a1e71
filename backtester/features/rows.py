"""The bars a run decides on, row by row: when each is known, and how complete its symbol's session is by then."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from backtester.arrays import Bars, Bool, Float64, Int32, Int64, Running
from backtester.data.calendar import Session
from backtester.data.columns import dictionary, instants, numbers
from backtester.features.grid import SessionGrid, interval_windows
from backtester.features.intraday import Pass, run_pass
from backtester.interval import Interval
from backtester.schema import BARS


class Selected(NamedTuple):
    """Which symbols the scanners have selected, from one scan to the next; none before the first."""

    instants: Int64  # [scans], rising
    is_selected: Bool  # [scans, symbols]

    def on(self, known_at: Int64, codes: Int32) -> Bool:
        """Per row, whether its symbol was selected when the row was known."""
        scan = np.searchsorted(self.instants, known_at, side="right") - 1
        found: Bool = (scan >= 0) & self.is_selected[scan, codes]
        return found


class Rows(NamedTuple):
    """A session's bars of the run's interval and hours, sorted by (label, symbol)."""

    session: Session
    symbols: pa.StringArray  # every symbol of the session, with or without a bar
    grid: SessionGrid
    label_known_at: Int64  # [labels]
    label: Int32  # [rows]; here and below: the place of its label in the grid
    codes: Int32  # place of its symbol in `symbols`
    bars: Bars
    running: Running
    missing_before: Int32  # expected bars of its symbol that are missing directly before it
    missing_after: Int32  # and directly after it, which is not known at its own time
    quality_pct: Float64  # bars present of those expected from the session's start to this label
    selected: Selected | None = None  # None where the config has no scanners

    @property
    def timestamps(self) -> Int64:
        """Each row's label, UTC microseconds."""
        return self.grid.labels[self.label]

    @property
    def known_at(self) -> Int64:
        """When each row's bar is over, UTC microseconds."""
        return self.label_known_at[self.label]


def rows_of(done: Pass, session: Session, derived: list[Interval], interval: Interval) -> Rows:
    """The rows of `interval`: the pass's own, or its derived bars read as if they had been stored.

    derived  the intervals of the pass, narrow to wide; `interval` is one of them unless it is the pass's own
    """
    if interval in derived:
        bars = _derived_bars(done, derived.index(interval))
        done = run_pass(bars, session, interval=interval, derived=[], hours=done.grid.hours)
    starts, ends = done.grid.grid.starts, done.grid.grid.ends
    counts = ends - starts
    label = np.repeat(np.arange(len(starts), dtype=np.int32), counts)
    codes, bars, running = _inside(done, int(counts.sum()))
    windows = interval_windows(session, done.grid, interval)
    known_at = windows.known_at[windows.of_label]
    before, after = _missing(done, label, codes)
    quality = _quality(done.grid, label, codes, running.bars)
    return Rows(session, done.symbols, done.grid, known_at, label, codes, bars, running, before, after, quality)


def _derived_bars(done: Pass, place: int) -> pa.Table:
    emitted = done.derived
    rows = slice(int(emitted.starts[place]), int(emitted.starts[place] + emitted.rows[place]))
    values = (emitted.open, emitted.high, emitted.low, emitted.close, emitted.volume)
    arrays = [
        instants(done.windows[place].starts[emitted.window[rows]]),
        dictionary(emitted.symbol[rows], done.symbols),
        *(numbers(column[rows]) for column in values),
    ]
    return pa.Table.from_arrays(arrays, schema=BARS)


def _inside(done: Pass, rows: int) -> tuple[Int32, Bars, Running]:
    """The columns of the rows inside the run's hours; the same memory where those are all."""
    if rows == len(done.timestamps):
        return done.codes, done.bars, done.running
    kept = done.grid.rows_inside()
    bars = Bars(*(column[kept] for column in done.bars))
    running: list[Any] = [column[kept] for column in done.running]
    return done.codes[kept], bars, Running(*running)


def _missing(done: Pass, label: Int32, codes: Int32) -> tuple[Int32, Int32]:
    """Per row, the length of the gap that ends before it and of the one that begins after it."""
    before, after = np.zeros(len(label), dtype=np.int32), np.zeros(len(label), dtype=np.int32)
    gaps = int(done.gaps.rows[0])
    if gaps and len(label):
        symbol, first, length = done.gaps.symbol[:gaps], done.gaps.first[:gaps], done.gaps.length[:gaps]
        symbols = len(done.symbols)
        places = np.flatnonzero(done.grid.grid.expected >= 0).astype(np.int64)
        keys = label.astype(np.int64) * symbols + codes
        for ordinal, column in ((first - 1, after), (first + length, before)):
            beside = (ordinal >= 0) & (ordinal < len(places))
            wanted = places[ordinal[beside]] * symbols + symbol[beside]
            column[np.searchsorted(keys, wanted)] = length[beside]
    return before, after


def _quality(grid: SessionGrid, label: Int32, codes: Int32, bars: Int32) -> Float64:
    is_expected = grid.grid.expected >= 0
    expected = np.cumsum(is_expected)[label]
    present = bars.astype(np.int64)
    if not is_expected.all():
        present = present - _counted_before(~is_expected[label], codes)
    quality: Float64 = np.divide(100.0 * present, expected, out=np.full(len(label), 100.0), where=expected > 0)
    return quality


def _counted_before(marked: Bool, codes: Int32) -> Int64:
    """Per row, how many marked rows its symbol has up to and including it."""
    order = np.argsort(codes, kind="stable")
    total = np.cumsum(marked[order])
    first = np.searchsorted(codes[order], codes[order])
    counts = np.empty(len(codes), dtype=np.int64)
    counts[order] = total - (total[first] - marked[order][first])
    return counts
