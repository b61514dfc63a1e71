"""Historical indicators of whole runs: what they look back on, their profiles, damage, and relative volume."""

import datetime as dt
import math
import shutil

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from backtester.data.calendar import load as load_calendar
from backtester.data.columns import numbers
from backtester.data.run_dir import RunDir
from backtester.data.store import Store
from backtester.results.verify import verify
from backtester.run import plan as plans
from backtester.run import pool
from tests.run.indicated import (
    DATA,
    DAY,
    M1,
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
def mit(tmp_path_factory):
    store = tmp_path_factory.mktemp("mit") / "store"
    for symbol in ("AZO", "EXE"):
        source = DATA / "us_equity_2024_1m_mit/stocks/ohlc/usd/1min" / symbol / "2024.csv"
        words = ["--symbol", symbol, "--exchange", "XNYS", "--interval", "1m", "--label", "start"]
        invoked("import", "csv", source, store, *words)
    return store


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


def test_relative_volume_of_extended_hours_counts_from_the_open_as_the_usual_does(tmp_path, sample):
    past = [{"name": "cumulative_volume", "sessions": 3}]
    paths = [
        written(tmp_path / f"{hours}.json", historical=past, tables=["indicators"], hours=hours)
        for hours in ("regular", "extended")
    ]
    regular, extended = (
        rows(run(path, sample, tmp_path), "indicators", "2024-12-02").with_columns(pl.col("symbol").cast(pl.String))
        for path in paths
    )
    inside = regular.select("timestamp", "symbol").join(extended, on=["timestamp", "symbol"], how="left")
    outside = extended.join(regular, on=["timestamp", "symbol"], how="anti")

    assert inside["cumulative_volume_3_ratio"].equals(regular["cumulative_volume_3_ratio"])
    assert outside.height > 100
    assert outside["cumulative_volume_3_ratio"].null_count() == outside.height
