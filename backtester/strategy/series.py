"""Bars of one interval, symbol by symbol, each readable once the clock has reached the instant it is known.

A slice is a view of columns that are filled as the clock passes: what a caller gets holds no reference to a later bar.
Every bar is copied once, when it is first asked for; reading the latest bar or the last n scans nothing.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from backtester.arrays import Bars, Float64, Int32, Int64, frozen
from backtester.features.intraday import Pass
from backtester.features.rows import Rows


class Clock:
    """The instant up to which everything may be read, UTC microseconds, and whether anything may."""

    __slots__ = ("is_active", "now")

    def __init__(self, now: int) -> None:
        self.now = now
        self.is_active = True


class Bar(NamedTuple):
    """One bar; timestamp is its start in UTC microseconds, known_at when it was over."""

    symbol: str
    timestamp: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    known_at: int


class BarSlice(NamedTuple):
    """Consecutive bars of one symbol as read-only columns, oldest first."""

    timestamp: Int64
    open: Float64
    high: Float64
    low: Float64
    close: Float64
    volume: Float64

    @property
    def rows(self) -> int:
        """How many bars."""
        return len(self.timestamp)

    def cut(self, low: int, high: int) -> BarSlice:
        """Rows low to high - 1."""
        return BarSlice(self.timestamp[low:high], *(column[low:high] for column in self[1:]))


def no_bars() -> BarSlice:
    """A slice without a bar."""
    none = frozen(np.empty(0))
    return BarSlice(frozen(np.empty(0, dtype=np.int64)), none, none, none, none, none)


class Columns(NamedTuple):
    """Bars in any order that is in time order for each symbol; what a series is made from."""

    codes: Int32
    timestamp: Int64
    known_at: Int64
    bars: Bars


class Series:
    """The bars of one interval, each symbol's side by side."""

    def __init__(self, columns: Columns, *, symbols: int, clock: Clock) -> None:
        order, ends = by_symbol(columns.codes, symbols)
        self.order = order  # the row of `columns` that each row here was
        self._clock = clock
        self._starts: list[int] = [0, *ends[:-1].tolist()] if symbols else []
        self._stops: list[int] = ends.tolist()
        self._ends = list(self._starts)
        timestamp = columns.timestamp[order]
        values = [column[order] for column in columns.bars]
        self._hidden: list[npt.NDArray[Any]] = [timestamp, *values]
        # Memoryviews hand out Python numbers, several times faster than NumPy scalars.
        self._known = columns.known_at[order].data
        self.timestamp = timestamp.data
        self.open, self.high, self.low, self.close, self.volume = (column.data for column in values)
        self._shown: list[npt.NDArray[Any]] | None = None
        self._readable: list[npt.NDArray[Any]] = []
        self._shown_to = list(self._starts)

    def start(self, code: int, since: int | None) -> int:
        """The first row of a symbol that is known at `since` or later; None: its first of all."""
        first = self._starts[code]
        return first if since is None else bisect_left(self._known, since, first, self._stops[code])

    def end(self, code: int) -> int:
        """One past the symbol's latest row that is known now."""
        end: int = self._ends[code]
        if end < self._stops[code] and self._known[end] <= self._clock.now:
            # Nearly always the next bar alone; further ahead only after the symbol was not read for a while.
            end = bisect_right(self._known, self._clock.now, end + 1, self._stops[code])
            self._ends[code] = end
        return end

    def bar(self, symbol: str, row: int) -> Bar:
        """The bar of a row that is known."""
        return Bar(
            symbol,
            self.timestamp[row],
            self.open[row],
            self.high[row],
            self.low[row],
            self.close[row],
            self.volume[row],
            self._known[row],
        )

    def labelled(self, timestamp: int, low: int, high: int) -> int:
        """The first row in low..high whose label is `timestamp` or later."""
        return bisect_left(self.timestamp, timestamp, low, high)

    def slice(self, code: int, low: int, high: int) -> BarSlice:
        """Rows low to high - 1 of a symbol, all known."""
        if self._shown is None:
            self._shown = [np.zeros_like(self._hidden[0]), *(np.full_like(each, np.nan) for each in self._hidden[1:])]
            self._readable = [frozen(column) for column in self._shown]
        at = self._shown_to[code]
        if at < high:
            for hidden, shown in zip(self._hidden, self._shown, strict=True):
                shown[at:high] = hidden[at:high]
            self._shown_to[code] = high
        return BarSlice(*(column[low:high] for column in self._readable))


def row_columns(rows: Rows) -> Columns:
    """The bars of the run's own interval."""
    return Columns(rows.codes, rows.timestamps, rows.known_at, rows.bars)


def derived_columns(done: Pass, place: int) -> Columns:
    """The derived bars of the pass's `place`-th interval."""
    emitted, windows = done.derived, done.windows[place]
    rows = slice(int(emitted.starts[place]), int(emitted.starts[place] + emitted.rows[place]))
    window = emitted.window[rows]
    bars = Bars(*(getattr(emitted, name)[rows] for name in Bars._fields))
    return Columns(emitted.symbol[rows], windows.starts[window], windows.known_at[window], bars)


def by_symbol(codes: Int32, symbols: int) -> tuple[Int64, Int64]:
    """The rows sorted by symbol and then as they were, and one past each symbol's last."""
    # 16-bit keys sort by radix, in a fifth of the time.
    keys = codes.astype(np.int16) if symbols < 2**15 else codes
    return np.argsort(keys, kind="stable"), np.cumsum(np.bincount(codes, minlength=symbols))
