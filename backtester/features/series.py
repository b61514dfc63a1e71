"""A session's bars of one interval, symbol after symbol: what indicators run over; and the way back to the rows.

`base_series` and `derived_series` make them from the pass. `label_major` puts values back into the order of the tables,
(timestamp, symbol); `as_of` looks a wider interval's values up on the base rows by the instant they are known.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from backtester.arrays import Bars, Bool, Float64, Int32, Int64, frozen
from backtester.data.calendar import Session
from backtester.features.blocks import floats, integers
from backtester.features.intraday import Pass
from backtester.interval import Interval
from backtester.kernels.rolling_rows import symbol_order


class Series(NamedTuple):
    """Bars of one interval in one session, sorted by (symbol, timestamp)."""

    interval: str
    symbols: pa.StringArray
    offsets: Int64  # [symbols + 1]; symbol s is rows offsets[s] to offsets[s + 1] - 1
    order: Int64  # [rows]; each row's place when the same rows are sorted by (timestamp, symbol)
    place: Int64  # [rows]; the other way: where the rows so sorted are in this series
    bars: Bars
    timestamps: Int64
    known_at: Int64
    elapsed: Int64  # from the session's open until known_at, microseconds
    missing: Int64  # source bars missing between the bar before (or the open) and this one
    hollow: Int64  # source bars missing of this bar itself
    missing_after: Int64  # [symbols]; source bars missing between the last bar and the session's end
    is_partial: Bool  # the close or a break cuts the bar short


def base_series(done: Pass, session: Session, interval: Interval) -> Series:
    """The source bars of the run's hours."""
    grid = done.grid
    starts, ends = grid.grid.starts, grid.grid.ends
    counts = ends - starts
    label = np.repeat(np.arange(len(counts)), counts)
    rows = np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(len(label))
    codes = done.codes[rows] if len(rows) != len(done.codes) else done.codes
    offsets, order, place = _by_symbol(codes, len(done.symbols))
    label, rows = label[order], rows[order]
    before = np.searchsorted(grid.expected_labels, grid.labels, "left")
    upto = np.searchsorted(grid.expected_labels, grid.labels, "right")
    known_at = _known_at(session, grid.labels, interval, grid.hours)[label]
    return Series(
        interval=str(interval),
        symbols=done.symbols,
        offsets=offsets,
        order=order,
        place=place,
        bars=Bars(*(_gathered(column, rows) for column in done.bars)),
        timestamps=grid.labels[label],
        known_at=known_at,
        elapsed=known_at - session.open_at,
        missing=_between(before[label], upto[label], offsets),
        hollow=np.zeros(len(label), dtype=np.int64),
        missing_after=_after(upto[label], offsets, len(grid.expected_labels)),
        is_partial=np.zeros(len(label), dtype=np.bool_),
    )


def derived_series(done: Pass, session: Session, interval: Interval, k: int) -> Series:
    """The derived bars of the k-th derived interval."""
    windows, derived = done.windows[k], done.derived
    rows = slice(int(derived.starts[k]), int(derived.starts[k] + derived.rows[k]))
    codes = derived.symbol[rows]
    offsets, order, place = _by_symbol(codes, len(done.symbols))
    window = derived.window[rows][order]
    due = windows.expected_bars.astype(np.int64)
    upto = np.cumsum(due)
    known_at = windows.known_at[window]
    columns = (derived.open, derived.high, derived.low, derived.close, derived.volume)
    return Series(
        interval=str(interval),
        symbols=done.symbols,
        offsets=offsets,
        order=order,
        place=place,
        bars=Bars(*(column[rows][order] for column in columns)),
        timestamps=windows.starts[window],
        known_at=known_at,
        elapsed=known_at - session.open_at,
        missing=_between((upto - due)[window], upto[window], offsets),
        hollow=np.maximum(due[window] - derived.bars[rows][order], 0),
        missing_after=_after(upto[window], offsets, int(due.sum())),
        is_partial=windows.is_partial[window],
    )


def whole_bars(series: Series) -> tuple[Series, Int64]:
    """The series without its partial bars, and the rows that are left; what a dropped bar missed counts as before."""
    keep = np.flatnonzero(~series.is_partial)
    if len(keep) == len(series.is_partial):
        return series, keep
    symbol = np.repeat(np.arange(len(series.symbols)), np.diff(series.offsets))
    offsets = _offsets(symbol[keep], len(series.symbols))
    # Missing up to and with each row since the symbol's first; differences of it skip the dropped rows.
    upto = np.cumsum(series.missing + series.hollow)
    upto -= np.concatenate([[0], upto])[series.offsets[:-1]][symbol] if len(upto) else 0
    total = np.zeros(len(series.symbols), dtype=np.int64)
    full = np.flatnonzero(np.diff(series.offsets))
    total[full] = upto[series.offsets[full + 1] - 1]
    kept = upto[keep]
    order = _inverse(np.argsort(series.order[keep]))
    kept_series = series._replace(
        offsets=offsets,
        order=order,
        place=_inverse(order),
        bars=Bars(*(column[keep] for column in series.bars)),
        timestamps=series.timestamps[keep],
        known_at=series.known_at[keep],
        elapsed=series.elapsed[keep],
        missing=_between(kept - series.hollow[keep], kept, offsets),
        hollow=series.hollow[keep],
        missing_after=series.missing_after + _after(kept, offsets, 0) + total,
        is_partial=series.is_partial[keep],
    )
    return kept_series, keep


def label_major(series: Series, values: Float64) -> Float64:
    """Values of the series' rows in the order (timestamp, symbol)."""
    return _gathered(values, series.place)


def as_of(wide: Series, base: Series, *, partial: bool) -> Int64:
    """For each base row the row of `wide` that is its symbol's latest known by then, -1 where none is.

    Known means wide.known_at <= the base row's own known_at; both series are of the same session and symbols. Partial
    bars are passed over unless `partial`: they have no value, and the one before them stands as it does overnight.
    """
    symbols = len(base.symbols)
    # One search for all symbols: an instant's place among the session's known_at, and the symbol in front.
    instants = np.unique(np.concatenate([wide.known_at, base.known_at]))
    step = len(instants) + 1
    wide_symbol = np.repeat(np.arange(symbols), np.diff(wide.offsets))
    base_symbol = np.repeat(np.arange(symbols), np.diff(base.offsets))
    haystack = wide_symbol * step + np.searchsorted(instants, wide.known_at)
    found = np.searchsorted(haystack, base_symbol * step + np.searchsorted(instants, base.known_at), "right") - 1
    if not partial and len(wide.order):
        whole = np.maximum.accumulate(np.where(wide.is_partial, -1, np.arange(len(wide.order))))
        found = np.where(found >= 0, whole[found], -1)
    return np.where(found >= wide.offsets[base_symbol], found, -1)


def latest_by(series: Series, instant: int, *, partial: bool) -> Int64:
    """[symbols]: each symbol's latest row known by an instant, -1 where none is; partial bars as in as_of."""
    found = np.full(len(series.symbols), -1, dtype=np.int64)
    is_known = series.known_at <= instant if partial else (series.known_at <= instant) & ~series.is_partial
    rows = np.flatnonzero(is_known)
    # Rows are in time order within a symbol: of several the last stays.
    found[np.repeat(np.arange(len(found)), np.diff(series.offsets))[rows]] = rows
    return found


def taken(values: Float64, rows: Int64, before: Float64, base: Series) -> Float64:
    """`values` at the rows `as_of` found; `before` [symbols] where it found none."""
    base_symbol = np.repeat(np.arange(len(base.symbols)), np.diff(base.offsets))
    if not len(values):
        return before[base_symbol]
    return np.where(rows >= 0, values[rows], before[base_symbol])


def _offsets(codes: Int64 | Int32, symbols: int) -> Int64:
    return np.concatenate([[0], np.cumsum(np.bincount(codes, minlength=symbols))]).astype(np.int64)


def _by_symbol(codes: Int32, symbols: int) -> tuple[Int64, Int64, Int64]:
    offsets = _offsets(codes, symbols)
    order, place = integers(len(codes)), integers(len(codes))
    symbol_order(frozen(codes), offsets[:-1].copy(), order, place)
    return offsets, order, place


def _gathered(values: Float64, rows: Int64) -> Float64:
    out = floats(len(rows))
    return values.take(rows, mode="clip", out=out) if len(rows) else out


def _inverse(order: Int64) -> Int64:
    inverse = np.empty(len(order), dtype=np.int64)
    inverse[order] = np.arange(len(order))
    return inverse


def _between(before: Int64, upto: Int64, offsets: Int64) -> Int64:
    previous = np.zeros(len(upto), dtype=np.int64)
    previous[1:] = upto[:-1]
    starts = offsets[:-1]
    previous[starts[starts < len(previous)]] = 0
    missing: Int64 = before - previous
    return missing


def _after(upto: Int64, offsets: Int64, total: int) -> Int64:
    after = np.full(len(offsets) - 1, total, dtype=np.int64)
    full = np.flatnonzero(np.diff(offsets))
    after[full] -= upto[offsets[full + 1] - 1]
    return after


def _known_at(session: Session, labels: Int64, interval: Interval, hours: str) -> Int64:
    """A source bar is known when it is over; in regular hours the close and the break cut it short."""
    if not interval.is_intraday:
        return np.full(len(labels), session.over_at if hours == "extended" else session.close_at, dtype=np.int64)
    known_at: Int64 = labels + interval.us
    if hours == "regular":
        for start, end in session.segments:
            inside = (labels >= start) & (labels < end)
            known_at[inside] = np.minimum(known_at[inside], end)
    return known_at
