"""The intraday US equities of the shared data as stores, and what of them is run.

All that are such sets. Not among them: reencoded_containers (LEAN's bars in other containers, which import to the same
bars: tests/data/test_ingest.py), mplfinance_spx_2019 (an index, no volume), databento and nautilus (futures, currencies
and crypto), backtrader (a European future), backtestingpy and LEAN's daily and hour bars (too wide).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner

from backtester.cli import cli

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("BACKTESTER_SHARED", ROOT.parent / "shared"))
real = pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="the shared data is not here")

START, UTC = ("--label", "start"), ("--timezone", "UTC")
DUMP = "mismartera/bars_dump_{}_2025-07-02.csv"
LEAN = ("lean", "lean", "--symbols")
BY_PLACE = "timestamp=1,open=2,high=3,low=4,close=5,volume=6"
# Each store with what is imported into it: format, source, options.
IMPORTS = {
    "seed": [("csv", DUMP.format(s), "--symbol", s, "--shift", "-4h", *START, *UTC) for s in ("AAPL", "RIVN")],
    "lean": [(*LEAN, "SPY,AIG,BAC"), (*LEAN, "AAPL"), (*LEAN, "GOOG")],
    "lean_seconds": [(*LEAN, "SPY,BAC")],
    "mit": [("csv", "us_equity_2024_1m_mit/stocks/ohlc/usd/1min", "--symbol-from", "*/2024.csv", *START)],
    "ext": [("csv", "us_equity_2025_1m_ext/2025-01", "--symbol-from", "*.csv", *START, *UTC)],
    "parquet": [("parquet", "us_equity_2025-11_1m_parquet", "--symbol-from", "*_1m.parquet", *START)],
    "yahoo": [
        ("csv", f"us_equity_2026_1m_yahoo/{s}.csv", "--symbol", s, *START, *UTC)
        for s in ("APPS", "CFLT", "FISV", "MELI", "MSFT", "NTES")
    ],
    "yfinance": [
        ("csv", f"yfinance_csv_2026-03/{s}_1m.csv", "--symbol", s, *START, *UTC) for s in ("AAPL", "NIO", "RIVN", "SPY")
    ],
    "ninjatrader": [
        ("csv", "ninjatrader_spy_2011/nt-spy-minute-2011.csv", "--symbol", "SPY", "--label", "end", *UTC, "--no-header",
         "--columns", BY_PLACE),
    ],
    "ibkr": [("csv", "ibkr_aapl_1d/AAPL_1min.csv", "--symbol", "AAPL", *START)],
}  # fmt: skip


class Case(NamedTuple):
    """Some sessions of a store."""

    store: str
    start: str
    end: str
    hours: str = "regular"
    symbols: list[str] | str = "*"


# Each set once or more: gaps, half days, a change of the clocks, a split, closed and missing sessions, a symbol that
# ends, extended hours, 25 symbols, bars made of seconds.
CASES = {
    "seed": Case("seed", "2025-07-02", "2025-07-02"),
    "lean": Case("lean", "2013-10-07", "2013-10-08", symbols=["AIG", "BAC", "SPY"]),
    "a split": Case("lean", "2014-06-06", "2014-06-09", symbols=["AAPL"]),
    "a half day": Case("lean", "2015-12-23", "2015-12-24", symbols=["GOOG"]),
    "made of seconds": Case("lean_seconds", "2013-10-07", "2013-10-07"),
    "gaps and a half day": Case("mit", "2024-07-02", "2024-07-03"),
    "the clocks change": Case("mit", "2024-03-08", "2024-03-11"),
    "extended hours": Case("ext", "2025-01-08", "2025-01-08", "extended"),
    "a day of mourning": Case("ext", "2025-01-08", "2025-01-10"),
    "parquet": Case("parquet", "2025-11-12", "2025-11-12"),
    "two minutes missing": Case("yahoo", "2026-04-09", "2026-04-10"),
    "a symbol ends": Case("yahoo", "2026-03-16", "2026-03-17"),
    "yfinance": Case("yfinance", "2026-03-26", "2026-03-27"),
    "labelled by the end": Case("ninjatrader", "2011-01-03", "2011-01-04", "extended"),
    "ibkr": Case("ibkr", "2025-09-26", "2025-09-26", "extended"),
}


def import_store(name: str, store: Path) -> Path:
    """Make a store of one of IMPORTS."""
    for form, source, *options in IMPORTS[name]:
        interval = "1s" if name == "lean_seconds" else "1m"
        words = [
            "import",
            form,
            SHARED / "data" / source,
            store,
            "--exchange",
            "XNYS",
            "--interval",
            interval,
            *options,
        ]
        done = CliRunner().invoke(cli, [str(word) for word in words])
        assert done.exit_code == 0, done.output
    return store


class Stores:
    """Stores by name, each imported when first asked for."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.made: dict[str, Path] = {}

    def __call__(self, name: str) -> Path:
        if name not in self.made:
            self.made[name] = import_store(name, self.root / name)
        return self.made[name]


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Asks for a store by name."""
    return Stores(tmp_path_factory.mktemp("equity"))
