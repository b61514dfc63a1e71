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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BASELINE = Path(__file__).with_name("instructions.json")
# Fixed, or valgrind's processor would not find the host's compiled kernels and compile them anew, for minutes.
FEATURES = "+avx,+avx2,+bmi,+bmi2,+cmov,+cx16,+fma,+lzcnt,+movbe,+popcnt,+sse4.1,+sse4.2,+ssse3"
# name -> symbols, share of bars missing, derived intervals in minutes
CASES = {
    "500 symbols, 5m 15m 60m": (500, 0.01, (5, 15, 60)),
    "10 symbols, 5m 15m 60m": (10, 0.01, (5, 15, 60)),
}
# Few and many enough for a slope of tens of millions of instructions over the start-up's billions.
REPETITIONS = {500: (2, 12), 10: (50, 450)}


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
        os.environ |= {"BACKTESTER_CACHE": cache, "NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": FEATURES}
        _count(next(iter(CASES)), 1, is_counted=False)  # compiles into the cache, so that no counted run does
        with ThreadPoolExecutor(2) as pool:
            counts = dict(zip(CASES, pool.map(per_bar, CASES), strict=True))
        for name, count in counts.items():
            found[name] = round(count, 2)
            before = known.get(name)
            change = "" if before is None else f"{100 * (found[name] / before - 1):+.2f} %"
            failed |= before is not None and found[name] > 1.02 * before
            print(f"{name:36} {found[name]:8.2f} instructions a bar  {change}")
    if options.write:
        BASELINE.write_text(json.dumps(found, indent=1) + "\n")
    return int(failed and options.check)


def per_bar(name: str) -> float:
    """The slope of instructions over bars between two repetition counts."""
    few, many = REPETITIONS[CASES[name][0]]
    (low, bars), (high, _) = _count(name, few), _count(name, many)
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

    from backtester.arrays import frozen
    from backtester.data.calendar import Session
    from backtester.data.session_file import bars_table
    from backtester.features.grid import kernel_windows
    from backtester.features.intraday import begun, run_pass
    from backtester.interval import Interval
    from backtester.kernels import jit
    from backtester.kernels.scan import scan

    jit.compiled()
    symbols, missing, minutes = CASES[name]
    random = np.random.default_rng(1)
    at, code = np.nonzero(random.random((390, symbols)) >= missing)
    low = 10.0 + random.random(len(at))
    values = [low + 0.1, low + 0.3, low, low + 0.2, np.round(1e4 * random.random(len(at)))]
    open_at = 1_751_463_000_000_000
    names = [f"S{k:04d}" for k in range(symbols)]
    bars = bars_table(open_at + 60_000_000 * at, code.astype(np.int32), names, values)
    close_at = open_at + 390 * 60_000_000
    session = Session(dt.date(2025, 7, 2), open_at, close_at, None, None, False, close_at)
    derived = [Interval.parse(f"{each}m") for each in minutes]
    done = run_pass(bars, session, interval=Interval.parse("1m"), derived=derived)
    windows, codes = kernel_windows(done.windows, derived, 390), frozen(done.codes)
    for _ in range(repetitions):
        totals, forming = begun(symbols, len(derived))
        done.derived.rows[:] = 0
        done.gaps.rows[:] = 0
        scan(done.grid.grid, codes, done.bars, windows, totals, forming, done.running, done.derived, done.gaps)
    print(len(at))


if __name__ == "__main__":
    sys.exit(main())
