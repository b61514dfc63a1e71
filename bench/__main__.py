"""`python -m bench [--quick] [--data DIR]`: every benchmark, one after the other."""

from __future__ import annotations

import argparse
import platform
import tempfile
from pathlib import Path

import numba
import pyarrow as pa

from bench import (
    bench_audit,
    bench_history,
    bench_indicators,
    bench_ledger,
    bench_pass,
    bench_replay,
    bench_run,
    bench_steps,
    bench_strategy,
)


def main() -> None:
    """Run them all on one data set, built once under --data."""
    parser = argparse.ArgumentParser(prog="bench")
    parser.add_argument(
        "--quick", action="store_true", help="a small set: the answers are checked, the figures are rough"
    )
    parser.add_argument("--data", type=Path, help="where the data set is built and kept")
    options = parser.parse_args()
    print(f"CPython {platform.python_version()}, pyarrow {pa.__version__}, numba {numba.__version__}")
    with tempfile.TemporaryDirectory() as scratch:
        root = options.data or Path(scratch)
        bench_pass.main(root, quick=options.quick)
        bench_run.main(root, quick=options.quick)
        bench_indicators.main(root, quick=options.quick)
        bench_ledger.main(quick=options.quick)
        bench_replay.main(root, quick=options.quick)
        bench_steps.main(quick=options.quick)
        bench_history.main(root, quick=options.quick)
        bench_strategy.main(root, quick=options.quick)
        bench_audit.main(root, quick=options.quick)


if __name__ == "__main__":
    main()
