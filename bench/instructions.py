"""Instructions per bar of the pass, by callgrind: the slope of two repetition counts, so that start-up cancels out.

`python -m bench.instructions` prints, `--write` keeps the figures in instructions.json, `--check` fails on 2 % more.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

BASELINE = Path(__file__).with_name("instructions.json")
# name -> symbols, share of bars missing, derived intervals in minutes
CASES = {
    "running 500 symbols": (500, 0.01, ()),
    "derived 500 symbols": (500, 0.01, (5, 15, 60)),
    "derived 10 symbols": (10, 0.01, (5, 15, 60)),
    "derived 500 symbols, 70 % missing": (500, 0.7, (5, 15, 60)),
}
REPETITIONS = {10: (50, 150)}


def main() -> int:
    """0, or 1 if a case takes over 2 % more instructions than its baseline."""
    parser = argparse.ArgumentParser(prog="bench.instructions")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("instructions: valgrind is not installed, so nothing was counted")
        return 0
    known = json.loads(BASELINE.read_text()) if BASELINE.is_file() else {}
    found, failed = {}, False
    with tempfile.TemporaryDirectory() as cache:
        os.environ |= {"BACKTESTER_CACHE": cache, "NUMBA_CPU_NAME": "haswell"}
        for name in CASES:
            found[name] = round(per_bar(name), 2)
            before = known.get(name)
            change = "" if before is None else f"{100 * (found[name] / before - 1):+.2f} %"
            failed |= before is not None and found[name] > 1.02 * before
            print(f"{name:36} {found[name]:8.2f} instructions a bar  {change}")
    if options.write:
        BASELINE.write_text(json.dumps(found, indent=1) + "\n")
    return int(failed and options.check)


def per_bar(name: str) -> float:
    """The slope of instructions over bars between two repetition counts."""
    few, many = REPETITIONS.get(CASES[name][0], (2, 6))
    (low, bars), (high, _) = _count(name, few, is_counted=False) and _count(name, few), _count(name, many)
    return (high - low) / ((many - few) * bars)


def _count(name: str, repetitions: int, *, is_counted: bool = True) -> tuple[int, int]:
    words = [sys.executable, "-c", f"from bench.instructions import work; work({name!r}, {repetitions})"]
    grind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null", "--smc-check=all-non-file"]
    done = subprocess.run([*(grind if is_counted else []), *words], capture_output=True, text=True, check=True)
    counted = re.search(r"Collected : (\d+)", done.stderr)
    return int(counted[1]) if counted else 1, int(done.stdout.split()[-1])


def work(name: str, repetitions: int) -> None:
    """Run one case `repetitions` times and print how many bars one run has."""
    import datetime as dt

    import numpy as np

    from backtester.data.calendar import Session
    from backtester.data.session_file import bars_table
    from backtester.features.intraday import run_pass
    from backtester.interval import Interval
    from backtester.kernels import jit

    jit.compiled()
    symbols, missing, minutes = CASES[name]
    random = np.random.default_rng(1)
    at, code = np.nonzero(random.random((390, symbols)) >= missing)
    low = 10.0 + random.random(len(at))
    values = [low + 0.1, low + 0.3, low, low + 0.2, np.round(1e4 * random.random(len(at)))]
    open_at = 1_751_463_000_000_000
    names = [f"S{k:04d}" for k in range(symbols)]
    bars = bars_table(open_at + 60_000_000 * at, code.astype(np.int32), names, values)
    session = Session(dt.date(2025, 7, 2), open_at, open_at + 390 * 60_000_000, None, None, False)
    derived = [Interval.parse(f"{each}m") for each in minutes]
    for _ in range(repetitions):
        run_pass(bars, session, interval=Interval.parse("1m"), derived=derived)
    print(len(at))


if __name__ == "__main__":
    sys.exit(main())
