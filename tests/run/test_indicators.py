"""Indicators of whole runs: equal bytes however a run is cut, nothing of the future, errors all at once."""

import datetime as dt
import json
import shutil

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from backtester import config as settings
from backtester.data import calendar
from backtester.data.columns import dates, numbers
from backtester.data.run_dir import RunDir
from backtester.data.store import Store
from backtester.errors import ConfigError
from backtester.results.verify import verify
from backtester.run import plan as plans
from backtester.run.uses import problems_of
from tests.run.indicated import (
    CONTINUOUS,
    M1,
    PAST,
    TABLES,
    rows,
    run,
    simulated,
    tree,
    written,
)


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return simulated(tmp_path_factory.mktemp("sample"))


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


@pytest.mark.parametrize(
    ("indicator", "past", "told"),
    [
        ({"name": "sma", "key": "rv_RATIO"}, [{"name": "cumulative_volume", "sessions": 3, "key": "rv"}],
         "historical_indicators: rv_ratio is an indicator too"),
        ({"name": "sma"}, [{"name": "high_low", "sessions": 2, "key": "a"},
          {"name": "avg_volume", "weeks": 2, "key": "a_low"}],
         "historical_indicators: a_low is computed twice"),
        ({"name": "sma"}, [{"name": "avg_volume", "sessions": 3, "key": "volume"}],
         "historical_indicators: volume is a column of the bars"),
    ],
)  # fmt: skip
def test_no_two_values_of_a_run_share_a_name(indicator, past, told):
    (problem,) = problems_of({"indicators": [indicator], "historical_indicators": past})

    assert problem.startswith(told)


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
