"""Indicators of whole runs: the seed's config and figures, equal bytes however a run is cut, nothing of the future."""

import datetime as dt
import hashlib
import json
import math
import shutil
import tomllib
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from backtester import config as settings
from backtester.cli import cli
from backtester.data import calendar
from backtester.data.calendar import load as load_calendar
from backtester.data.columns import dates, numbers
from backtester.data.run_dir import RunDir
from backtester.data.store import Store
from backtester.errors import ConfigError
from backtester.interval import Interval
from backtester.results.verify import verify
from backtester.run import plan as plans
from backtester.run import pool
from backtester.run.uses import problems_of

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"
real = pytest.mark.skipif(not DATA.is_dir(), reason="the real market data is not beside this checkout")
M1, M5, DAY = map(Interval.parse, ("1m", "5m", "1d"))

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


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    store = tmp_path_factory.mktemp("sample") / "store"
    invoked("sample", store, "--start", "2024-10-28", "--end", "2024-12-04", "--symbols", "3")
    return store


@pytest.fixture(scope="module")
def dumps(tmp_path_factory):
    store = tmp_path_factory.mktemp("dumps") / "store"
    declared = ["--exchange", "XNYS", "--interval", "1m", "--timezone", "UTC", "--label", "start", "--shift", "-4h"]
    for symbol in ("AAPL", "RIVN"):
        source = DATA / "mismartera" / f"bars_dump_{symbol}_2025-07-02.csv"
        invoked("import", "csv", source, store, "--symbol", symbol, *declared)
    return store


@pytest.fixture(scope="module")
def mit(tmp_path_factory):
    store = tmp_path_factory.mktemp("mit") / "store"
    for symbol in ("AZO", "EXE"):
        source = DATA / "us_equity_2024_1m_mit/stocks/ohlc/usd/1min" / symbol / "2024.csv"
        words = ["--symbol", symbol, "--exchange", "XNYS", "--interval", "1m", "--label", "start"]
        invoked("import", "csv", source, store, *words)
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


@real
def test_a_minute_profile_is_a_plain_group_by(tmp_path, mit):
    past = [{"name": "volume_profile", "sessions": 20}, {"name": "cumulative_volume", "sessions": 20}]
    path = written(tmp_path / "c.json", historical=past, start="2024-12-02", end="2024-12-31")
    where = run(path, mit, tmp_path)
    calendar_ = load_calendar("XNYS")
    bars = pl.concat(
        pl.from_arrow(Store(mit).load(Store(mit).entry("XNYS", M1, session.date))).with_columns(
            pl.col("symbol").cast(pl.String),
            session=pl.lit(session.date),
            minute=((pl.col("timestamp").cast(pl.Int64) - session.open_at) // 60_000_000),
            minutes=pl.lit((session.close_at - session.open_at) // 60_000_000),
        )
        for session in calendar_.sessions(dt.date(2024, 11, 1), dt.date(2024, 12, 31))
    ).filter(pl.col("minute").is_between(0, pl.col("minutes") - 1))
    for session in calendar_.sessions(dt.date(2024, 12, 2), dt.date(2024, 12, 31)):
        window = [each.date for each in calendar_.trailing(session.date, 20)]
        inside = bars.filter(pl.col("session").is_in(window))
        expected = inside.group_by("symbol", "minute").agg(value=pl.col("volume").mean(), used=pl.len())
        own = rows(where, "historical_profiles", str(session.date)).with_columns(
            pl.col("key", "symbol").cast(pl.String)
        )
        profile = own.filter(pl.col("key") == "volume_profile_20")
        minutes = (session.close_at - session.open_at) // 60_000_000

        assert profile.height == 2 * minutes
        assert minutes == (210 if str(session.date) == "2024-12-24" else 390)
        joined = profile.join(expected, left_on=["symbol", "session_minute"], right_on=["symbol", "minute"], how="left")
        assert joined["value"].equals(joined["value_right"])
        assert joined["sessions_used"].equals(joined["used"].fill_null(0).cast(pl.Int32))

        grid = pl.DataFrame({"minute": range(390)}).with_columns(pl.col("minute").cast(pl.Int64))
        cumulative = (
            inside.select("symbol", "session", "minutes").unique().join(grid, how="cross")
            .filter(pl.col("minute") < pl.col("minutes"))
            .join(inside, on=["symbol", "session", "minute"], how="left").sort("symbol", "session", "minute")
            .with_columns(so_far=pl.col("volume").fill_null(0).cum_sum().over("symbol", "session"))
            .group_by("symbol", "minute").agg(value=pl.col("so_far").mean())
        )  # fmt: skip
        usual = own.filter(pl.col("key") == "cumulative_volume_20").join(
            cumulative, left_on=["symbol", "session_minute"], right_on=["symbol", "minute"], how="left"
        )
        assert usual["value"].equals(usual["value_right"])


def test_a_run_is_the_same_bytes_whole_resumed_and_by_any_number_of_workers(tmp_path, sample):
    path = written(tmp_path / "c.json", indicators=CONTINUOUS, historical=PAST)
    whole = run(path, sample, tmp_path / "one")
    many = run(path, sample, tmp_path / "many", workers=3)
    halves = tmp_path / "halves" / whole.name
    shutil.copytree(whole, halves)
    (halves / "MANIFEST.json").unlink()
    for session in ("2024-11-29", "2024-12-02", "2024-12-03", "2024-12-04"):
        RunDir(halves).record_path(session).unlink()
    shutil.rmtree(halves / "log")
    resumed = run(path, sample, tmp_path / "halves", resume=True)

    assert tree(many) == tree(whole)
    assert resumed == halves
    assert tree(resumed) == tree(whole)
    assert verify(RunDir(whole)).ok


def test_a_warmed_run_goes_on_as_the_longer_one_would(tmp_path, sample):
    late = written(tmp_path / "late.json", indicators=CONTINUOUS, tables=["indicators"], start="2024-12-02")
    raw = json.loads(late.read_text())
    late.write_text(json.dumps(raw | {"history": {"warm_up_sessions": 4}}))
    early = written(tmp_path / "early.json", indicators=CONTINUOUS, tables=["indicators"], start="2024-11-25")
    warm, long = run(late, sample, tmp_path / "warm"), run(early, sample, tmp_path / "long")
    plan = plans.from_file(late, Store(sample))

    for session in ("2024-12-02", "2024-12-04"):
        own, other = (RunDir(each).record(session)["tables"] for each in (warm, long))
        assert own["indicators"] == other["indicators"]
        assert own["indicator_state"] == other["indicator_state"]
    first = rows(warm, "indicators", "2024-12-02")
    assert first.filter(pl.col("interval") == "1m")["sma_7_lag1"].null_count() == 0
    assert min(plan.inputs) == "2024-11-25"


def poisoned(store, target, after, how):
    """The store with the bars known after `after` (UTC microseconds) changed."""
    random, changed = np.random.default_rng(1), Store(target)
    for session in Store(store).sessions("XNYS", M1):
        bars = Store(store).load(Store(store).entry("XNYS", M1, session))
        at = bars["timestamp"].cast(pa.int64()).to_numpy() + 60_000_000
        factor = np.where(at > after, random.uniform(0.5, 2.0, len(at)) if how == "random" else how, 1.0)
        columns = [numbers(bars[name].to_numpy() * factor) for name in ("open", "high", "low", "close", "volume")]
        day = dates(np.full(len(at), (session - dt.date(1970, 1, 1)).days, dtype=np.int32))
        table = pa.table([bars["timestamp"], bars["symbol"], *columns, day], [*bars.column_names, "session"])
        changed.add(table, exchange="XNYS", interval=M1, source={"test": str(how)})
    return target


@pytest.mark.parametrize("how", [1.5, "random"])
def test_a_poisoned_future_changes_no_bit_of_what_was_known(tmp_path, sample, how):
    cut = int(dt.datetime(2024, 12, 2, 16, 30, tzinfo=dt.UTC).timestamp() * 1e6)
    path = written(tmp_path / "c.json", indicators=CONTINUOUS, historical=PAST)
    sound = run(path, sample, tmp_path / "sound")
    other = run(path, poisoned(sample, tmp_path / "poisoned", cut, how), tmp_path / "other")
    before = [day for day in RunDir(sound).sessions() if day < "2024-12-02"]

    for session in before:
        records = [RunDir(each).record(session)["tables"] for each in (sound, other)]
        assert records[0] == records[1]
    for table in ("historical_indicators", "historical_profiles"):
        assert rows(sound, table, "2024-12-02").equals(rows(other, table, "2024-12-02"))
        assert not rows(sound, table, "2024-12-03").equals(rows(other, table, "2024-12-03"))
    own, changed = (rows(each, "indicators", "2024-12-02") for each in (sound, other))
    known = pl.col("known_at").dt.timestamp("us") <= cut
    assert own.filter(known).height > 300
    assert own.filter(known).equals(changed.filter(known))
    assert not own.equals(changed)


def test_stored_daily_bars_are_read_and_named(tmp_path, sample):
    target = tmp_path / "store"
    shutil.copytree(sample, target)
    store, known = Store(target), load_calendar("XNYS")
    for rank, session in enumerate(known.sessions(dt.date(2024, 11, 18), dt.date(2024, 11, 29))):
        price = numbers(np.array([10.0 + rank]))
        at = pa.array([session.open_at], pa.timestamp("us", tz="UTC"))
        symbol = Store(sample).entry("XNYS", M1, session.date).layout.symbols[0]
        columns = [at, pa.array([symbol]), *[price] * 4, numbers(np.array([100.0])), pa.array([session.date])]
        names = ["timestamp", "symbol", "open", "high", "low", "close", "volume", "session"]
        store.add(pa.table(columns, names), exchange="XNYS", interval=DAY, source={"test": "daily"})
    past = [{"name": "high_low", "sessions": 3, "key": "auto"}, {"name": "high_low", "sessions": 3, "source": "bars"}]
    path = written(tmp_path / "c.json", historical=past, tables=[], start="2024-11-27", end="2024-12-02")
    plan = plans.from_file(path, Store(target))
    found = rows(pool.run_plan(plan, tmp_path).run_dir, "historical_indicators", "2024-12-02")
    auto = found.filter(pl.col("key") == "auto_high").sort("symbol")

    assert auto["source"].unique().to_list() == ["1d"]
    assert auto["value"].to_list() == [18.0, None, None]
    assert auto["used"].to_list() == [3, 0, 0]
    assert found.filter(pl.col("key").cast(pl.String).str.starts_with("high_low"))["source"].unique().to_list() == [
        "1m"
    ]
    assert {"2024-11-22", "2024-11-22 1d", "2024-11-29 1d"} <= plan.inputs.keys()


def test_every_session_looked_back_on_is_an_input(sample, tmp_path):
    path = written(tmp_path / "c.json", historical=[{"name": "atr_daily", "sessions": 4}], tables=[])
    plan = plans.from_file(path, Store(sample))

    assert min(plan.inputs) == "2024-11-18"  # five sessions before 2024-11-25: four, and one for its close
    assert len(plan.inputs) == 5 + len(plan.sessions)


def test_damage_to_a_past_session_leaves_one_symbol_out_and_says_so(tmp_path, sample):
    target = tmp_path / "store"
    shutil.copytree(sample, target)
    entry = Store(target).entry("XNYS", M1, dt.date(2024, 11, 22))
    content = bytearray(entry.path.read_bytes())
    offset = entry.layout.columns["close"][0]
    content[offset] ^= 1  # the first row: the first symbol's
    entry.path.write_bytes(bytes(content))
    path = written(tmp_path / "c.json", historical=[{"name": "avg_volume", "sessions": 3}], tables=[])
    where = run(path, target, tmp_path)
    past, failures = (rows(where, table, "2024-11-25") for table in ("historical_indicators", "failures"))

    assert past.sort("symbol")["used"].to_list() == [2, 3, 3]
    assert failures["phase"].to_list() == ["history"]
    assert failures["symbol"].to_list() == [entry.layout.symbols[0]]
    assert rows(where, "failures", "2024-12-04").height == 0
    assert verify(RunDir(where)).ok


def test_damage_to_this_session_moves_no_other_symbols_values(tmp_path, sample):
    target = tmp_path / "store"
    shutil.copytree(sample, target)
    entry = Store(target).entry("XNYS", M1, dt.date(2024, 12, 2))
    content = bytearray(entry.path.read_bytes())
    content[entry.layout.columns["close"][0]] ^= 1  # the first row: the first symbol's
    entry.path.write_bytes(bytes(content))
    past = [{"name": "cumulative_volume", "sessions": 3}]
    path = written(tmp_path / "c.json", indicators=CONTINUOUS, historical=past)
    found = [run(path, store, tmp_path / name) for name, store in (("whole", sample), ("damaged", target))]
    whole, damaged = (rows(each, "indicators", "2024-12-02") for each in found)
    others = pl.col("symbol").cast(pl.String) != entry.layout.symbols[0]

    assert damaged.height == damaged.filter(others).height == whole.filter(others).height > 500
    assert damaged.with_columns(pl.col("symbol").cast(pl.String)).equals(
        whole.filter(others).with_columns(pl.col("symbol").cast(pl.String))
    )


def test_every_error_of_every_indicator_is_told_at_once(tmp_path):
    path = written(
        tmp_path / "c.json",
        indicators=[{"name": "smma"}, {"name": "sma", "period": 0, "perod": 3}, {"name": "ema", "interval": "90s"}],
        historical=[
            {"name": "avg_volum", "sessions": 3},
            {"name": "avg_volume"},
            {"name": "high_low", "weeks": 0, "minimum": 1},
            {"name": "gap_stats", "weeks": 4},
            {"name": "volume_profile", "sessions": 3, "missing": "zeros", "interval": "7s"},
            {"name": "avg_range", "sessions": 3, "interval": "5m"},
            {"name": "avg_range", "sessions": 3, "source": "1w"},
        ],
        hours="nightly",
    )
    with pytest.raises(ConfigError) as caught:
        settings.load(path, exchanges=calendar.exchanges(), indicator_problems=problems_of)

    text = str(caught.value)
    for words in (
        "run.hours",
        "indicators[0].name is 'smma'; no such indicator; did you mean",
        "indicators[1].period is 0",
        "indicators[1].perod: unknown key (found 3); did you mean period?",
        "indicators[2].interval is '90s'; expected 1m or a multiple",
        "historical_indicators[0].name is 'avg_volum'; no such historical indicator; did you mean avg_volume",
        "historical_indicators[1]: expected one of sessions = N, weeks = N, bars = N, found none",
        "historical_indicators[2].weeks is 0; expected a whole number from 1",
        "historical_indicators[2].minimum: unknown key",
        "historical_indicators[3].weeks: unknown key",
        "historical_indicators[4].missing is 'zeros'; expected 'skip', 'zero', 'require'; did you mean 'zero'?",
        "historical_indicators[4].interval is '7s'; expected 1m or a multiple of it",
        "historical_indicators[5].interval is '5m'; sessions are made of daily bars",
        "historical_indicators[6].source is '1w'",
    ):
        assert words in text


def test_a_users_own_indicator_lies_beside_the_config_and_is_part_of_the_question(tmp_path, sample):
    module = tmp_path / "my_indicators.py"
    module.write_text("import polars as pl\n\nspread = pl.col('high') - pl.col('low')\n")
    path = written(tmp_path / "c.json", indicators=[{"name": "my_indicators:spread"}], tables=["indicators"])
    first = run(path, sample, tmp_path)
    found = rows(first, "indicators", "2024-12-02")
    module.write_text("import polars as pl\n\nspread = 2.0 * (pl.col('high') - pl.col('low'))\n")
    second = run(path, sample, tmp_path)

    assert first.name != second.name
    assert found["my_indicators_spread"].null_count() == 0
    assert (2.0 * found["my_indicators_spread"]).equals(
        rows(second, "indicators", "2024-12-02")["my_indicators_spread"]
    )
    assert problems_of({"indicators": [{"name": "my_indicators:spred"}]}, folder=tmp_path) == [
        "indicators[0].name is 'my_indicators:spred'; spred does not exist; did you mean spread?"
    ]


@pytest.mark.parametrize("table", TABLES)
def test_a_table_that_nothing_fills_is_refused(tmp_path, sample, table):
    path = written(tmp_path / "c.json", historical=[{"name": "avg_volume", "sessions": 3}], tables=[table])

    with pytest.raises(ConfigError, match=f"run.tables asks for {table}, which nothing fills"):
        plans.from_file(path, Store(sample))


def test_relative_volume_is_the_volume_so_far_over_the_usual(tmp_path, sample):
    past = [{"name": "cumulative_volume", "sessions": 3}]
    path = written(tmp_path / "c.json", historical=past, tables=["indicators", "historical_profiles", "running"])
    where = run(path, sample, tmp_path)
    found = rows(where, "indicators", "2024-12-02").with_columns(pl.col("symbol").cast(pl.String))
    usual = rows(where, "historical_profiles", "2024-12-02").with_columns(pl.col("symbol").cast(pl.String))
    so_far = rows(where, "running", "2024-12-02").with_columns(pl.col("symbol").cast(pl.String))
    joined = found.join(usual, on=["timestamp", "symbol"]).join(so_far, on=["timestamp", "symbol"])

    assert joined.height == found.height > 900
    ratios = joined["running_volume"] / joined["value"]
    assert joined["cumulative_volume_3_ratio"].equals(ratios.alias("cumulative_volume_3_ratio"))
    assert all(math.isfinite(each) for each in ratios)
