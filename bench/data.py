"""The benchmarks' bars: simulated sessions in a store, and the same rows as zstd Parquet for the yardstick."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from backtester.data import calendar
from backtester.data.session_file import bars_table
from backtester.data.store import Entry, Store
from backtester.interval import Interval

MINUTE = Interval.parse("1m")
COLUMNS = ["timestamp", "symbol", "open", "high", "low", "close", "volume"]


def build(root: Path, *, symbols: int, sessions: int) -> list[Entry]:
    """`sessions` XNYS sessions of `symbols` symbols, 1 % of the bars missing; built once under `root`."""
    folder = root / f"{symbols}x{sessions}"
    store = Store(folder / "store")
    days = calendar.load("XNYS").sessions(dt.date(2024, 1, 2), dt.date(2024, 12, 31))[:sessions]
    if not (folder / "built").is_file():
        (folder / "zstd").mkdir(parents=True, exist_ok=True)
        names = [f"S{k:05d}" for k in range(symbols)]
        for k, session in enumerate(days):
            table = _session(session.open_at, session.close_at, names, seed=k)
            pq.write_table(table, folder / "zstd" / f"{session.date}.parquet", compression="zstd")
            dated = table.append_column("session", pa.array([session.date] * table.num_rows, pa.date32()))
            store.add(dated, exchange="XNYS", interval=MINUTE, source={"kind": "simulated", "seed": k})
        (folder / "built").touch()
    entries = [store.entry("XNYS", MINUTE, session.date) for session in days]
    return [entry for entry in entries if entry is not None]


def zstd_files(root: Path, entries: list[Entry], *, symbols: int) -> list[Path]:
    """The yardstick's files of the same sessions."""
    return [root / f"{symbols}x{len(entries)}" / "zstd" / f"{entry.session}.parquet" for entry in entries]


def best(work: Callable[[], object], *, rows: int, repeats: int = 5) -> tuple[float, float]:
    """(wall, CPU) nanoseconds a row, each the least of `repeats`."""
    walls, cpus = [], []
    for _ in range(repeats):
        wall, cpu = time.perf_counter(), time.process_time()
        work()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return min(walls) / rows * 1e9, min(cpus) / rows * 1e9


def _session(open_at: int, close_at: int, names: list[str], *, seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    labels = np.arange(open_at, close_at, MINUTE.us)
    shape = (len(labels), len(names))
    base = 10.0 + 290.0 * np.arange(len(names)) / len(names)
    opens = np.round(base * np.exp(np.cumsum(random.normal(0, 5e-4, shape), axis=0)), 2)
    closes = np.round(opens * (1 + random.normal(0, 3e-4, shape)), 2)
    highs = np.maximum(opens, closes) + np.round(random.random(shape) * 0.05, 2)
    lows = np.minimum(opens, closes) - np.round(random.random(shape) * 0.05, 2)
    volumes = np.round(random.lognormal(7, 1, shape))
    keep = random.random(shape) > 0.01
    at, code = np.nonzero(keep)
    return bars_table(
        labels[at], code.astype(np.int32), names, [x[keep] for x in (opens, highs, lows, closes, volumes)]
    )
