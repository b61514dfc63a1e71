"""Runs of other engines on real bars, repeated through the command line: a config and a sample strategy alone.

Sources: peer_runs (vectorbt, backtesting.py, backtrader and a plain script agree), backtestingpy and backtrader of the
shared oracles.
"""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.parquet as pq
import pytest

from backtester.data.run_dir import RunDir

ROOT = Path(__file__).resolve().parents[2]
SHARED = ROOT.parent / "shared"
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason="needs the shared data beside the checkout")

MIT = "us_equity_2024_1m_mit/stocks/ohlc/usd/1min"
EXTENDED = "us_equity_2025_1m_ext/2025-01"
BY_POSITION = "timestamp=1,open=2,high=3,low=4,close=5,volume=6"
MINUTE = ["--interval", "1m", "--label"]
# store: where its files are, and what they cannot say.
IMPORTS = {
    "spy": (["ninjatrader_spy_2011/nt-spy-minute-2011.csv"], "XNYS",
            [*MINUTE, "end", "--symbol", "SPY", "--timezone", "UTC", "--no-header", "--columns", BY_POSITION]),
    "mit": ([f"{MIT}/AZO", f"{MIT}/TPL"], "XNYS", [*MINUTE, "start", "--symbol-from", "*/2024.csv"]),
    "ext": ([f"{EXTENDED}/AAPL.csv", f"{EXTENDED}/MSFT.csv"], "XNYS", [*MINUTE, "start", "--symbol-from", "*.csv"]),
    "goog": (["backtestingpy/GOOG.csv"], "XNYS", ["--interval", "1d", "--symbol", "GOOG", "--columns", BY_POSITION]),
    "index": (["backtrader/2006-day-001.txt"], "XETR", ["--interval", "1d", "--symbol", "INDEX"]),
}  # fmt: skip
FIXED = {"capital": 1_000_000.0, "size_unit": "units", "volume_frac": 0.0}
FEE = {"commission": {"model": "per_order", "per_order": 1.0}}
CROSS, RANGE = "SmaCross", "OpeningRange"
SLOW, FAST = {"fast": 20, "slow": 50}, {"fast": 10, "slow": 30}
# case: store, symbol, first and last date, sample, its parameters, [execution], [limits]
CASES = {
    "SPY201101": ("spy", "SPY", "2011-01-03", "2011-01-31", CROSS, SLOW, {**FIXED, "size_amount": 100.0}, {}),
    "AZO2024": ("mit", "AZO", "2024-01-02", "2024-12-31", CROSS, FAST, {**FIXED, **FEE, "size_amount": 10.0}, {}),
    "TPL2024": ("mit", "TPL", "2024-01-02", "2024-12-31", CROSS, FAST, {**FIXED, **FEE, "size_amount": 10.0}, {}),
    "AAPL202501": ("ext", "AAPL", "2025-01-02", "2025-01-31", RANGE, {}, {**FIXED, **FEE, "size_amount": 100.0},
                   {"flat_by": "close-1m"}),
    "MSFT202501": ("ext", "MSFT", "2025-01-02", "2025-01-31", RANGE, {}, {**FIXED, **FEE, "size_amount": 100.0},
                   {"flat_by": "close-1m"}),
}  # fmt: skip


def command(*words):
    done = subprocess.run(
        [sys.executable, "-c", "from backtester.cli import main; main()", *map(str, words)],
        capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Asks for a store by name; its files are imported the first time."""
    root, made = tmp_path_factory.mktemp("peers"), {}

    def store(name):
        if name not in made:
            files, exchange, options = IMPORTS[name]
            sources = [SHARED / "data" / file for file in files]
            command("import", "csv", *sources, root / name, "--exchange", exchange, *options)
            made[name] = exchange
        return root / name, made[name]

    return store


def run(stores, folder, case, *, interval="1m"):
    """A case's run directory."""
    name, symbol, start, end, sample, params, execution, limits = case
    store, exchange = stores(name)
    chosen = {"name": "peer", "exchange": exchange, "start": start, "end": end, "symbols": [symbol]}
    use = {"use": f"backtester.strategy.samples:{sample}", "params": params}
    config = {"run": {**chosen, "interval": interval}, "strategy": use, "execution": execution, "limits": limits}
    (folder / "config.json").write_text(json.dumps(config))
    out = command("run", folder / "config.json", "--store", store, "--out", folder / "runs", "--json")
    return RunDir(Path(json.loads(out)["run_dir"]))


def table(run_dir, name):
    paths = [run_dir.table_path(name, session) for session in run_dir.sessions()]
    return [row for path in map(Path, paths) if path.is_file() for row in pq.ParquetFile(path).read().to_pylist()]


def drawdown_pct(run_dir, capital):
    equity = np.array([row["equity"] for row in table(run_dir, "equity")])
    return 100.0 * float((equity / np.maximum.accumulate(np.concatenate([[capital], equity]))[1:] - 1.0).min())


@pytest.mark.parametrize("name", CASES)
def test_a_peer_run_is_repeated_to_the_last_order(name, stores, tmp_path):
    cases = json.loads((SHARED / "oracles/peer_runs/cases.json").read_text())["cases"]
    [expected] = [case["expected"] for case in cases if case["id"] == name]
    with (SHARED / f"oracles/peer_runs/orders/{name}.csv").open() as file:
        orders = [(r["t"], r["side"], *map(float, (r["size"], r["price"], r["fee"]))) for r in csv.DictReader(file)]

    done = run(stores, tmp_path, CASES[name])

    fills = [
        (f"{fill['timestamp'].astimezone(ZoneInfo('America/New_York')):%Y-%m-%d %H:%M:%S}",
         "buy" if fill["side"] > 0 else "sell", fill["quantity"], fill["price"], fill["commission"])
        for fill in table(done, "fills")
    ]  # fmt: skip
    assert len(fills) == expected["orders"]
    assert fills == orders
    assert table(done, "session_equity")[-1]["equity"] == pytest.approx(expected["final_equity"], abs=1e-6)
    assert round(drawdown_pct(done, 1_000_000.0), 6) == expected["max_drawdown_pct"]


def test_backtesting_py_on_daily_bars_of_google(stores, tmp_path):
    expected = json.loads((SHARED / "oracles/backtestingpy/cases.json").read_text())
    execution = {"capital": 10_000.0, "size_unit": "equity_frac", "size_amount": 1.0, "size_at": "fill"}
    execution |= {"volume_frac": 0.0, "cash": "none", "end": "open"}
    params = {"fast": 10, "slow": 30, "short": True}

    case = ("goog", "GOOG", "2004-08-19", "2013-03-01", CROSS, params, execution, {})
    done = run(stores, tmp_path, case, interval="1d")

    trades = table(done, "trades")
    assert len(trades) == 66 == expected["expected"]["# Trades"]
    assert table(done, "session_equity")[-1]["equity"] == pytest.approx(51422.98999999996, abs=1e-8)
    assert drawdown_pct(done, 10_000.0) == pytest.approx(expected["expected"]["Max. Drawdown [%]"], abs=1e-9)
    first = [
        {"size": trade["side"] * trade["quantity"], "entry": f"{trade['entered_at']:%Y-%m-%d}",
         "entry_price": trade["entry_price"], "exit": f"{trade['exited_at']:%Y-%m-%d}",
         "exit_price": round(trade["exit_price"], 9), "pnl": round(trade["pnl"], 9)}
        for trade in trades[:3]
    ]  # fmt: skip
    assert first == expected["first_trades"]


def test_backtrader_on_daily_bars_of_an_index(stores, tmp_path):
    expected = json.loads((SHARED / "oracles/backtrader/strategy.json").read_text())
    execution = {**FIXED, "capital": 10_000.0, "size_amount": 1.0}

    case = ("index", "INDEX", "2006-01-02", "2006-12-29", CROSS, {"fast": 1, "slow": 15}, execution, {})
    done = run(stores, tmp_path, case, interval="1d")

    fills, last = table(done, "fills"), table(done, "session_equity")[-1]
    assert [f"{fill['price']:.2f}" for fill in fills if fill["side"] > 0] == expected["buy_fill"]
    assert [f"{fill['price']:.2f}" for fill in fills if fill["side"] < 0] == expected["sell_fill"]
    assert f"{last['equity']:.2f}" == expected["stock_like"]["final_value"] == "10284.10"
    assert f"{last['cash']:.2f}" == expected["stock_like"]["final_cash"] == "6164.16"
