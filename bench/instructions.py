"""Instructions per bar of the pass and the ledger, by callgrind: the slope of two repetition counts, without start-up.

`python -m bench.instructions` prints, `--write` keeps the figures in instructions.json, `--check` fails on 2 % more.
One process under callgrind runs every case and asks for the count in between: the same figures every time, in a minute.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

BASELINE = Path(__file__).with_name("instructions.json")
# Fixed, or valgrind's processor would not find the host's compiled kernels and compile them anew, for minutes.
FEATURES = "+avx,+avx2,+bmi,+bmi2,+cmov,+cx16,+fma,+lzcnt,+movbe,+popcnt,+sse4.1,+sse4.2,+ssse3"
# name -> symbols, share of bars missing, derived intervals in minutes
CASES = {
    "500 symbols, 5m 15m 60m": (500, 0.01, (5, 15, 60)),
    "10 symbols, 5m 15m 60m": (10, 0.01, (5, 15, 60)),
}
# Market orders and a commission, nothing else set: what a rule costs that nobody asked for is seen here.
LEDGER = "ledger, one symbol, no rules set"
# Few and many enough for a slope of tens of millions of instructions over the start-up's billions.
REPETITIONS = {"500 symbols, 5m 15m 60m": (2, 12), "10 symbols, 5m 15m 60m": (50, 450), LEDGER: (5, 45)}


def main() -> int:
    """0, or 1 if a case takes over 2 % more instructions than its baseline."""
    parser = argparse.ArgumentParser(prog="bench.instructions")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    if shutil.which("valgrind") is None or shutil.which("callgrind_control") is None:
        print("instructions: NOT COUNTED, valgrind is not installed here; so no kernel was held to its baseline")
        return 0
    known = json.loads(BASELINE.read_text()) if BASELINE.is_file() else {}
    found, failed = per_bar(), False
    for name, count in found.items():
        before = known.get(name)
        change = "no baseline" if before is None else f"{100 * (count / before - 1):+.2f} %"
        failed |= before is None or count > 1.02 * before
        print(f"{name:36} {count:8.2f} instructions a bar  {change}")
    if options.write:
        BASELINE.write_text(json.dumps(found, indent=1) + "\n")
    elif failed and options.check:
        print("instructions: over 2 % more than bench/instructions.json; make it cheaper, or say why and --write")
        return 1
    return 0


def per_bar() -> dict[str, float]:
    """Each case's slope of instructions over bars between its two repetition counts."""
    with tempfile.TemporaryDirectory() as folder:
        fixed = {"NUMBA_CPU_NAME": "haswell", "NUMBA_CPU_FEATURES": FEATURES, "PYTHONHASHSEED": "0"}
        environment = os.environ | fixed | {"BACKTESTER_CACHE": folder}
        words = [sys.executable, "-c", "from bench.instructions import work; work()"]
        # The first run compiles into the cache, so that the counted one does not.
        bars = json.loads(subprocess.run(words, env=environment, check=True, capture_output=True).stdout)
        out = Path(folder) / "counts"
        grind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--smc-check=all-non-file"]
        subprocess.run([*grind, *words], env=environment | {"COUNTED": "1"}, check=True, capture_output=True)
        totals = {}
        for path in Path(folder).glob("counts*"):
            text = path.read_text()
            asked, total = (
                re.search(r"^desc: Trigger: dump (\S+)", text, re.M),
                re.search(r"^totals: (\d+)", text, re.M),
            )
            if asked and total:
                totals[asked[1]] = int(total[1])
    found = {}
    for position, (name, (few, many)) in enumerate(REPETITIONS.items()):
        slope = (totals[f"case{position}:many"] - totals[f"case{position}:few"]) / ((many - few) * bars[name])
        found[name] = round(slope, 2)
    return found


def work() -> None:
    """Run every case, under callgrind with a dump after each repetition count, and print how many bars each has."""
    from backtester.kernels import jit

    jit.compiled()
    gc.disable()
    bars = {}
    for position, (name, (few, many)) in enumerate(REPETITIONS.items()):
        bars[name], run = ledger_case() if name == LEDGER else case(name)
        for label, repetitions in (("warm", 1), ("few", few), ("many", many)):
            run(repetitions)
            if os.environ.get("COUNTED"):
                command = ["callgrind_control", "-d", f"case{position}:{label}", str(os.getpid())]
                subprocess.run(command, check=True, capture_output=True)
    print(json.dumps(bars))


def case(name: str) -> tuple[int, Callable[[int], None]]:
    """The bars of a case, and what runs its kernel so many times."""
    import datetime as dt

    import numpy as np

    from backtester.arrays import frozen
    from backtester.data.calendar import Session
    from backtester.data.session_file import bars_table
    from backtester.features.grid import kernel_windows
    from backtester.features.intraday import begun, run_pass
    from backtester.interval import Interval
    from backtester.kernels.scan import scan

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

    def run(repetitions: int) -> None:
        for _ in range(repetitions):
            totals, forming = begun(symbols, len(derived))
            done.derived.rows[:] = 0
            done.gaps.rows[:] = 0
            scan(done.grid.grid, codes, done.bars, windows, totals, forming, done.running, done.derived, done.gaps)

    return len(at), run


def ledger_case() -> tuple[int, Callable[[int], None]]:
    """One symbol over 20 sessions, an SMA cross all in: its bars, and what simulates it so many times."""
    from backtester.execution.simulate import simulate
    from backtester.kernels.state import new_state
    from bench import bench_ledger

    data = bench_ledger.case(symbols=1, sessions=20, seed=1)
    requests = bench_ledger.asked(*bench_ledger.crosses(data.cents[:, 0].copy(), 20, 50))
    rules = bench_ledger.all_in(marks=True)

    def run(repetitions: int) -> None:
        for _ in range(repetitions):
            simulate(data.clock, data.market, requests, rules=rules, state=new_state(1, bench_ledger.CAPITAL))

    return len(data.market.close), run


if __name__ == "__main__":
    sys.exit(main())
