"""A session's labels: which bars are expected, where their rows are, which derived window each falls in.

Everything here is worked out once per label, so that the pass does nothing per row but read it.
"""

from __future__ import annotations

import functools
from datetime import date
from typing import NamedTuple

import numpy as np

from backtester.arrays import Bool, Grid, Int32, Int64, Windows, frozen
from backtester.data.calendar import Session
from backtester.data.expected import expected_labels, is_regular
from backtester.interval import Interval


class SessionGrid(NamedTuple):
    """Labels in time order, UTC microseconds; expected ones and those only present (extended hours)."""

    labels: Int64
    grid: Grid
    expected_labels: Int64  # the labels at which every symbol should have a bar
    interval: Interval  # from one expected label to the next
    hours: str

    def rows_inside(self) -> Int64:
        """The rows of the grid's labels; the others are outside the run's hours."""
        starts, counts = self.grid.starts, self.grid.ends - self.grid.starts
        upto = np.cumsum(counts)
        rows: Int64 = np.repeat(starts - (upto - counts), counts) + np.arange(upto[-1] if len(upto) else 0)
        return rows


class IntervalWindows(NamedTuple):
    """The windows of one derived interval, in time order."""

    starts: Int64  # label of the derived bar
    known_at: Int64  # when its last source bar is over, whether or not that bar is there
    expected_bars: Int32  # source bars it should have; 0 outside regular hours
    is_partial: Bool  # cut short by the close or a break
    of_label: Int32  # the window of each label of the grid


def session_grid(session: Session, interval: Interval, timestamps: Int64, *, hours: str) -> SessionGrid:
    """The grid of a session's rows, whose timestamps are sorted; hours is `regular` or `extended`.

    expected labels = floor((close - open) / interval), a break taken out. A last bar that the close cuts short is
    taken into the values where it is present, and never counted as expected.
    """
    expected = expected_labels(session, interval)
    starts, ends = np.searchsorted(timestamps, expected, "left"), np.searchsorted(timestamps, expected, "right")
    labels, ordinal = expected, np.arange(len(expected), dtype=np.int32)
    if int((ends - starts).sum()) != len(timestamps):
        # Sorted already, so told apart by their neighbours: hashing every row costs as much as reading it.
        distinct = timestamps[np.diff(timestamps, prepend=timestamps[0] - 1) != 0]
        if hours == "regular":
            distinct = distinct[is_regular(session, distinct)]
        extra = np.setdiff1d(distinct, expected, assume_unique=True)
        if len(extra):
            labels = np.union1d(expected, extra)
            starts, ends = np.searchsorted(timestamps, labels, "left"), np.searchsorted(timestamps, labels, "right")
            ordinal = np.searchsorted(expected, labels).astype(np.int32)
            ordinal[~np.isin(labels, expected)] = -1
    return SessionGrid(labels, Grid(frozen(starts), frozen(ends), frozen(ordinal)), expected, interval, hours)


def interval_windows(session: Session, grid: SessionGrid, derived: Interval) -> IntervalWindows:
    """Windows of `derived` anchored to the session's open and to the end of its break, never across either.

    A `1d` window is the whole session. Outside regular hours windows count back from the open and on from the close.
    """
    if grid.labels is not grid.expected_labels:
        return _windows(session, grid, derived)
    # Most sessions of an exchange have one shape, and then the same windows at another time of the world.
    spans = [instant - session.open_at for span in session.segments for instant in span]
    own = _windows_of_shape(tuple(spans), session.over_at - session.open_at, grid.interval, grid.hours, derived)
    return own._replace(starts=own.starts + session.open_at, known_at=own.known_at + session.open_at)


@functools.lru_cache(maxsize=64)
def _windows_of_shape(
    spans: tuple[int, ...], over_at: int, interval: Interval, hours: str, derived: Interval
) -> IntervalWindows:
    """The windows of a session that opens at 0 and has its expected labels only; read-only, for many use them."""
    break_start_at, break_end_at = (spans[1], spans[2]) if len(spans) > 2 else (None, None)
    session = Session(date(1970, 1, 1), 0, spans[-1], break_start_at, break_end_at, False, over_at)
    labels = expected_labels(session, interval)
    none = np.zeros(len(labels), dtype=np.int64)
    grid = SessionGrid(labels, Grid(none, none, none.astype(np.int32)), labels, interval, hours)
    own = _windows(session, grid, derived)
    return IntervalWindows(
        frozen(own.starts),
        frozen(own.known_at),
        frozen(own.expected_bars),
        frozen(own.is_partial),
        frozen(own.of_label),
    )


def _windows(session: Session, grid: SessionGrid, derived: Interval) -> IntervalWindows:
    labels = grid.labels
    if not derived.is_intraday:
        begins = np.full(len(labels), session.open_at, dtype=np.int64)
        ends = np.full(len(labels), session.over_at if grid.hours == "extended" else session.close_at, dtype=np.int64)
        spans = ends - begins
    else:
        begins, ends = _window_spans(session, labels, derived.us)
        spans = np.full(len(labels), derived.us, dtype=np.int64)
    starts, first, of_label = np.unique(begins, return_index=True, return_inverse=True)
    is_expected = np.isin(labels, grid.expected_labels)
    expected = np.bincount(of_label, weights=is_expected, minlength=len(starts)).astype(np.int32)
    is_partial = ends[first] - starts < spans[first]
    known_at = _known_at(session, grid, ends[first])
    return IntervalWindows(starts, known_at, expected, is_partial, of_label.astype(np.int32))


def kernel_windows(windows: list[IntervalWindows], derived: list[Interval], labels: int) -> Windows:
    """The windows as the pass takes them: each interval merges from the widest one that divides it."""
    of_label = np.empty((len(windows), labels), dtype=np.int32)
    parents = np.full(len(windows), -1, dtype=np.int32)
    for k, window in enumerate(windows):
        of_label[k] = window.of_label
        for narrower in range(k):
            if derived[narrower].divides(derived[k]):
                parents[k] = narrower
    return Windows(frozen(of_label), frozen(parents))


def _known_at(session: Session, grid: SessionGrid, ends: Int64) -> Int64:
    """The windows' ends; in extended hours, where trading goes on, the end of a source bar that lies across one.

    Not the end of the last bar present: that no later one follows is not known before the session is over. A daily bar
    of the source is over with the session.
    """
    if grid.hours == "regular" or not grid.interval.is_intraday:
        return ends
    known_at: Int64 = session.open_at - (session.open_at - ends) // grid.interval.us * grid.interval.us
    return known_at


def _window_spans(session: Session, labels: Int64, step: int) -> tuple[Int64, Int64]:
    begins, ends = np.empty_like(labels), np.empty_like(labels)
    open_at, close_at = session.open_at, session.close_at
    before, after = labels < open_at, labels >= close_at
    begins[before] = open_at - -(-(open_at - labels[before]) // step) * step
    begins[after] = close_at + (labels[after] - close_at) // step * step
    ends[before | after] = begins[before | after] + step
    spans = list(session.segments)
    if session.break_start_at is not None and session.break_end_at is not None:
        spans.append((session.break_start_at, session.break_end_at))
    for start, end in spans:
        inside = (labels >= start) & (labels < end)
        begins[inside] = start + (labels[inside] - start) // step * step
        ends[inside] = np.minimum(begins[inside] + step, end)
    return begins, ends
