"""A backtest as a whole process, from stored Parquet to printed metrics: one symbol, 252 sessions of 1m, SMA 20/50.

The second process is the one that counts. It runs machine code where an earlier one has compiled the ledger, and plain
Python otherwise, which takes as long at this size. The answer is checked first: both ways end alike.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.data import build

BAR_SECONDS = 1.5
CONFIG = """
[run]
name = "bench"
exchange = "XNYS"
start = {start}
end = {end}
symbols = "*"

[strategy]
use = "backtester.strategy.samples:SmaCross"
params = {{ fast = 20, slow = 50 }}

[execution]
size_unit = "cash_frac"
size_amount = 1.0
slippage_bps = 1.0
volume_frac = 0.0
"""


def main(root: Path, *, quick: bool) -> None:
    """Print wall and CPU seconds of the second process, and of one without machine code."""
    sessions = 20 if quick else 252
    entries = build(root, symbols=1, sessions=sessions)
    folder = root / f"1x{sessions}"
    (folder / "strategy.toml").write_text(CONFIG.format(start=entries[0].session, end=entries[-1].session))
    # Each into a directory of its own: after many files were deleted new ones cost ten times as much for a while.
    with tempfile.TemporaryDirectory(dir=folder) as out:
        plain = _run(folder, Path(out, "plain"), NUMBA_DISABLE_JIT="1")
        first = _run(folder, Path(out, "first"))
        runs = [_run(folder, Path(out, str(k))) for k in range(2 if quick else 4)]
    best = min(runs, key=lambda run: run["wall"])
    assert best["metrics"] == plain["metrics"], "machine code and plain Python end alike"
    print(f"strategy: one symbol x {sessions} sessions of 1m, SMA 20/50, process from Parquet to printed metrics")
    for name, run in (("plain Python", plain), ("first process", first), ("second process", best)):
        print(f"  {name:<16}{run['wall']:6.2f} s wall {run['cpu']:6.2f} s CPU")
    print(f"  bar {BAR_SECONDS} s for the second process")


def _run(folder: Path, out: Path, **environment: str) -> dict[str, object]:
    """One process: its seconds, and the metrics it printed."""
    code = "from backtester.cli import main; main()"
    words = [sys.executable, "-c", code, "run", str(folder / "strategy.toml"), "--store", str(folder / "store")]
    before, begun = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(
        [*words, "--out", str(out), "--json"], capture_output=True, text=True, check=True,
        env={**os.environ, **environment},
    )  # fmt: skip
    wall, after = time.perf_counter() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": wall, "cpu": cpu, "metrics": json.loads(done.stdout)["metrics"]}
