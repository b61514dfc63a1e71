"""Runs of the indicators' tests: configs written, runs made, tables read, stores of simulated bars."""

import hashlib
import json
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from backtester.cli import cli
from backtester.data.run_dir import RunDir
from backtester.data.store import Store
from backtester.interval import Interval
from backtester.run import plan as plans
from backtester.run import pool

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
real = pytest.mark.skipif(not DATA.is_dir(), reason="the real market data is not beside this checkout")
M1, DAY = map(Interval.parse, ("1m", "1d"))

CONTINUOUS = [
    {"name": "sma", "period": 7, "scope": "continuous", "lag": 1},
    {"name": "ema", "period": 5, "interval": "5m", "scope": "continuous"},
    {"name": "atr", "scope": "continuous"},
    {"name": "high_low", "period": 3, "interval": "1d", "scope": "continuous"},
    {"name": "vwap"},
    {"name": "histvol", "period": 10},
]
PAST = [
    {"name": "avg_volume", "sessions": 3},
    {"name": "atr_daily", "sessions": 2},
    {"name": "high_low", "weeks": 2},
    {"name": "gap_stats", "bars": 30, "interval": "5m"},
    {"name": "volume_profile", "sessions": 3},
    {"name": "cumulative_volume", "sessions": 3, "skip_early_close": True},
]
TABLES = ["indicators", "historical_profiles"]


def invoked(*words):
    done = CliRunner().invoke(cli, [*map(str, words)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def written(path, *, indicators=(), historical=(), tables=TABLES, **run):
    base = {"name": "t", "exchange": "XNYS", "start": "2024-11-25", "end": "2024-12-04", "symbols": "*"}
    sections = {"indicators": list(indicators), "historical_indicators": list(historical)}
    path.write_text(json.dumps({"run": {**base, "tables": tables, **run}, **sections}))
    return path


def run(path, store, out, **how):
    plan = plans.from_file(path, Store(store))
    return pool.run_plan(plan, out, **how).run_dir


def tree(root):
    files = sorted(p for kind in ("tables", "sessions") for p in (root / kind).rglob("*") if p.is_file())
    files += [root / "MANIFEST.json", root / "config.toml"]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def rows(run_dir, table, session):
    path = RunDir(run_dir).table_path(table, session)
    return pl.from_arrow(pq.read_table(path)) if path.is_file() else pl.DataFrame()


def simulated(folder):
    """A store of three simulated symbols."""
    invoked("sample", folder / "store", "--start", "2024-10-28", "--end", "2024-12-04", "--symbols", "3")
    return folder / "store"
