"""A past session as history keeps it: bars as a matrix, [periods, symbols], merged into wider ones, or volume by slot.

Only regular hours count, whichever hours the run takes. Sums run in time order, one addition a bar, so that a value
depends neither on which other symbols are read nor on how the run is cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from backtester.arrays import Bool, Float64, Int32, Int64
from backtester.data.calendar import Session
from backtester.data.columns import bars_of, codes_of, symbols_of, timestamps_of
from backtester.features.grid import session_grid
from backtester.interval import Interval


class Periods(NamedTuple):
    """Bars of any length, [periods, symbols], oldest first; NaN in every column where there is no bar."""

    open: Float64
    high: Float64
    low: Float64
    close: Float64
    volume: Float64

    @property
    def present(self) -> Bool:
        """True where there is a bar."""
        return ~np.isnan(self.close)

    def last(self, count: int) -> Periods:
        """The `count` latest periods."""
        first = max(len(self.close) - count, 0)
        return Periods(*(column[first:] for column in self))


class Dense(NamedTuple):
    """One session's regular bars."""

    labels: Int64  # [labels], every expected one and those that are only there (cut short by the close)
    bars: Periods  # [labels, symbols]
    counts: Int32  # [symbols]; bars at expected labels
    expected: int


class Slots(NamedTuple):
    """One session's volume by slot of trading time since the open, [slots, symbols]."""

    volume: Float64  # 0 where there is no bar
    present: Bool
    is_whole: bool  # whole numbers so small that sums over any window are exact in any order


# Daily volumes below 2^41 add up to less than 2^53 over 4,096 sessions, more than any window has.
WHOLE_BELOW = 2.0**41


def dense(bars: pa.Table, session: Session, *, interval: Interval, position: dict[str, int]) -> Dense:
    """The regular bars of a session as a matrix.

    bars      BARS, one chunk a column, sorted by (timestamp, symbol)
    position  each symbol's column, in the symbols' order; those without a row are columns without a bar
    """
    timestamps, codes = timestamps_of(bars), codes_of(bars)
    grid = session_grid(session, interval, timestamps, hours="regular")
    starts, counts = grid.grid.starts, grid.grid.ends - grid.grid.starts
    shape, total = (len(grid.labels), len(position)), int(counts.sum())
    # Rows of regular hours: all between the first and the last, unless a break holds some.
    first = int(starts[0]) if total else 0
    rows: slice | Int64 = slice(first, first + total)
    if total and int(grid.grid.ends[-1]) != first + total:
        rows = np.arange(total) + np.repeat(starts - np.cumsum(counts) + counts, counts)
    if total == shape[0] * shape[1]:
        # Every symbol at every label, in order: the matrix is the column itself.
        values = [np.ascontiguousarray(column[rows]).reshape(shape) for column in bars_of(bars)]
    else:
        own = np.array([position[name] for name in symbols_of(bars).to_pylist()] or [0], dtype=np.int64)
        cells = np.repeat(np.arange(shape[0]) * shape[1], counts) + own[codes[rows]]
        values = [np.full(shape, np.nan) for _ in Periods._fields]
        for matrix, column in zip(values, bars_of(bars), strict=True):
            matrix.ravel()[cells] = column[rows]
    is_expected = grid.grid.expected >= 0
    present = (~np.isnan(values[3]))[is_expected].sum(axis=0, dtype=np.int32)
    return Dense(grid.labels, Periods(*values), present, len(grid.expected_labels))


def merged(periods: Periods, starts: Sequence[int]) -> Periods:
    """Wider bars; the k-th takes the periods from starts[k] up to the next start."""
    ends = [*starts[1:], len(periods.close)]
    groups = [Periods(*(column[start:end] for column in periods)) for start, end in zip(starts, ends, strict=True)]
    symbols = periods.close.shape[1]
    rows = [_one(group) if len(group.close) else Periods(*[np.full(symbols, np.nan)] * 5) for group in groups]
    return Periods(*(np.array(column).reshape(len(rows), symbols) for column in zip(*rows, strict=True)))


def slot_starts(session: Session, step: int) -> Int64:
    """Where each slot of `step` microseconds begins, from the open on and from the end of a break on."""
    return np.concatenate([np.arange(start, end, step, dtype=np.int64) for start, end in session.segments])


def slot_ends(session: Session, step: int) -> Int64:
    """Where each slot ends: the close and a break cut the last one short."""
    spans = [np.minimum(np.arange(start, end, step, dtype=np.int64) + step, end) for start, end in session.segments]
    return np.concatenate(spans)


def slot_minutes(session: Session, step: int) -> Int32:
    """Trading minutes from the open to each slot, a break taken out."""
    parts, before = [], 0
    for start, end in session.segments:
        parts.append(before + np.arange(0, end - start, step, dtype=np.int64))
        before += end - start
    return (np.concatenate(parts) // 60_000_000).astype(np.int32)


def slots_of(day: Dense, session: Session, step: int) -> Slots:
    """A session's volume by slot."""
    starts = slot_starts(session, step)
    present = day.bars.present
    volume = np.where(present, day.bars.volume, 0.0)
    if not np.array_equal(starts, day.labels):
        slot = np.searchsorted(starts, day.labels, side="right") - 1
        shape = (len(starts), volume.shape[1])
        filled, some = np.zeros(shape), np.zeros(shape, dtype=np.bool_)
        np.add.at(filled, slot, volume)
        np.logical_or.at(some, slot, present)
        volume, present = filled, some
    is_whole = bool((volume == np.rint(volume)).all() and volume.sum(axis=0).max(initial=0.0) < WHOLE_BELOW)
    return Slots(volume, present, is_whole)


def tail(day: Dense, session: Session, interval: Interval, *, bars: int) -> Periods:
    """The session's last bars of `interval`, at most `bars`, by the calendar: a window without a bar counts."""
    starts = np.searchsorted(day.labels, slot_starts(session, interval.us)).tolist()[-bars:]
    part = Periods(*(column[starts[0] :] for column in day.bars))
    return merged(part, [start - starts[0] for start in starts])


def _one(block: Periods) -> Periods:
    present = block.present
    some, column = present.any(axis=0), np.arange(present.shape[1])
    first = present.argmax(axis=0)
    last = len(present) - 1 - present[::-1].argmax(axis=0)
    # cumsum adds row after row; sum would pair them, in an order that depends on the number of symbols.
    volume = np.cumsum(np.where(present, block.volume, 0.0), axis=0)[-1]
    return Periods(
        block.open[first, column],
        np.fmax.reduce(block.high, axis=0),
        np.fmin.reduce(block.low, axis=0),
        block.close[last, column],
        np.where(some, volume, np.nan),
    )
