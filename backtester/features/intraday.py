"""The session pass: one session's bars in, running values, derived bars, gaps and summary out, as tables."""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from backtester.arrays import Bars, Derived, Float64, Forming, Gaps, Int32, Int64, Running, Totals, frozen
from backtester.data.calendar import Session
from backtester.data.columns import (
    bars_of,
    codes_of,
    dictionary,
    empty,
    flags,
    instants,
    numbers,
    room,
    symbols_of,
    text,
    timestamps_of,
)
from backtester.features.grid import IntervalWindows, SessionGrid, interval_windows, kernel_windows, session_grid
from backtester.interval import Interval
from backtester.kernels.scan import scan
from backtester.schema import DERIVED_BARS, GAPS, RUNNING, SESSION_SUMMARY

GAP_KINDS = text(["opening", "inside", "closing"])


class Pass(NamedTuple):
    """What the pass computes, as columns; the tables below are made from it."""

    timestamps: Int64
    codes: Int32
    bars: Bars
    symbols: pa.StringArray
    grid: SessionGrid
    windows: list[IntervalWindows]
    totals: Totals
    running: Running
    derived: Derived
    gaps: Gaps


def run_pass(
    bars: pa.Table, session: Session, *, interval: Interval, derived: list[Interval], hours: str = "regular"
) -> Pass:
    """Run the kernel over one session.

    bars     BARS, one chunk a column, sorted by (timestamp, symbol); a symbol of its dictionary without a row is a
             symbol without a bar
    derived  from narrow to wide, each divided by `interval`
    """
    timestamps, codes = timestamps_of(bars), codes_of(bars)
    symbols = symbols_of(bars)
    grid = session_grid(session, interval, timestamps, hours=hours)
    windows = [interval_windows(session, grid, wider) for wider in derived]
    rows = int((grid.grid.ends - grid.grid.starts).sum())
    totals, forming = begun(len(symbols), len(derived))
    running = _running_room(len(timestamps))
    emitted = _derived_room(windows, len(symbols), rows)
    gaps = _gaps_room(len(grid.expected_labels), len(symbols), rows)
    labels = len(grid.labels)
    columns = Bars(*(frozen(column) for column in bars_of(bars)))
    scan(
        grid.grid,
        frozen(codes),
        columns,
        kernel_windows(windows, derived, labels),
        totals,
        forming,
        running,
        emitted,
        gaps,
    )
    return Pass(timestamps, codes, columns, symbols, grid, windows, totals, running, emitted, gaps)


def running_table(done: Pass) -> pa.Table:
    """RUNNING: one row per bar of the run's hours."""
    timestamps, codes = done.timestamps, done.codes
    values: list[Float64 | Int32] = list(done.running)
    if _has_holes(done):
        rows = done.grid.rows_inside()
        timestamps, codes = timestamps[rows], codes[rows]
        values = [column[rows] for column in values]
    arrays = [instants(timestamps), dictionary(codes, done.symbols), *(numbers(column) for column in values)]
    return pa.Table.from_arrays(arrays, schema=RUNNING)


def derived_table(done: Pass, derived: list[Interval]) -> pa.Table:
    """DERIVED_BARS of every interval, from narrow to wide, one chunk each."""
    tables = []
    emitted = done.derived
    intervals = text([str(each) for each in derived])
    for k, windows in enumerate(done.windows):
        rows = slice(int(emitted.starts[k]), int(emitted.starts[k] + emitted.rows[k]))
        window = emitted.window[rows]
        interval = np.full(len(window), k, dtype=np.int32)
        values = (emitted.open, emitted.high, emitted.low, emitted.close, emitted.volume, emitted.bars)
        arrays = [
            dictionary(interval, intervals),
            instants(windows.starts[window]),
            dictionary(emitted.symbol[rows], done.symbols),
            *(numbers(column[rows]) for column in values),
            numbers(windows.expected_bars[window]),
            flags(windows.is_partial[window]),
            instants(windows.known_at[window]),
        ]
        tables.append(pa.Table.from_arrays(arrays, schema=DERIVED_BARS))
    return pa.concat_tables(tables) if tables else empty(DERIVED_BARS)


def gaps_table(done: Pass) -> pa.Table:
    """GAPS: runs of missing bars, sorted by (first_missing, symbol)."""
    rows = int(done.gaps.rows[0])
    first, length = done.gaps.first[:rows], done.gaps.length[:rows]
    expected = done.grid.expected_labels
    last = first + length - 1
    kind = np.full(rows, 1, dtype=np.int32)
    kind[last == len(expected) - 1] = 2
    kind[first == 0] = 0
    arrays = [
        dictionary(done.gaps.symbol[:rows], done.symbols),
        dictionary(kind, GAP_KINDS),
        instants(expected[first]),
        instants(expected[last]),
        numbers(length),
    ]
    return pa.Table.from_arrays(arrays, schema=GAPS)


def summary_table(done: Pass, session: Session) -> pa.Table:
    """SESSION_SUMMARY: one row per symbol, those without a bar included."""
    totals, symbols = done.totals, len(done.symbols)
    gap_symbols, lengths = done.gaps.symbol[: int(done.gaps.rows[0])], done.gaps.length[: int(done.gaps.rows[0])]
    missing = np.bincount(gap_symbols, weights=lengths, minlength=symbols).astype(np.int32)
    longest = np.zeros(symbols, dtype=np.int32)
    np.maximum.at(longest, gap_symbols, lengths)
    expected = np.full(symbols, len(done.grid.expected_labels), dtype=np.int32)
    bars = expected - missing
    labels = done.grid.labels if len(done.grid.labels) else np.zeros(1, dtype=np.int64)
    empty = totals.bars == 0
    no_volume = ~(totals.volume > 0.0)
    vwap = np.divide(totals.traded, totals.volume, out=np.zeros(symbols), where=~no_volume)
    outside = _outside_hours(done, session)
    quality = np.divide(100.0 * bars, expected, out=np.full(symbols, 100.0), where=expected > 0)
    arrays = [
        dictionary(np.arange(symbols, dtype=np.int32), done.symbols),
        *(numbers(prices, null=empty) for prices in (totals.open, totals.high, totals.low, totals.close)),
        numbers(totals.volume),
        numbers(vwap, null=no_volume),
        *(numbers(counts) for counts in (bars, expected, missing, longest)),
        numbers(quality),
        instants(labels[totals.first], null=empty),
        instants(labels[totals.last], null=empty),
        *(numbers(column) for column in outside),
        instants(np.full(symbols, session.open_at)),
        instants(np.full(symbols, session.close_at)),
        *(_break_column(at, symbols) for at in (session.break_start_at, session.break_end_at)),
    ]
    return pa.Table.from_arrays(arrays, schema=SESSION_SUMMARY)


def _has_holes(done: Pass) -> bool:
    return int((done.grid.grid.ends - done.grid.grid.starts).sum()) != len(done.timestamps)


def _break_column(at: int | None, symbols: int) -> pa.Array:
    return instants(np.full(symbols, at or 0), null=np.full(symbols, at is None))


def _outside_hours(done: Pass, session: Session) -> tuple[Int32, Int32, Float64]:
    before = int(np.searchsorted(done.timestamps, session.open_at))
    after = int(np.searchsorted(done.timestamps, session.close_at))
    symbols = len(done.symbols)
    pre = np.bincount(done.codes[:before], minlength=symbols).astype(np.int32)
    post = np.bincount(done.codes[after:], minlength=symbols).astype(np.int32)
    volume = np.bincount(done.codes[after:], weights=done.bars.volume[after:], minlength=symbols).astype(np.float64)
    return pre, post, volume


def begun(symbols: int, intervals: int) -> tuple[Totals, Forming]:
    """The kernel's state before the first bar."""
    # Copies of two blocks, cut up: an array for each column would cost a session of ten symbols a sixth of its pass.
    # Copies of two blocks, cut up: an array made for each column took a session of ten symbols a sixth of its pass.
    fresh_floats, fresh_counts = _beginning(symbols, intervals)
    floats, counts = fresh_floats.copy(), fresh_counts.copy()
    totals = Totals(*floats[:6], *counts[:4])
    open_, high, low, close, volume = (floats[6 + k * intervals : 6 + (k + 1) * intervals] for k in range(5))
    return totals, Forming(open_, high, low, close, volume, counts[4:])


@functools.lru_cache(maxsize=16)
def _beginning(symbols: int, intervals: int) -> tuple[Float64, Int32]:
    """Totals, then Forming's columns by interval: [columns, symbols] floats and counts."""
    floats = np.zeros((6 + 5 * intervals, symbols))
    floats[1], floats[2] = -np.inf, np.inf
    floats[6 + intervals : 6 + 2 * intervals], floats[6 + 2 * intervals : 6 + 3 * intervals] = -np.inf, np.inf
    counts = np.zeros((4 + intervals, symbols), dtype=np.int32)
    counts[3] = -1
    return frozen(floats), frozen(counts)


def _running_room(rows: int) -> Running:
    return Running(
        volume=room(rows, np.float64),
        high=room(rows, np.float64),
        low=room(rows, np.float64),
        vwap=room(rows, np.float64),
        bars=room(rows, np.int32),
    )


def _derived_room(windows: list[IntervalWindows], symbols: int, rows: int) -> Derived:
    rooms = [min(len(window.starts) * symbols, rows) for window in windows]
    starts = np.concatenate([[0], np.cumsum(rooms)]).astype(np.int64)
    total = int(starts[-1])
    return Derived(
        starts=starts,
        rows=np.zeros(len(windows), dtype=np.int64),
        symbol=room(total, np.int32),
        window=room(total, np.int32),
        open=room(total, np.float64),
        high=room(total, np.float64),
        low=room(total, np.float64),
        close=room(total, np.float64),
        volume=room(total, np.float64),
        bars=room(total, np.int32),
    )


def _gaps_room(expected: int, symbols: int, rows: int) -> Gaps:
    # Every gap but a symbol's last one ends at one of its bars.
    most = min((expected + 1) // 2 * symbols, rows + symbols)
    return Gaps(
        rows=np.zeros(1, dtype=np.int64),
        symbol=room(most, np.int32),
        first=room(most, np.int32),
        length=room(most, np.int32),
    )
