"""Vector and replay on real bars: every sample strategy, every setting of every rule, the same tables to the byte."""

import dataclasses
import datetime as dt
import json
import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from backtester.cli import cli
from backtester.data.store import Store
from backtester.run import plan as plans
from backtester.run import pool
from backtester.run.audit import sampled
from backtester.run.session import complete, prepare
from backtester.strategy import samples
from tests.execution.generated import RULES

ROOT = Path(__file__).parents[2]
SHARED = Path(os.environ.get("BACKTESTER_SHARED", ROOT.parent / "shared"))
real = pytest.mark.skipif(not (SHARED / "data").is_dir(), reason="the shared data is not here")

# A sample with parameters that make it trade on a single session.
SAMPLES = {
    "SmaCross": {"fast": 3, "slow": 8, "short": True},
    "OpeningRange": {"minutes": 15, "stop_at_low": True},
    "VwapReversion": {"below_bps": 5.0, "minimum_bars": 5, "stop_bps": 10.0},
    "Rsi": {"period": 5, "low": 45.0, "high": 55.0},
    "Momentum": {"minimum_bps": 0.0},
    "CrossSectionalRank": {"top": 1, "every": 15},
}
MORE = {
    "limits": {"flat_by": "close-5m", "max_open_positions": 1, "max_per_trade": 20_000.0, "max_daily_loss": 50.0},
    "commission": {"model": "ib_fixed"},
}
# (rule, value): everything a rule may be, one rule at a time.
SETTINGS = [(rule, value) for rule, values in RULES.items() for value in values]
SETS = {
    "seed": (
        ["csv", "mismartera/bars_dump_AAPL_2025-07-02.csv", "--symbol", "AAPL", "--shift", "-4h"],
        "2025-07-02",
        1,
    ),
    "lean": (["lean", "lean", "--symbols", "SPY,AIG,BAC"], "2013-10-07", 5),
    "mit": (["csv", "us_equity_2024_1m_mit/stocks/ohlc/usd/1min", "--symbol-from", "*/2024.csv"], "2024-02-01", 2),
    "ext": (["csv", "us_equity_2025_1m_ext/2025-01", "--symbol-from", "*.csv"], "2025-01-02", 2),
}


def import_into(store, words):
    form, source, *more = words
    declared = ["--exchange", "XNYS", "--interval", "1m", *more]
    if form == "csv":
        declared += ["--label", "start", *([] if "mit" in source else ["--timezone", "UTC"])]
    done = CliRunner().invoke(cli, ["import", form, str(SHARED / "data" / source), str(store), *declared])
    assert done.exit_code == 0, done.output


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    made = {}

    def store(name):
        if name not in made:
            made[name] = tmp_path_factory.mktemp(name) / "store"
            import_into(made[name], SETS[name][0])
            if name == "seed":
                more = ["csv", "mismartera/bars_dump_RIVN_2025-07-02.csv", "--symbol", "RIVN", "--shift", "-4h"]
                import_into(made[name], more)
        return made[name]

    return store


def planned(tmp_path, store, name, sample, **sections):
    start = SETS[name][1]
    end = (dt.date.fromisoformat(start) + dt.timedelta(days=6)).isoformat()
    run = {"name": "parity", "exchange": "XNYS", "start": start, "end": end, "symbols": "*", "derived": ["5m"]}
    strategy = {"use": f"backtester.strategy.samples:{sample}", "params": SAMPLES[sample]}
    path = tmp_path / "c.json"
    path.write_text(json.dumps({"run": run, "strategy": strategy, **sections}))
    return plans.from_file(path, Store(store))


def differing(plan, sessions):
    """Tables that differ between the two ways of running, and how many fills there were."""
    found, fills = [], 0
    for at in sampled(plan, list(range(sessions))):
        ways = [
            complete(way, prepare(way, at.loaded), at.carry).tables
            for way in (plan, dataclasses.replace(plan, is_replayed=True))
        ]
        fills += ways[0]["fills"].num_rows
        found += [name for name in ways[0] if not ways[0][name].equals(ways[1][name])]
    return found, fills


def test_every_sample_is_among_them():
    classes = [name for name, each in vars(samples).items() if isinstance(each, type) and hasattr(each, "signals")]

    assert sorted(classes) == sorted(SAMPLES)


@real
@pytest.mark.parametrize("sample", SAMPLES)
def test_every_sample_fills_alike_on_the_seed_session(tmp_path, stores, sample):
    assert differing(planned(tmp_path, stores("seed"), "seed", sample), 1)[0] == []
    found, _ = differing(planned(tmp_path, stores("seed"), "seed", sample, limits=MORE["limits"]), 1)
    assert found == []


@real
@pytest.mark.parametrize(("rule", "value"), SETTINGS)
def test_every_setting_of_every_rule_fills_alike_on_the_seed_session(tmp_path, stores, rule, value):
    execution = {"tick": 0.01, "size_amount": 0.3, "commission": MORE["commission"], rule: value}
    if rule == "size_unit":
        execution["size_amount"] = {"units": 10.0, "notional": 5_000.0}.get(value, 0.3)
    plan = planned(tmp_path, stores("seed"), "seed", "VwapReversion", execution=execution)

    found, fills = differing(plan, 1)

    assert found == []
    assert fills > 5


@real
@pytest.mark.soak
@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("name", ["lean", "mit", "ext"])
def test_every_sample_and_setting_fills_alike_on_every_set(tmp_path, stores, name, sample):
    for rule, value in SETTINGS:
        execution = {"tick": 0.01, rule: value}
        if rule == "size_unit":
            execution["size_amount"] = {"units": 10.0, "notional": 5_000.0}.get(value, 0.3)
        found, _ = differing(planned(tmp_path, stores(name), name, sample, execution=execution), SETS[name][2])
        assert found == [], (rule, value)


EVENTS = """
class Invariants:
    '''What the seed's list asks of every moment of a session; asserts it and trades nothing.'''

    def on_session_start(self, data, desk):
        self.clock, self.now = data.clock, {}
        assert all(data.get_bar_count(symbol) == 0 for symbol in data.get_active_symbols())

    def on_bar(self, bar, data, desk):
        assert data.clock >= self.clock, "time never goes back"
        assert data.session.open_at <= data.clock <= data.session.close_at, "and stays in the session"
        self.clock = data.clock
        assert bar.high >= max(bar.open, bar.close, bar.low) and bar.low <= min(bar.open, bar.close)
        assert bar.known_at == data.clock == bar.timestamp + 60_000_000, "nothing from the future, all share the clock"
        own = data.get_symbol_data(bar.symbol)
        metrics, wide = own.metrics(), own.count("5m")
        before = self.now.get(bar.symbol)
        bars = own.bars()
        assert (bars.timestamp[1:] > bars.timestamp[:-1]).all() and bars.timestamp[-1] == bar.timestamp
        assert metrics.session_volume == sum(bars.volume.tolist())
        assert (metrics.session_high, metrics.session_low) == (bars.high.max(), bars.low.min())
        assert metrics.session_low <= metrics.session_vwap <= metrics.session_high
        assert wide == metrics.bars // 5, "5m = floor(1m / 5) while no bar is missing"
        if before is not None:
            assert metrics.bars == before.bars + 1 and metrics.session_volume >= before.session_volume
            assert metrics.session_high >= before.session_high and metrics.session_low <= before.session_low
        self.now[bar.symbol] = metrics

    def on_session_end(self, data, desk):
        assert data.clock == data.session.close_at
        assert {s: (m.bars, m.session_volume, m.session_high, m.session_low) for s, m in self.now.items()} == {
            "AAPL": (390, 59_584_161.0, 213.34, 208.14), "RIVN": (390, 38_355_350.0, 13.33, 12.83)
        }
        assert [data.get_bar_count(s, i) for s in self.now for i in ("5m", "15m")] == [78, 26, 78, 26]
"""


@real
def test_the_seed_session_keeps_its_invariants_and_its_summary_in_both_modes(tmp_path, stores):
    (tmp_path / "seed_events.py").write_text(EVENTS)
    run = {"name": "seed", "exchange": "XNYS", "start": "2025-07-02", "end": "2025-07-02", "derived": ["5m", "15m"]}
    path, logs = tmp_path / "c.json", []
    for use, replayed in (("backtester.strategy.samples:VwapReversion", False), ("seed_events:Invariants", True)):
        path.write_text(json.dumps({"run": {**run, "symbols": ["AAPL", "RIVN"]}, "strategy": {"use": use}}))
        plan = dataclasses.replace(plans.from_file(path, Store(stores("seed"))), is_replayed=replayed)
        outcome = pool.run_plan(plan, tmp_path / f"out{replayed}")
        logs.append((outcome.run_dir / "log/session_flow.log").read_text().splitlines())

    summaries = [line.partition("[SESSION_FLOW] ")[2] for log in logs for line in log if "PHASE_5.SUMMARY" in line]
    assert summaries == ["PHASE_5.SUMMARY: 390 iterations, 780 bars, final time = 16:00:00"] * 2
