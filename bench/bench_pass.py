"""Load and pass against decoding alone and against Polars: the answers first, then nanoseconds a row."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from backtester.arrays import frozen
from backtester.data import calendar
from backtester.data.store import Entry, Store
from backtester.features.grid import kernel_windows
from backtester.features.intraday import Pass, begun, run_pass
from backtester.interval import Interval
from backtester.kernels import jit
from backtester.kernels.scan import scan
from bench.data import COLUMNS, best, build, zstd_files

DERIVED = [Interval.parse(text) for text in ("5m", "15m", "60m")]


def main(root: Path, *, quick: bool) -> None:
    """Print the table of the pass."""
    symbols, sessions = (50, 6) if quick else (500, 42)
    jit.compiled()
    entries = build(root, symbols=symbols, sessions=sessions)
    zstd = zstd_files(root, entries, symbols=symbols)
    rows = sum(entry.layout.rows for entry in entries)
    check(entries[0])
    own = best(lambda: decode([entry.path for entry in entries]), rows=rows)
    compressed = best(lambda: decode(zstd), rows=rows)
    loaded = best(lambda: load_all(entries), rows=rows)
    ahead = best(lambda: load_and_pass(entries), rows=rows)
    frames = best(
        lambda: [polars_pass(pl.from_arrow(_store(e).load(e))) for e in entries[:3]],
        rows=rows * 3 // len(entries),
        repeats=3,
    )
    kernel = {count: kernel_alone(root, count, quick=quick) for count in ((10, 50) if quick else (10, 500, 2000))}
    print(f"pass: {symbols} symbols x {sessions} sessions, {rows:,} rows; ns a row, wall / CPU")
    for name, (wall, cpu) in {
        "pyarrow decode, the store's own files": own,
        "pyarrow decode, zstd": compressed,
        "store load, verified": loaded,
        "load + pass, next session read ahead": ahead,
        "Polars per session, in memory (3 sessions)": frames,
    }.items():
        print(f"  {name:44} {wall:7.1f} / {cpu:7.1f}")
    for count, (_, cpu) in kernel.items():
        print(f"  kernel alone, {count:5} symbols{'':20} {cpu:7.1f} CPU")
    for name, decoded in (("zstd", compressed), ("own files", own)):
        wall, cpu = ahead[0] / decoded[0], ahead[1] / decoded[1]
        print(f"  load + pass : decode of {name:10} {wall:.2f} wall, {cpu:.2f} CPU (bar 1.3)")
    print(f"  Polars : load + pass               {frames[1] / ahead[1]:.1f} CPU (bar 6)")
    spread = [cpu for _, cpu in kernel.values()]
    print(f"  kernel, most : least over symbols  {max(spread) / min(spread):.2f} (bar 1.3)")


def decode(paths: list[Path]) -> None:
    """What pyarrow takes to decode the seven columns and nothing else."""
    for path in paths:
        pq.ParquetFile(path, read_dictionary=["symbol"]).read(COLUMNS, use_threads=True)


def load_all(entries: list[Entry]) -> None:
    """Every session from the store, verified."""
    for entry in entries:
        _store(entry).load(entry)


def load_and_pass(entries: list[Entry]) -> None:
    """The store's sessions through the pass, the next one read ahead by one thread, as a run does."""
    known = calendar.load("XNYS")
    with ThreadPoolExecutor(1) as loader:
        ahead = loader.submit(_store(entries[0]).load, entries[0])
        for entry, following in zip(entries, [*entries[1:], None], strict=True):
            bars = ahead.result()
            if following is not None:
                ahead = loader.submit(_store(following).load, following)
            run_pass(bars, known.session(entry.session), interval=Interval.parse("1m"), derived=DERIVED)


def kernel_alone(root: Path, symbols: int, *, quick: bool) -> tuple[float, float]:
    """The kernel on columns in memory, one thread; only its state is made anew for each call."""
    entry = build(root, symbols=symbols, sessions=2 if quick else (42 if symbols == 500 else 10))[0]
    bars, session = _store(entry).load(entry), calendar.load("XNYS").session(entry.session)
    done = run_pass(bars, session, interval=Interval.parse("1m"), derived=DERIVED)
    windows = kernel_windows(done.windows, DERIVED, len(done.grid.labels))
    codes = frozen(done.codes)
    calls = max(1, 400_000 // entry.layout.rows)

    def work() -> None:
        for _ in range(calls):
            totals, forming = begun(symbols, len(DERIVED))
            done.derived.rows[:] = 0
            done.gaps.rows[:] = 0
            scan(done.grid.grid, codes, done.bars, windows, totals, forming, done.running, done.derived, done.gaps)

    work()
    return best(work, rows=entry.layout.rows * calls, repeats=9)


def polars_pass(bars: pl.DataFrame | pl.Series) -> list[pl.DataFrame]:
    """The same job in Polars, one session at a time: running columns, three derived intervals, gaps."""
    assert isinstance(bars, pl.DataFrame)
    traded = (pl.col("high") + pl.col("low") + pl.col("close")) / 3.0 * pl.col("volume")
    frame = bars.with_columns(
        pl.col("volume").cum_sum().over("symbol").alias("running_volume"),
        pl.col("high").cum_max().over("symbol").alias("running_high"),
        pl.col("low").cum_min().over("symbol").alias("running_low"),
        (traded.cum_sum() / pl.col("volume").cum_sum()).over("symbol").alias("running_vwap"),
        pl.int_range(1, pl.len() + 1).over("symbol").alias("running_bars"),
        (pl.col("timestamp").diff().over("symbol").dt.total_minutes() - 1).alias("missing_before"),
    )
    slot = (pl.col("timestamp") - pl.col("timestamp").min()).dt.total_minutes()
    out = [frame, frame.filter(pl.col("missing_before") > 0).select("symbol", "timestamp", "missing_before")]
    bars_of = [
        pl.col("open").first(), pl.col("high").max(), pl.col("low").min(), pl.col("close").last(),
        pl.col("volume").sum(), pl.len().alias("bars"),
    ]  # fmt: skip
    windows = [bars.group_by((slot // n).alias("window"), "symbol").agg(bars_of) for n in (5, 15, 60)]
    return [*out, *windows]


def check(entry: Entry) -> None:
    """The pass and Polars agree before either is timed."""
    bars = _store(entry).load(entry)
    session = calendar.load("XNYS").session(entry.session)
    done: Pass = run_pass(bars, session, interval=Interval.parse("1m"), derived=DERIVED)
    frame, gaps, *windows = polars_pass(pl.from_arrow(bars))
    for name in ("volume", "high", "low", "vwap", "bars"):
        ours, theirs = getattr(done.running, name), frame[f"running_{name}"].to_numpy()
        assert np.allclose(ours, theirs, rtol=1e-12, atol=0.0), name
    assert done.derived.rows.tolist() == [len(window) for window in windows]
    for k, window in enumerate(windows):
        rows = slice(int(done.derived.starts[k]), int(done.derived.starts[k] + done.derived.rows[k]))
        assert done.derived.volume[rows].sum() == window["volume"].sum()
    inside = int(np.count_nonzero(done.gaps.first[: int(done.gaps.rows[0])] > 0))
    assert inside >= len(gaps)


def _store(entry: Entry) -> Store:
    return Store(entry.folder.parents[3])
