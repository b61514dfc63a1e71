"""The seed system's configuration of indicators, and the figures it recorded."""

import json
import tomllib

import polars as pl
import pytest

from backtester.data.run_dir import RunDir
from backtester.results.verify import verify
from tests.run.indicated import (
    DATA,
    ROOT,
    invoked,
    real,
    rows,
    run,
    simulated,
    written,
)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return simulated(tmp_path_factory.mktemp("sample"))


@pytest.fixture(scope="module")
def dumps(tmp_path_factory):
    store = tmp_path_factory.mktemp("dumps") / "store"
    declared = ["--exchange", "XNYS", "--interval", "1m", "--timezone", "UTC", "--label", "start", "--shift", "-4h"]
    for symbol in ("AAPL", "RIVN"):
        source = DATA / "mismartera" / f"bars_dump_{symbol}_2025-07-02.csv"
        invoked("import", "csv", source, store, "--symbol", symbol, *declared)
    return store


# The seed's own values at the last bar of its day, to the six decimals that were recorded.
SEED = {
    "AAPL": {
        "sma_20_5m": 212.075535, "ema_9_5m": 212.265905, "rsi_14_cutler_5m": 59.119038, "macd_5m": 0.239491,
        "macd_5m_signal": 0.239302, "macd_5m_histogram": 0.000190, "cci_20_5m": 77.057287, "atr_14_simple_5m": 0.418471,
        "bbands_20_5m_upper": 212.859486, "bbands_20_5m_middle": 212.075535, "bbands_20_5m_lower": 211.291584,
        "bbands_20_5m_bandwidth": 0.007393, "obv_5m": 9306953.0, "volume_sma_20_5m": 688216.7,
        "vwap": 211.728346, "volume_ratio_20": 4.280612,
    },
    "RIVN": {
        "sma_20_5m": 12.955265, "ema_9_5m": 12.909015, "rsi_14_cutler_5m": 24.440895, "macd_5m": -0.047663,
        "macd_5m_signal": -0.044785, "macd_5m_histogram": -0.002878, "cci_20_5m": -103.539955,
        "atr_14_simple_5m": 0.046629,
        "bbands_20_5m_upper": 13.061479, "bbands_20_5m_middle": 12.955265, "bbands_20_5m_lower": 12.849051,
        "bbands_20_5m_bandwidth": 0.016397, "obv_5m": -3955576.0, "volume_sma_20_5m": 634029.35,
        "vwap": 13.041289, "volume_ratio_20": 4.440960,
    },
}  # fmt: skip
# Its historical ones over the day's last bars, which the next session looks back on: (1m, 5m) by symbol.
SEED_PAST = {
    "avg_volume_10": {"AAPL": (393568.8, 868994.8), "RIVN": (417801.7, 946575.7)},
    "avg_range_10": {"AAPL": (0.244010, 0.369860), "RIVN": (0.032470, 0.047280)},
    "atr_daily_14": {"AAPL": (0.208243, 0.418471), "RIVN": (0.033771, 0.046629)},
    "gap_stats_20_avg_move": {"AAPL": (0.001370, 0.001215), "RIVN": (0.000700, 0.000805)},
    # The seed counted (1, 2) of AAPL: moves of one cent, which as floats are larger than 0.01.
    "gap_stats_20_moves": {"AAPL": (0, 0), "RIVN": (0, 0)},
    "gap_stats_20_up_moves": {"AAPL": (11, 6), "RIVN": (7, 9)},
    "gap_stats_20_down_moves": {"AAPL": (5, 6), "RIVN": (5, 7)},
    "range_ratio_20": {"AAPL": (0.920137, 0.837343), "RIVN": (1.327360, 1.701507)},
    "high_low_20_high": {"AAPL": (212.75, 212.96), "RIVN": (12.9397, 13.05)},
    "high_low_20_low": {"AAPL": (211.98, 211.37), "RIVN": (12.83, 12.83)},
}


@real
def test_the_seeds_config_gives_the_seeds_values(tmp_path, dumps):
    where = run(ROOT / "configs/seed-indicators.toml", dumps, tmp_path)
    found = rows(where, "indicators", "2025-07-02")
    last = found.group_by("symbol", "interval", maintain_order=True).last()

    for symbol, values in SEED.items():
        own = last.filter(pl.col("symbol") == symbol)
        for key, value in values.items():
            assert own[key].drop_nulls().to_list() == [pytest.approx(value, abs=6e-7)], (symbol, key)
    assert verify(RunDir(where)).ok


@real
def test_the_seeds_historical_values_are_those_of_the_bars_before(tmp_path, dumps):
    names = [("avg_volume", 10), ("avg_range", 10), ("atr_daily", 14), ("gap_stats", 20), ("range_ratio", 20)]
    past = [
        {"name": name, "bars": count, "interval": interval}
        for name, count in [*names, ("high_low", 20)]
        for interval in ("1m", "5m")
    ]
    path = written(tmp_path / "c.json", historical=past, tables=[], start="2025-07-03", end="2025-07-03")
    found = rows(run(path, dumps, tmp_path), "historical_indicators", "2025-07-03")
    values = {(key, symbol): value for key, symbol, value in found.select("key", "symbol", "value").rows()}

    for key, by_symbol in SEED_PAST.items():
        for symbol, pair in by_symbol.items():
            for interval, value in zip(("1m", "5m"), pair, strict=True):
                assert values[placed(key, interval), symbol] == pytest.approx(value, abs=6e-7), (key, symbol)


def placed(key, interval):
    """A key with the interval behind the number of bars: gap_stats_20_1m_moves."""
    head, number, tail = next(key.partition(f"_{n}") for n in (10, 14, 20) if f"_{n}" in key)
    return f"{head}{number}_{interval}{tail}"


def test_the_seeds_config_runs_on_simulated_sessions(tmp_path, sample):
    raw = tomllib.loads((ROOT / "configs/seed-indicators.toml").read_text())
    raw["run"] |= {"start": "2024-11-27", "end": "2024-12-02", "symbols": "*"}
    path = tmp_path / "c.json"
    path.write_text(json.dumps(raw, default=str))
    where = run(path, sample, tmp_path)
    found = rows(where, "indicators", "2024-12-02")
    past = rows(where, "historical_indicators", "2024-12-02")

    assert verify(RunDir(where)).ok
    assert len(raw["indicators"]) == 20
    assert len({section["name"] for section in raw["historical_indicators"]}) == 6
    assert [key for key in found.columns if not found[key].count()] == []
    assert past["value"].null_count() == 0
