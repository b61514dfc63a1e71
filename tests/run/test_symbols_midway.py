"""Symbols taken in and out while a session goes, end to end on real bars: what is seen, what is told, what fills."""

import json

import polars as pl
import pyarrow.parquet as pq
import pytest

from backtester.data.run_dir import RunDir
from backtester.data.store import Store
from backtester.errors import StrategyError
from backtester.results.verify import verify
from backtester.run import plan as plans
from backtester.run import pool
from tests.run.equity_sets import real, stores  # noqa: F401  # the fixture
from tests.run.test_invariants import instant

pytestmark = real
MINUTE = 60_000_000
OPEN = instant("2013-10-07", "09:30")
ENTERED, LEFT, CAME, AGAIN = 60, 63, 93, 210  # minutes from the open
MOMENTS = (CAME, CAME + 1, CAME + 2, CAME + 7, AGAIN, AGAIN + 1, 390)


class Midway:
    """SPY stays; AIG leaves with a position and a stop below it, and comes back whole; BAC comes late."""

    def on_session_start(self, data, desk):
        self.told, self.derived, self.fills, self.moments = [], [], [], {}
        data.remove_symbol("BAC")
        assert data.get_active_symbols() == ["AIG", "SPY"]

    def on_fill(self, fill, data, desk):
        self.fills.append((fill.symbol, (fill.timestamp - OPEN) // MINUTE, fill.side, fill.position_after))

    def on_bar(self, bar, data, desk):
        minute = (data.clock - OPEN) // MINUTE
        self.told.append((minute, bar.symbol))
        if bar.symbol == "AIG" and minute == ENTERED:
            desk.enter("AIG", 1, units=100.0, stop_loss_frac=0.002)
        if bar.symbol == "SPY" and minute == LEFT:
            self.leave(data, desk)
        if minute == CAME:
            data.add_symbol("BAC")
        if bar.symbol == "SPY" and minute == AGAIN:
            data.add_symbol("AIG", from_open=True)
        if minute in MOMENTS and bar.symbol == "SPY":
            self.moments[minute] = {
                s: (data.get_session_metrics(s), data.get_bars(s, "5m").timestamp.tolist(), data.get_gaps(s))
                for s in ("AIG", "BAC")
            }

    def leave(self, data, desk):
        assert desk.position("AIG") == 100.0
        data.lock_symbol("AIG")
        with pytest.raises(StrategyError, match="AIG is locked"):
            data.remove_symbol("AIG")
        data.unlock_symbol("AIG")
        own = data.get_symbol_data("AIG")
        assert own.count() == LEFT
        assert data.remove_symbol("AIG")
        assert (data.get_symbol_data("AIG"), data.get_latest_bar("AIG"), data.get_bar_count("AIG")) == (None, None, 0)
        assert (own.latest(), own.metrics(), own.gaps(), own.bars("5m").rows) == (None, None, [], 0)
        assert desk.position("AIG") == 100.0

    def on_derived_bar(self, bar, interval, data, desk):
        self.derived.append(((data.clock - OPEN) // MINUTE, bar.symbol))

    def on_session_end(self, data, desk):
        desk.exit_("SPY")


@pytest.fixture(scope="module")
def done(tmp_path_factory, stores):  # noqa: F811
    """(the strategy, the run, the source's rows by symbol)."""
    folder = tmp_path_factory.mktemp("midway")
    run = {"name": "midway", "exchange": "XNYS", "start": "2013-10-07", "end": "2013-10-07", "derived": ["5m"]}
    run["symbols"] = ["AIG", "BAC", "SPY"]
    strategy = {"use": f"{__name__}:Midway"}
    (folder / "c.json").write_text(json.dumps({"run": run, "strategy": strategy, "execution": {"volume_frac": 0.0}}))
    plan = plans.from_file(folder / "c.json", Store(stores("lean")))
    outcome = pool.run_plan(plan, folder / "out")
    frame = pl.read_parquet(plan.entry(plan.sessions[0].date).path).with_columns(
        pl.col("symbol").cast(pl.String), pl.col("timestamp").cast(pl.Int64)
    )
    regular = frame.filter(pl.col("timestamp").is_between(OPEN, OPEN + 390 * MINUTE, closed="left")).sort("timestamp")
    return plan.strategy.strategy, RunDir(outcome.run_dir), {s: regular.filter(symbol=s) for s in run["symbols"]}


def table(run, name):
    return pq.ParquetFile(run.table_path(name, "2013-10-07")).read().to_pylist()


def minutes_of(rows, first=1, last=390):
    """When the rows are known, in minutes from the open, of those from `first` to `last`."""
    known = ((rows["timestamp"] - OPEN) // MINUTE + 1).to_list()
    return [minute for minute in known if first <= minute <= last]


def test_a_symbol_is_told_until_it_leaves_and_from_the_label_after_it_came(done):
    strategy, _, source = done
    told = {s: [minute for minute, symbol in strategy.told if symbol == s] for s in source}

    assert told["SPY"] == minutes_of(source["SPY"])
    # AIG is told before SPY, at whose bar it leaves.
    assert told["AIG"] == minutes_of(source["AIG"], last=LEFT) + minutes_of(source["AIG"], first=AGAIN + 1)
    assert told["BAC"] == minutes_of(source["BAC"], first=CAME + 1)


def test_derived_bars_are_told_of_those_that_take_part(done):
    strategy, _, source = done
    told = {s: [minute for minute, symbol in strategy.derived if symbol == s] for s in source}
    ends = list(range(5, 391, 5))

    assert told["SPY"] == ends
    assert told["AIG"] == [end for end in ends if end < LEFT or end >= AGAIN]
    assert told["BAC"] == [end for end in ends if end >= CAME]


def test_what_came_is_seen_from_its_decision_on_and_counted_anew(done):
    strategy, _, source = done
    for minute, seen in strategy.moments.items():
        metrics, derived, gaps = seen["BAC"]
        rows = source["BAC"].filter(
            pl.col("timestamp").is_between(OPEN + (CAME - 1) * MINUTE, OPEN + (minute - 1) * MINUTE)
        )
        assert (metrics.bars, metrics.session_volume) == (rows.height, rows["volume"].sum())
        assert (metrics.session_high, metrics.session_low) == (rows["high"].max(), rows["low"].min())
        assert metrics.quality_pct == 100.0 * rows.height / (minute - CAME + 1)
        assert sum(gap.missing_bars for gap in gaps) == minute - CAME + 1 - rows.height
        assert derived == [OPEN + (end - 5) * MINUTE for end in range(5, minute + 1, 5) if end >= CAME]
    whole, _, _ = strategy.moments[AGAIN + 1]["AIG"]
    assert (whole.bars, whole.session_high) == (AGAIN + 1, source["AIG"]["high"][: AGAIN + 1].max())
    assert strategy.moments[CAME]["AIG"][0] is None


def test_what_leaves_with_a_position_keeps_its_stop_its_marks_and_its_fills(done):
    strategy, run, source = done
    fills = [row for row in table(run, "fills") if row["symbol"] == "AIG"]
    entry = source["AIG"].filter(timestamp=OPEN + ENTERED * MINUTE)["open"][0]
    stop = entry * (1.0 - 0.002)
    after = source["AIG"].filter((pl.col("timestamp") > OPEN + ENTERED * MINUTE) & (pl.col("low") <= stop))
    touched = (after["timestamp"][0] - OPEN) // MINUTE

    assert touched > LEFT
    assert [(row["side"], row["position_after"]) for row in fills] == [(1, 100.0), (-1, 0.0)]
    assert fills[1]["rule"] in ("stop", "stop_at_open")
    assert [fill for fill in strategy.fills if fill[0] == "AIG"] == [
        ("AIG", ENTERED, 1, 100.0),
        ("AIG", touched, -1, 0.0),
    ]
    equity = {(row["timestamp"].timestamp() * 1e6 - OPEN) // MINUTE: row for row in table(run, "equity")}
    for minute in (LEFT, touched - 1):
        close = source["AIG"].filter(timestamp=OPEN + minute * MINUTE)["close"][0]
        assert equity[minute]["net_exposure"] == pytest.approx(100.0 * close)
    assert [check.name for check in verify(run).checks if check.violations] == []
