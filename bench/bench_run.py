"""Complete runs: time against decoding, peak memory, partial reads, whole commands."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from backtester.data.store import Store
from bench.bench_pass import decode
from bench.data import best, build, zstd_files

CLI = [sys.executable, "-c", "from backtester.cli import main; main()"]
OUT = "{out}"  # in a command: a directory of that repeat's own


def main(root: Path, *, quick: bool) -> None:
    """Print the tables of runs, memory, partial reads and commands."""
    symbols, sessions = (50, 6) if quick else (500, 42)
    entries = build(root, symbols=symbols, sessions=sessions)
    rows = sum(entry.layout.rows for entry in entries)
    own = best(lambda: decode([entry.path for entry in entries]), rows=rows)
    compressed = best(lambda: decode(zstd_files(root, entries, symbols=symbols)), rows=rows)
    print(
        f"run: {symbols} symbols x {sessions} sessions, {rows:,} rows, derived 5m 15m 60m, gaps and summaries committed"
    )
    for workers in (1, 2):
        runs = [_run_in_process(root, symbols, sessions, workers, rows) for _ in range(3)]
        wall, cpu = (min(seconds) / rows * 1e9 for seconds in zip(*runs, strict=True))
        ratios = f"decode of zstd {wall / compressed[0]:.2f} wall, {cpu / compressed[1]:.2f} CPU (bar 2.5)"
        print(f"  {workers} workers {wall:6.1f} / {cpu:.1f} ns a row; : {ratios}, of own files {cpu / own[1]:.2f} CPU")
    for count in (2, 6) if quick else (10, 42, 80):
        build(root, symbols=symbols, sessions=count)
        print(f"  peak memory, {count:3} sessions  {_peak(root, symbols, count):6.0f} MB (bar 450)")
    chosen = [entries[0].layout.symbols[k] for k in (symbols // 5, symbols // 2)]
    store = Store(entries[0].folder.parents[3])
    partial = best(lambda: [store.load(entry, chosen) for entry in entries], rows=rows, repeats=9)
    whole = best(lambda: [store.load(entry) for entry in entries], rows=rows, repeats=9)
    wall, cpu = partial[0] / whole[0], partial[1] / whole[1]
    print(f"  2 of {symbols} symbols : the full read  {wall:.2f} wall, {cpu:.2f} CPU (bar 0.20)")
    _commands(root)
    shutil.rmtree(root / "outs", ignore_errors=True)


def _fresh(root: Path) -> Path:
    """A directory for one run, deleted with the others at the end: deleting between repeats slows the next one down."""
    outs = root / "outs"
    outs.mkdir(exist_ok=True)
    return Path(tempfile.mkdtemp(dir=outs))


def _run_in_process(root: Path, symbols: int, sessions: int, workers: int, rows: int) -> tuple[float, float]:
    from backtester import config
    from backtester.data import calendar
    from backtester.run import plan, pool

    out = _fresh(root)
    settings = config.load(_config(root, sessions), exchanges=calendar.exchanges())
    planned = plan.from_config(settings, Store(root / f"{symbols}x{sessions}" / "store"))
    wall, cpu = time.perf_counter(), time.process_time()
    outcome = pool.run_plan(planned, out, workers=workers)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    assert outcome.bars == rows
    return wall, cpu


def _config(root: Path, sessions: int) -> Path:
    path = root / f"bench{sessions}.json"
    end = "2024-12-31" if sessions > 250 else build(root, symbols=2, sessions=sessions)[-1].session.isoformat()
    run = {"name": "bench", "exchange": "XNYS", "start": "2024-01-02", "end": end, "symbols": "*"}
    path.write_text(json.dumps({"run": {**run, "derived": ["5m", "15m", "60m"]}}))
    return path


def _peak(root: Path, symbols: int, sessions: int) -> float:
    store = root / f"{symbols}x{sessions}" / "store"
    code = (
        "import re, sys; sys.argv = ['backtester', 'run', *sys.argv[1:]]\n"
        "from backtester.cli import main; main()\n"
        "print(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1], file=sys.stderr)"
    )
    words = [
        sys.executable,
        "-c",
        code,
        str(_config(root, sessions)),
        "--store",
        str(store),
        "--out",
        str(_fresh(root)),
    ]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return int(done.stderr.split()[-1]) / 1024


def _commands(root: Path) -> None:
    store = root / "small"
    if not (store / "store.json").is_file():
        subprocess.run([*CLI, "sample", str(store), "--symbols", "2"], check=True, capture_output=True)
    small = root / "small.json"
    run = {"name": "small", "exchange": "XNYS", "start": "2024-11-26", "end": "2024-11-27", "symbols": "*"}
    small.write_text(json.dumps({"run": {**run, "derived": ["5m", "15m"]}, "history": {"trailing_sessions": 5}}))
    print("commands: whole process, least of 9, seconds wall / CPU")
    rows = {
        "python -c pass": ([sys.executable, "-c", "pass"], None),
        "import numpy, pyarrow.parquet": ([sys.executable, "-c", "import numpy, pyarrow.parquet"], None),
        "--help (bar 0.15)": ([*CLI, "--help"], None),
        "run, 2 symbols x 2 sessions (bar 0.5)": (
            [*CLI, "run", str(small), "--store", str(store), "--out", OUT],
            None,
        ),
    }
    for name, (words, environment) in rows.items():
        wall, cpu = _timed(root, words, environment)
        print(f"  {name:40} {wall:.3f} / {cpu:.3f}")
    build(root, symbols=500, sessions=2)
    first = {"BACKTESTER_CACHE": str(root / "cold")}
    shutil.rmtree(root / "cold", ignore_errors=True)
    words = [*CLI, "run", str(_config(root, 2)), "--store", str(root / "500x2" / "store"), "--out", OUT]
    wall, cpu = _timed(root, words, first, repeats=1)
    print(f"  {'first run, kernels compiled (bar 12)':40} {wall:.3f} / {cpu:.3f}")


def _timed(root: Path, words: list[str], environment: dict[str, str] | None, repeats: int = 9) -> tuple[float, float]:
    walls, cpus = [], []
    for _ in range(repeats):
        own = [str(_fresh(root)) if word == OUT else word for word in words]
        before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run(own, check=True, capture_output=True, env={**os.environ, **(environment or {})})
        walls.append(time.perf_counter() - begun)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpus.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(walls), min(cpus)
