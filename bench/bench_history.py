"""Minute profiles and daily values of sliding windows against Polars' rolling means over the same bars.

Every session's value over the 20 sessions before it: the minute-of-session volume profile, average volume, and highest
and lowest. Both sides have the bars in memory; the answers are checked first. `python -m bench --quick` for a few.
"""

from __future__ import annotations

import time
from datetime import date
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from backtester.arrays import Float64
from backtester.data import calendar
from backtester.data.store import Store
from backtester.features.trailing import Trailing, calendar_reach
from backtester.features.trailing_catalog import Use
from backtester.interval import Interval
from bench.data import build

MINUTE, DAY = Interval.parse("1m"), Interval.parse("1d")


def main(root: Path, *, quick: bool) -> None:
    """Check, then print nanoseconds of CPU a row for both, and their ratio."""
    symbols, sessions, window = (50, 8, 3) if quick else (500, 42, 20)
    entries = build(root, symbols=symbols, sessions=sessions)
    store = Store(entries[0].folder.parents[3])
    tables = {entry.session: store.load(entry) for entry in entries}
    rows = sum(table.num_rows for table in tables.values())
    names = entries[0].layout.symbols
    frame = _dense(tables, names)
    own, yardstick = [], []
    for _ in range(2 if quick else 3):
        begun = time.process_time()
        found = _ours(tables, names, window)
        own.append(time.process_time() - begun)
        begun = time.process_time()
        expected = _polars(frame, window)
        yardstick.append(time.process_time() - begun)
    last = max(tables)
    _check(found, expected.filter(pl.col("session") == last), names)
    ours, theirs = min(own) / rows * 1e9, min(yardstick) / rows * 1e9
    print(
        f"history: {symbols} symbols x {sessions} sessions, windows of {window}: minute profile, mean volume, high, low"
    )
    print(f"  ours {ours:6.1f} ns of CPU a row, Polars {theirs:6.1f}; Polars : ours {theirs / ours:.1f}")


def _ours(tables: dict[date, pa.Table], names: list[str], window: int) -> Float64:
    uses = [
        Use("profile", "volume_profile", "sessions", window, MINUTE, MINUTE),
        Use("volume", "avg_volume", "sessions", window, MINUTE, DAY),
        Use("levels", "high_low", "sessions", window, MINUTE, DAY),
    ]
    days = sorted(tables)
    known = calendar.load("XNYS")
    reach = calendar_reach(uses, known, days[0], days[-1])
    trailing = Trailing(uses, reach, names, lambda session, _: (tables.get(session.date), []))
    for day in days:
        found = trailing.at(day)
        trailing.feed(day, MINUTE, tables[day], [])
    return found.profiles[0].values


def _dense(tables: dict[date, pa.Table], names: list[str]) -> pl.DataFrame:
    """Every minute of every session and symbol, null where there is no bar: made for Polars beforehand, not timed."""
    frames = []
    for day, table in tables.items():
        session = calendar.load("XNYS").session(day)
        minutes = (session.close_at - session.open_at) // MINUTE.us
        grid = pl.DataFrame({"minute": range(minutes)}).join(pl.DataFrame({"symbol": names}), how="cross")
        bars = pl.DataFrame(table).select(
            pl.col("symbol").cast(pl.String),
            *("volume", "high", "low"),
            minute=(pl.col("timestamp").dt.timestamp("us") - session.open_at) // MINUTE.us,
        )
        frames.append(grid.join(bars, on=["minute", "symbol"], how="left").with_columns(session=pl.lit(day)))
    return pl.concat(frames)


def _polars(frame: pl.DataFrame, window: int) -> pl.DataFrame:
    """The profile; the daily values are computed, and thrown away."""
    daily = frame.group_by("symbol", "session").agg(pl.col("volume").sum(), pl.col("high").max(), pl.col("low").min())
    daily.sort("session").with_columns(
        pl.col("volume").rolling_mean(window).shift(1).over("symbol"),
        pl.col("high").rolling_max(window).shift(1).over("symbol"),
        pl.col("low").rolling_min(window).shift(1).over("symbol"),
    )
    mean = pl.col("volume").rolling_mean(window, min_samples=1).shift(1)
    return frame.with_columns(value=mean.over("symbol", "minute"))


def _check(found: Float64, expected: pl.DataFrame, names: list[str]) -> None:
    place = {name: column for column, name in enumerate(names)}
    values = np.full(found.shape, np.nan)
    values[expected["minute"].to_numpy(), [place[name] for name in expected["symbol"]]] = expected["value"].to_numpy()
    np.testing.assert_allclose(found, values, rtol=1e-12)
