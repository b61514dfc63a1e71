"""Session indicators against TA-Lib, against values published by backtrader, and against the seed's own."""

import csv
import re
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from backtester.features.catalog import uses_of
from backtester.features.foreign import find
from backtester.features.indicators import indicator_columns
from tests.features.bars_made import YEAR, made, run_sessions
from tests.reference_indicators import Bar

SHARED = Path(__file__).parents[3] / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the shared oracles and data are not beside the checkout")


def random_bars(count, seed=3):
    random = np.random.default_rng(seed)
    closes = 20_000 + np.cumsum(random.integers(-40, 41, count))
    rows = []
    for close in closes.tolist():
        opened = close + int(random.integers(-15, 16))
        high = max(opened, close) + int(random.integers(1, 20))
        low = min(opened, close) - int(random.integers(1, 20))
        prices = (Decimal(cents) / 100 for cents in (opened, high, low, close))
        rows.append(Bar(*prices, Decimal(int(random.integers(1, 9_999)))))
    return rows


def columns(name, rows, **more):
    """The columns of one use over one symbol's bars, by output."""
    uses, problems = uses_of([{"name": name, "key": "x", **more}], run_interval="1m", find=find)
    assert not problems
    values = indicator_columns(uses, {"1m": made([rows])}, bars_a_year={"1m": YEAR}).values
    return [values[column] for column in uses[0].columns]


# ours, parameters, TA-Lib's, parameters, its outputs beside ours, and after how many bars: a recursion that begins
# otherwise is forgotten by then. docs/indicators.md says how they begin.
PAIRS = [
    ("sma", {"period": 20}, "SMA", {"timeperiod": 20}, 0),
    ("ema", {"period": 9}, "EMA", {"timeperiod": 9}, 0),
    ("wma", {"period": 10}, "WMA", {"timeperiod": 10}, 0),
    ("dema", {"period": 10}, "DEMA", {"timeperiod": 10}, 0),
    ("tema", {"period": 10}, "TEMA", {"timeperiod": 10}, 0),
    ("rsi", {"period": 14}, "RSI", {"timeperiod": 14}, 0),
    ("macd", {}, "MACD", {}, 300),
    ("stochastic", {"period": 5, "method": "slow"}, "STOCH", {}, 0),
    ("stochastic", {"period": 5}, "STOCHF", {}, 0),
    ("cci", {"period": 20}, "CCI", {"timeperiod": 20}, 0),
    ("roc", {"period": 10}, "ROC", {"timeperiod": 10}, 0),
    ("mom", {"period": 10}, "MOM", {"timeperiod": 10}, 0),
    ("williams_r", {"period": 14}, "WILLR", {"timeperiod": 14}, 0),
    ("ultimate_osc", {}, "ULTOSC", {}, 0),
    ("adx", {"period": 14}, "ADX", {"timeperiod": 14}, 0),
    ("atr", {"period": 14}, "ATR", {"timeperiod": 14}, 0),
    ("natr", {"period": 14}, "NATR", {"timeperiod": 14}, 0),
    ("bbands", {"period": 20}, "BBANDS", {"timeperiod": 20}, 0),
    ("stddev", {"period": 20}, "STDDEV", {"timeperiod": 20}, 0),
    ("mfi", {"period": 14}, "MFI", {"timeperiod": 14}, 0),
    ("volume_sma", {"period": 20}, "SMA", {"timeperiod": 20, "input": "volume"}, 0),
    ("high_low", {"period": 20}, "MAX", {"timeperiod": 20, "input": "high"}, 0),
]


@pytest.mark.parametrize(("name", "own", "function", "theirs", "after"), PAIRS, ids=[p[0] + "-" + p[2] for p in PAIRS])
def test_an_indicator_equals_talib(name, own, function, theirs, after):
    pytest.importorskip("talib", reason="the extra `ta` is not installed")
    rows = random_bars(600)

    ours, talib = columns(name, rows, **own), columns(f"talib.{function}", rows, **theirs)

    for a, b in zip(ours, talib, strict=False):
        # TA-Lib gives all outputs of a function from the bar on that has them all.
        known = ~np.isnan(b)
        known[:after] = False
        assert known.sum() > 200
        assert np.allclose(a[known], b[known], rtol=1e-9, atol=0.0)
        if name not in ("macd", "stochastic") and not after:
            assert np.array_equal(np.isnan(a), np.isnan(b))


def test_directional_indicators_and_volume_balance_equal_talib():
    pytest.importorskip("talib", reason="the extra `ta` is not installed")
    rows = random_bars(300)

    _, plus, minus = columns("adx", rows, period=14)

    for ours, function in ((plus, "PLUS_DI"), (minus, "MINUS_DI")):
        assert np.allclose(ours, columns(f"talib.{function}", rows)[0], rtol=1e-9, atol=0.0, equal_nan=True)
    # TA-Lib's balance begins with the first bar's volume, ours with nothing.
    theirs = columns("talib.OBV", rows)[0]
    assert np.array_equal(columns("obv", rows)[0], theirs - float(rows[0].volume))


def test_where_talib_says_zero_a_flat_market_is_in_the_middle():
    rows = [Bar(*[Decimal(5)] * 4, Decimal(1))] * 40

    for name, expected in (("rsi", 50.0), ("stochastic", 50.0), ("williams_r", -50.0), ("mfi", 50.0), ("cci", 0.0)):
        assert columns(name, rows)[0][-1] == expected


BACKTRADER = {
    ("sma", 0): ("sma", {"period": 30}, 0, 1),
    ("ema", 0): ("ema", {"period": 30}, 0, 1),
    ("wma", 0): ("wma", {"period": 30}, 0, 1),
    ("rsi", 0): ("rsi", {"period": 14}, 0, 1),
    ("atr", 0): ("atr", {"period": 14}, 0, 1),
    ("bbands", 0): ("bbands", {"period": 20}, 1, 1),
    ("bbands", 1): ("bbands", {"period": 20}, 0, 1),
    ("bbands", 2): ("bbands", {"period": 20}, 2, 1),
    ("macdhisto", 0): ("macd", {}, 0, 1),
    ("macdhisto", 1): ("macd", {}, 1, 1),
    ("macdhisto", 2): ("macd", {}, 2, 1),
    ("stochastic", 0): ("stochastic", {"period": 14, "method": "slow"}, 0, 1),
    ("stochastic", 1): ("stochastic", {"period": 14, "method": "slow"}, 1, 1),
    ("roc", 0): ("roc", {"period": 12}, 0, 100),
    ("momentum", 0): ("mom", {"period": 12}, 0, 1),
    ("highest", 0): ("high_low", {"period": 14}, 0, 1),
}


@needs_shared
def test_an_indicator_equals_what_backtrader_publishes():
    with (SHARED / "data/backtrader/2006-day-001.txt").open() as file:
        rows = [
            Bar(*(Decimal(row[name]) for name in ("Open", "High", "Low", "Close", "Volume")))
            for row in csv.DictReader(file)
        ]
    with (SHARED / "oracles/backtrader/indicator_values.csv").open() as file:
        expected = list(csv.DictReader(file))
    assert len(expected) == 48

    for row in expected:
        name, parameters, output, divisor = BACKTRADER[row["indicator"], int(row["line"])]
        # Its Highest reads the close.
        bars = [bar._replace(high=bar.close, low=bar.close) for bar in rows] if name == "high_low" else rows
        found = columns(name, bars, **parameters)[output][int(row["bar_index_0based"])] / divisor
        assert f"{found:.6f}" == row["expected"], row


def seed_days():
    """symbol -> the 1m bars of 13:30 to 20:00 UTC; the dump's labels are four hours late."""
    out = {}
    for symbol in ("AAPL", "RIVN"):
        with (SHARED / f"data/mismartera/bars_dump_{symbol}_2025-07-02.csv").open() as file:
            rows = list(csv.DictReader(file))
        inside = [row for row in rows if row["timestamp"][11:16] >= "17:30"]
        out[symbol] = [
            Bar(*(Decimal(row[name]) for name in ("open", "high", "low", "close", "volume"))) for row in inside
        ]
    return out


def fives(rows):
    out = []
    for k in range(0, len(rows), 5):
        part = rows[k : k + 5]
        high, low = max(bar.high for bar in part), min(bar.low for bar in part)
        out.append(Bar(part[0].open, high, low, part[-1].close, sum(bar.volume for bar in part)))
    return out


# The seed's entries of the same formula, with what the seed did otherwise chosen where there is a choice.
SEED = {
    "rsi": {"method": "cutler"},
    "atr": {"method": "simple"},
    "keltner": {"method": "simple"},
}
# Without hma's last smoothing, or of trailing sessions.
OTHERWISE = {"hma", "avg_volume", "avg_range", "atr_daily", "gap_stats", "range_ratio"}


@needs_shared
def test_the_seeds_day_gives_the_seeds_values():
    text = (SHARED / "reference/seed-domain.md").read_text().partition("## Appendix A")[2]
    lines = re.findall(r"^\| (\w+) \| (\d+) \|(.*)\|$", text, re.MULTILINE)
    days = seed_days()
    assert [len(rows) for rows in days.values()] == [390, 390]
    series = [rows for symbol in days.values() for rows in (symbol, fives(symbol))]
    compared = 0
    for name, period, cells in lines:
        if name in OTHERWISE:
            continue
        parameters = {"period": int(period)} if int(period) and name != "vwap" else {}
        for cell, rows in zip(cells.split("|"), series, strict=True):
            found = [values[-1] for values in columns(name, rows, **parameters, **SEED.get(name, {}))]
            numbers = [np.nan if each == "None" else float(each) for each in re.findall(r"-?\d+\.\d+|None", cell)]
            if name == "histvol":  # the seed took 252 whatever the interval
                found = [found[0] * (252.0 / YEAR) ** 0.5]
            if name == "pivot_points":  # the seed's were of the latest bar: a session of its own here
                uses, _ = uses_of([{"name": name, "key": "x"}], run_interval="1m")
                found = run_sessions(uses, [[rows[-1:]], [rows[:1]]])["x"][0][:, 1].tolist()
            assert found[: len(numbers)] == pytest.approx(numbers, abs=5.001e-7, rel=0, nan_ok=True), (name, cell)
            compared += len(numbers)
    assert compared == 184
