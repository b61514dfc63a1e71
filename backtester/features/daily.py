"""Bars of past sessions: one a window, a session or an ISO week, per symbol, from a session's stored bars.

Every matrix is [periods, symbols], oldest first; where a symbol has no bar its prices are NaN and its volume is 0.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from backtester.arrays import Bars, Bool, Float64, Int32, Int64
from backtester.data.calendar import Calendar, Session
from backtester.data.columns import (
    bars_of,
    codes_of,
    dates,
    dictionary,
    numbers,
    symbols_of,
    text,
    timestamps_of,
    view_of,
)
from backtester.data.expected import expected_labels, is_regular
from backtester.errors import CalendarError
from backtester.features.grid import interval_windows, session_grid
from backtester.interval import Interval
from backtester.schema import SYMBOL

EPOCH = dt.date(1970, 1, 1)
_NO_ROWS = np.empty(0, dtype=np.int64)
_PRICES = [pa.field(name, pa.float64()) for name in ("open", "high", "low", "close")]
_COUNTS = [pa.field(name, pa.int32(), nullable=False) for name in ("bars", "expected_bars")]


def _bar_schema(label: str) -> pa.Schema:
    keys = [pa.field(label, pa.date32(), nullable=False), pa.field("symbol", SYMBOL, nullable=False)]
    return pa.schema([*keys, *_PRICES, pa.field("volume", pa.float64(), nullable=False), *_COUNTS])


# Regular hours, sorted by (session, symbol), a row for every symbol asked for; prices are null without a bar.
DAILY_BARS = _bar_schema("session")
# Sorted by (week, symbol); week is the first session of an ISO week, expected_bars counts the sessions it was built of.
WEEKLY_BARS = _bar_schema("week")


class PeriodBars(NamedTuple):
    """Bars of consecutive periods, [periods, symbols]; prices NaN, volume and bars 0 where a symbol has none."""

    open: Float64
    high: Float64
    low: Float64
    close: Float64
    volume: Float64
    bars: Int32  # source bars it was built of


class WindowVolumes(NamedTuple):
    """Volumes of a session's windows, [windows, symbols]; 0 where a symbol has no bar."""

    volume: Float64
    has_bar: Bool


def session_bars(bars: pa.Table, session: Session, symbols: Sequence[str]) -> PeriodBars:
    """The daily bar of each symbol over the session's regular hours, [1, symbols].

    bars  BARS of any interval, one chunk a column, sorted by (timestamp, symbol); rows outside regular hours and of
          other symbols do not count. Volumes are summed in time order, as the session pass does
    """
    rows = _regular_rows(session, timestamps_of(bars))
    codes = _own_codes(bars, symbols)[rows]
    return _aggregated(_taken(bars, rows), codes, 1, len(symbols))


def window_bars(
    bars: pa.Table, session: Session, symbols: Sequence[str], *, source: Interval, interval: Interval
) -> PeriodBars:
    """Bars of `interval` on the session's expected windows, [windows, symbols]; see `session_windows`.

    Rows in a window without an expected bar (a last source bar that the close cuts short) have no window here.
    """
    rows, cells, count = _window_cells(bars, session, symbols, source=source, interval=interval)
    return _aggregated(_taken(bars, rows), cells, count, len(symbols))


def window_volumes(
    bars: pa.Table, session: Session, symbols: Sequence[str], *, source: Interval, interval: Interval
) -> WindowVolumes:
    """The volume of those windows alone."""
    rows, cells, count = _window_cells(bars, session, symbols, source=source, interval=interval)
    volume = view_of(bars.column("volume").chunk(0))[rows]
    if len(cells) and cells.min() < 0:
        volume, cells = volume[cells >= 0], cells[cells >= 0]
    size, shape = count * len(symbols), (count, len(symbols))
    total = np.bincount(cells, weights=volume, minlength=size).astype(np.float64, copy=False)
    has_bar = np.zeros(size, dtype=np.bool_)
    has_bar[cells] = True
    return WindowVolumes(total.reshape(shape), has_bar.reshape(shape))


class SessionWindows(NamedTuple):
    """The windows of an interval on which a source bar is expected, from the open on: 390 of 1m, 78 of 5m."""

    starts: Int64  # UTC microseconds
    ends: Int64  # start + interval, or the close or the break if earlier


def session_windows(session: Session, *, source: Interval, interval: Interval) -> SessionWindows:
    """The expected windows of a session: what the rows of `window_bars` stand for."""
    grid = session_grid(session, source, _NO_ROWS, hours="regular")
    windows = interval_windows(session, grid, interval)
    expected = windows.expected_bars > 0
    return SessionWindows(windows.starts[expected], windows.known_at[expected])


def weekly_bars(daily: PeriodBars, weeks: Sequence[Sequence[Session]]) -> PeriodBars:
    """One bar a week, [weeks, symbols]; the rows of `daily` are the sessions of `weeks`, in order.

    open is that of the week's first session with a bar, close that of its last; bars counts sessions with a bar.
    """
    sizes = [len(week) for week in weeks]
    assert sum(sizes) == len(daily.volume), "one daily row for each session of the weeks"
    symbols = daily.volume.shape[1]
    has_bar = daily.bars > 0
    cells = (np.repeat(np.arange(len(weeks)), sizes)[:, None] * symbols + np.arange(symbols))[has_bar]
    columns = Bars(*(column[has_bar] for column in daily[:5]))
    return _aggregated(columns, cells, len(weeks), symbols)


def trailing_weeks(
    calendar: Calendar, day: dt.date, count: int, *, include_current: bool = False
) -> list[list[Session]]:
    """The `count` ISO weeks before the one of `day`, oldest first, each with its sessions; weeks without one are not.

    include_current  the sessions of this week before `day`, where there are any, are the last of the `count` weeks
    """
    monday = day - dt.timedelta(days=day.weekday())
    if not include_current:
        day = monday
    held = int(np.searchsorted(calendar.columns.dates, np.datetime64(day, "D")))
    reach = 5 * count
    while True:
        before = calendar.trailing(day, min(reach + 1, held))
        weeks = [list(week) for _, week in groupby(before, key=lambda session: session.date.isocalendar()[:2])]
        # The oldest week may be cut; it is whole once a session before it was asked for too, or the calendar begins.
        if len(weeks) > count or (len(before) <= reach and len(weeks) == count):
            return weeks[len(weeks) - count :]
        if len(before) <= reach:
            raise CalendarError(
                f"{calendar.exchange}: {count} weeks before {day} asked for, but the packaged calendar, which begins "
                f"{calendar.first}, holds {len(weeks)}; ask for fewer or start later"
            )
        reach += 7 * (count + 1 - len(weeks))


def daily_table(
    sessions: Sequence[Session], symbols: Sequence[str], daily: PeriodBars, *, source: Interval
) -> pa.Table:
    """DAILY_BARS of [sessions, symbols]: what a caller keeps of past sessions instead of their bars."""
    expected = [len(expected_labels(session, source)) for session in sessions]
    return _table(DAILY_BARS, [session.date for session in sessions], symbols, daily, expected)


def weekly_table(weeks: Sequence[Sequence[Session]], symbols: Sequence[str], weekly: PeriodBars) -> pa.Table:
    """WEEKLY_BARS, each labelled with its first session by the calendar, traded or not."""
    return _table(WEEKLY_BARS, [week[0].date for week in weeks], symbols, weekly, [len(week) for week in weeks])


def daily_columns(table: pa.Table, sessions: Sequence[Session], symbols: Sequence[str]) -> PeriodBars:
    """DAILY_BARS back as [sessions, symbols]; a session or a symbol the table lacks is one without a bar."""
    table = table.unify_dictionaries().combine_chunks()
    shape = (len(sessions), len(symbols))
    row_of = {(session.date - EPOCH).days: row for row, session in enumerate(sessions)}
    if not table.num_rows:
        return no_bars(*shape)
    days, inverse = np.unique(view_of(table.column("session").chunk(0).view(pa.int32())), return_inverse=True)
    rows = np.array([row_of.get(day, -1) for day in days.tolist()])[inverse]
    codes, bars = _own_codes(table, symbols), view_of(table.column("bars").chunk(0))
    known = (rows >= 0) & (codes >= 0) & (bars > 0)
    found = no_bars(*shape)
    cells = (rows[known], codes[known])
    for name, column in zip(PeriodBars._fields, found, strict=True):
        array = table.column(name).chunk(0)
        # Only rows with a bar are taken, and those have prices: the values under a null are never looked at.
        values = np.frombuffer(array.buffers()[1], column.dtype, len(array), array.offset * column.itemsize)
        column[cells] = values[known]
    return found


def no_bars(periods: int, symbols: int) -> PeriodBars:
    """Periods in which no symbol has a bar."""
    prices = (np.full((periods, symbols), np.nan) for _ in range(4))
    return PeriodBars(*prices, np.zeros((periods, symbols)), np.zeros((periods, symbols), dtype=np.int32))


def joined(parts: Sequence[PeriodBars], symbols: int) -> PeriodBars:
    """Periods one after the other."""
    if not parts:
        return no_bars(0, symbols)
    return PeriodBars(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


def _window_cells(
    bars: pa.Table, session: Session, symbols: Sequence[str], *, source: Interval, interval: Interval
) -> tuple[slice | Bool, Int64, int]:
    """The regular rows, the cell of each (-1 for none), and how many windows there are."""
    timestamps = timestamps_of(bars)
    grid = session_grid(session, source, timestamps, hours="regular")
    windows = interval_windows(session, grid, interval)
    expected = windows.expected_bars > 0
    rank = np.where(expected, np.cumsum(expected) - 1, -1)[windows.of_label]
    rows = _regular_rows(session, timestamps)
    window = rank[np.searchsorted(grid.labels, timestamps[rows])]
    codes = _own_codes(bars, symbols)[rows]
    cells = np.where((window >= 0) & (codes >= 0), window * len(symbols) + codes, -1)
    return rows, cells, int(expected.sum())


def _aggregated(rows: Bars, cells: Int64 | Int32, periods: int, symbols: int) -> PeriodBars:
    """One bar a cell (period x symbols + symbol), its rows in time order; rows with a negative cell do not count."""
    if len(cells) and cells.min() < 0:
        keep = cells >= 0
        rows, cells = Bars(*(column[keep] for column in rows)), cells[keep]
    cells = cells.astype(np.int64, copy=False)
    size, shape = periods * symbols, (periods, symbols)
    opened, closed = np.full(size, np.nan), np.full(size, np.nan)
    high, low = np.full(size, -np.inf), np.full(size, np.inf)
    # Of several values for one cell the last assigned stays: the newest for the close, read backwards for the open.
    opened[cells[::-1]] = rows.open[::-1]
    closed[cells] = rows.close
    np.maximum.at(high, cells, rows.high)
    np.minimum.at(low, cells, rows.low)
    volume = np.bincount(cells, weights=rows.volume, minlength=size).astype(np.float64, copy=False)
    bars = np.bincount(cells, minlength=size).astype(np.int32)
    high[bars == 0] = low[bars == 0] = np.nan
    values = (column.reshape(shape) for column in (opened, high, low, closed, volume))
    return PeriodBars(*values, bars.reshape(shape))


def _regular_rows(session: Session, timestamps: Int64) -> slice | Bool:
    """The rows in regular hours: a slice, so that columns stay views, unless a break lies between them."""
    start, end = np.searchsorted(timestamps, [session.open_at, session.close_at]).tolist()
    return slice(start, end) if len(session.segments) == 1 else is_regular(session, timestamps)


def _taken(bars: pa.Table, rows: slice | Bool) -> Bars:
    return Bars(*(column[rows] for column in bars_of(bars)))


def _own_codes(table: pa.Table, symbols: Sequence[str]) -> Int32:
    """Each row's place in `symbols`, -1 for a symbol that is not there."""
    names, codes = symbols_of(table).to_pylist(), codes_of(table)
    if names == list(symbols):
        return codes
    position = {name: index for index, name in enumerate(symbols)}
    own = np.array([position.get(name, -1) for name in names] or [-1], dtype=np.int32)
    return own[codes]


def _table(
    schema: pa.Schema, labels: Sequence[dt.date], symbols: Sequence[str], rows: PeriodBars, expected: Sequence[int]
) -> pa.Table:
    count = len(symbols)
    days = np.array([(label - EPOCH).days for label in labels], dtype=np.int32)
    codes = np.tile(np.arange(count, dtype=np.int32), len(labels))
    empty = rows.bars.ravel() == 0
    arrays = [
        dates(np.repeat(days, count)),
        dictionary(codes, text(symbols)),
        *(numbers(column.ravel(), null=empty) for column in rows[:4]),
        numbers(rows.volume.ravel()),
        numbers(rows.bars.ravel()),
        numbers(np.repeat(np.array(expected, dtype=np.int32), count)),
    ]
    return pa.Table.from_arrays(arrays, schema=schema)
