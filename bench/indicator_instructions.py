"""Instructions a row of each of the seed's indicators, by callgrind: kernels alone, and the slope of two repetitions.

`python -m bench.indicator_instructions`. One process under callgrind runs them all and asks for the count in between.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.instructions import FEATURES

FEW, MANY = 5, 45
SYMBOLS, BARS = 50, 390


def main() -> int:
    """Print instructions a row; 0, also where valgrind is missing."""
    if shutil.which("valgrind") is None:
        print("indicator instructions: valgrind is not installed, so nothing was counted")
        return 0
    with tempfile.TemporaryDirectory() as folder:
        cache = os.environ.get("BACKTESTER_CACHE", folder)
        environment = os.environ | {
            "BACKTESTER_CACHE": cache,
            "NUMBA_CPU_NAME": "haswell",
            "NUMBA_CPU_FEATURES": FEATURES,
        }
        words = [sys.executable, "-c", "from bench.indicator_instructions import work; work()"]
        subprocess.run(words, env=environment, check=True, capture_output=True)  # compiles, so that no counted run does
        out = Path(folder) / "counts"
        grind = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", "--smc-check=all-non-file"]
        subprocess.run([*grind, *words], env=environment | {"COUNTED": "1"}, check=True, capture_output=True)
        totals = {}
        for path in Path(folder).glob("counts*"):
            text = path.read_text()
            name, total = re.search(r"^desc: Trigger: dump (\S+)", text, re.M), re.search(r"^totals: (\d+)", text, re.M)
            if name and total:
                totals[name[1]] = int(total[1])
    for key in [name.removesuffix(":many") for name in totals if name.endswith(":many")]:
        count = (totals[f"{key}:many"] - totals[f"{key}:few"]) / ((MANY - FEW) * SYMBOLS * BARS)
        print(f"  {key:20} {count:7.1f} instructions a row")
    return 0


def work() -> None:
    """Run each indicator's kernel FEW and MANY times; under callgrind, dump the count after each."""
    from backtester.features import indicators as glue
    from backtester.features.catalog import find_indicator, uses_of
    from backtester.kernels import jit
    from bench.bench_indicators import SEED, YEAR
    from tests.features.bars_made import made
    from tests.features.test_indicator_oracles import random_bars

    jit.compiled()
    rows = random_bars(BARS)
    series = made([rows] * SYMBOLS)
    stream = glue._stream(series, None, carries=False)  # noqa: SLF001
    ticks = glue._TickColumns(stream)  # noqa: SLF001
    for use in uses_of(SEED, run_interval="1m")[0]:
        indicator = find_indicator(use.name)
        for name, repetitions in (("warm", 1), ("few", FEW), ("many", MANY)):
            for _ in range(repetitions):
                glue._computed(use, indicator, stream, ticks, {}, {}, YEAR["1m"])  # noqa: SLF001
            if os.environ.get("COUNTED"):
                command = ["callgrind_control", "-d", f"{use.key}:{name}", str(os.getpid())]
                subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    sys.exit(main())
