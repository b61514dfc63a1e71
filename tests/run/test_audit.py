"""The audit of a config: leaks of strategies and of indicators found through the whole run, clean ones not accused."""

import json

import pytest
from click.testing import CliRunner

from backtester.cli import cli
from backtester.data.run_dir import RunDir
from backtester.data.store import Store
from backtester.errors import StrategyError, VerificationError
from backtester.run import plan as plans
from backtester.run.audit import run_audit

MODULE = '''
import threading

import polars as pl

from backtester.strategy.step import enter, leave

FUTURE = pl.col("close").shift(-1)

class Leaky:
    def signals(self, bars, indicators):
        return bars.select(enter=pl.col("close").shift(-1).over("symbol") > pl.col("close"))

class Hindsight:
    """Knows the session's average: whatever instant is looked at, entries before it change."""

    def signals(self, bars, indicators):
        return bars.select(enter=pl.col("close") < pl.col("close").mean().over("symbol"))

class ByOrder:
    def signals(self, bars, indicators):
        return bars.select(rank=pl.int_range(pl.len()).over("timestamp").cast(pl.Float64))

class Averages:
    def indicators(self):
        return [
            {"name": "sma", "period": 30, "key": "sma", "scope": "continuous"},
            {"name": "ema", "period": 10, "key": "ema", "scope": "continuous", "interval": "5m"},
        ]

    def signals(self, bars, indicators):
        return indicators.select(enter=pl.col("sma") > pl.col("ema"), exit=pl.col("sma") < pl.col("ema"))

class Clean:
    def step(self, row, desk):
        if row.close > row.open:
            enter(row, desk, 1, limit=row.low)
        elif row.position > 0.0:
            leave(row, desk)

class Peeking:
    """Its stop is of the session's last row: the entry is the same, the stop is not."""

    def on_bar(self, bar, data, desk):
        if bar.close > bar.open:
            desk.enter(bar.symbol, 1, stop_loss=0.1 * float(data._view._rows.running.vwap[-1]))

class Gainers:
    def select(self, now):
        return now.select(selected=(pl.col("close") > pl.col("running_vwap")).fill_null(False), vwap="running_vwap")

class Remembering:
    """Its entries depend on how often it was called."""

    calls = 0

    def signals(self, bars, indicators):
        self.calls += 1
        return bars.select(enter=pl.col("running_bars") == 10 * self.calls)

class First:
    """Spends all it has on the symbol that is told first."""

    has_asked = False

    def on_bar(self, bar, data, desk):
        if not self.has_asked:
            desk.target(bar.symbol, units=100.0)
        self.has_asked = True

class Locked:
    """Cannot be copied."""

    def __init__(self):
        self.lock = threading.Lock()

    def on_bar(self, bar, data, desk):
        pass

class Reader:
    """Reads a value of an indicator; told bar by bar."""

    def __init__(self):
        self.last = {}

    def on_bar(self, bar, data, desk):
        if self.last.get(bar.symbol, bar.close) < bar.close:
            desk.target(bar.symbol, units=5.0)
        elif data.session_high(bar.symbol) > bar.close:
            desk.target(bar.symbol, units=0.0)
        self.last[bar.symbol] = bar.close
'''


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("audited")
    assert CliRunner().invoke(cli, ["sample", str(root / "store")]).exit_code == 0
    (root / "own.py").write_text(MODULE)
    return root


def config(root, use, *, end="2024-11-21", **sections):
    run = {"name": "audited", "exchange": "XNYS", "start": "2024-11-20", "end": end, "derived": ["5m"]}
    path = root / f"{use.replace(':', '-')}-{end}-{len(sections)}.json"
    settings = {"run": {**run, "symbols": ["SIM003", "SIM005"]}, "strategy": {"use": use}, **sections}
    path.write_text(json.dumps(settings))
    return path


def audited(root, use, *, every=65, **sections):
    return run_audit(plans.from_file(config(root, use, **sections), Store(root / "store")), every=every)


def test_a_strategy_that_looks_ahead_is_told_with_column_bar_and_distance(root):
    found = audited(root, "own:Leaky")

    own = [leak for leak in found.leaks if leak["column"] == "enter"]
    assert [(leak["output"], leak["session"], leak["distance_bars"]) for leak in own] == [("signals", "2024-11-20", 1)]
    assert found.parity == []


def test_an_indicator_that_looks_ahead_is_told(root):
    indicators = [{"name": "own:FUTURE", "key": "future"}]
    found = audited(root, "backtester.strategy.samples:VwapReversion", indicators=indicators)

    assert ("indicators", "future", 1) in [
        (leak["output"], leak["column"], leak["distance_bars"]) for leak in found.leaks
    ]


@pytest.mark.parametrize("use", ["own:Averages", "own:Reader", "backtester.strategy.samples:VwapReversion"])
def test_a_clean_config_is_not_accused_from_its_bars_to_its_equity(root, use):
    limits, costs = {"flat_by": "close-5m", "max_open_positions": 1}, {"size_amount": 0.3, "slippage_bps": 2.0}
    found = audited(root, use, limits=limits, execution=costs)

    assert (found.leaks, found.parity, found.failures) == ([], [], [])
    assert found.sessions == ["2024-11-20", "2024-11-21"]
    assert found.checks > 30
    assert found.compared == ({} if use == "own:Reader" else {"replay": 2, "afresh": 1})


def test_history_is_counted_in_bars_and_sessions(root):
    warm_up = audited(root, "own:Averages", every=400, end="2024-11-25").warm_up

    assert warm_up["sma"] == ("1m", 30, 29, 1, 3)
    assert warm_up["ema"].first_bars == 10
    assert warm_up["ema"].bars is None or warm_up["ema"].bars > 390  # 78 bars of 5m do not end an average of 10


def test_history_is_none_where_a_session_begins_anew(root):
    indicators = [{"name": "sma", "period": 30, "key": "own"}]
    warm_up = audited(root, "own:Reader", every=400, indicators=indicators).warm_up

    assert warm_up == {"own": ("1m", 30, 0, 0, 0)}


def test_the_order_of_symbols_is_told_and_is_no_violation(root):
    found = audited(root, "own:ByOrder", every=400)

    assert found.order["signals.rank"] > 100
    assert found.violations == 0


def test_the_order_of_symbols_is_told_of_what_decides_bar_by_bar_too(root):
    cheap = audited(root, "own:First", every=400)
    clean = audited(root, "own:Clean", every=400)

    assert cheap.order["fills.quantity"] > 0
    assert (clean.order, cheap.violations, clean.violations) == ({}, 0, 0)


def test_a_state_that_holds_no_number_yet_is_the_same_by_its_bytes(root):
    """NaN, which is not equal to itself: an average of more bars than a session has."""
    averages = [{"name": "sma", "period": 500, "key": "long", "scope": "continuous"}]

    assert audited(root, "own:Clean", every=400, indicators=averages).parity == []


def test_a_price_of_the_future_is_found_in_the_orders_before_it_fills(root):
    found = audited(root, "own:Peeking", every=30)
    clean = audited(root, "own:Clean", every=30)

    assert ("orders", "stop_price") in [(leak["output"], leak["column"]) for leak in found.leaks]
    assert "signals" not in {leak["output"] for leak in found.leaks}
    assert (clean.leaks, clean.failures, clean.checks) == ([], [], 2 * 4 * 13)  # three ways from the bars on, and NaN


def test_a_scanner_is_audited_with_what_it_selects(root):
    scanners = [{"use": "own:Gainers", "at": ["open+5m", "open+60m"]}]
    clean = audited(root, "own:Clean", every=65, scanners=scanners)
    early = [{"use": "own:Gainers", "at": ["open+5m"]}]
    indicators = [{"name": "own:FUTURE", "key": "future"}]

    assert (clean.leaks, clean.parity, clean.failures) == ([], [], [])
    assert clean.compared["afresh"] == 1
    leaks = audited(root, "own:Reader", every=1, scanners=early, indicators=indicators).leaks
    assert {leak["output"] for leak in leaks} == {"indicators"}


def test_what_a_strategy_of_columns_keeps_from_session_to_session_is_a_violation(root):
    parity = audited(root, "own:Remembering", every=400).parity

    assert any("table signals differs when run afresh" in line for line in parity)
    assert all(line.startswith("2024-11-21") for line in parity)


def test_processes_find_what_one_finds(root):
    path = config(root, "own:Averages")
    plan = plans.from_file(path, Store(root / "store"))

    told = [run_audit(plan, every=130, workers=workers, config_path=path).told() for workers in (1, 2)]

    assert told[0]["checks"] > 0
    assert told[0] == told[1]


def test_the_audit_goes_into_the_manifest_of_the_same_run(root):
    path, out = config(root, "own:Clean"), root / "kept"
    words = ["audit", str(path), "--store", str(root / "store"), "--out", str(out), "--every", "200", "--json"]
    before = CliRunner().invoke(cli, words)
    CliRunner().invoke(cli, ["run", str(path), "--store", str(root / "store"), "--out", str(out)])
    told = json.loads(CliRunner().invoke(cli, words, catch_exceptions=False).stdout)
    run_dir = next(out.glob("*"))
    kept = json.loads((run_dir / "MANIFEST.json").read_text())["audit"]

    assert "is no finished run" in str(before.exception)
    assert kept["sha256"] == told["sha256"]
    assert {name: told[name] for name in kept} == kept
    assert CliRunner().invoke(cli, ["verify", str(run_dir)]).exit_code == 0
    run = RunDir(run_dir)
    manifest = run.manifest()
    manifest["audit"]["checks"] += 1
    run.finish(manifest)
    assert ["audit is not what its sha256 says" in text for text in run.manifest_damage()] == [True]


def test_the_command_ends_with_8_on_a_violation(root):
    words = ["--store", str(root / "store"), "--every", "200", "--sessions", "1"]
    clean = CliRunner().invoke(cli, ["audit", str(config(root, "own:Reader")), *words, "--json"])
    leaky = CliRunner().invoke(cli, ["audit", str(config(root, "own:Leaky")), *words])

    assert clean.exit_code == 0
    told = json.loads(clean.stdout)
    assert (told["violations"], len(told["sha256"])) == (0, 64)
    assert isinstance(leaky.exception, VerificationError)
    assert leaky.exception.exit_code == 8
    assert "signals.enter of SIM00" in leaky.output


@pytest.mark.parametrize(("use", "code"), [("backtester.strategy.samples:VwapReversion", 0), ("own:Hindsight", 8)])
def test_an_attested_run_keeps_what_it_looked_for_and_found(root, use, code):
    path, out = config(root, use), root / f"attested-{code}"
    words = ["run", str(path), "--store", str(root / "store"), "--out", str(out), "--attest", "2"]
    done = CliRunner().invoke(cli, words)
    manifest = json.loads(next(out.glob("*/MANIFEST.json")).read_text())
    kept = manifest["attestation"]

    assert (0 if done.exception is None else done.exception.exit_code) == code
    assert (kept["sessions"], kept["checks"]) == (["2024-11-20", "2024-11-21"], 2)
    assert bool(kept["violations"]) == (code == 8)
    assert len(kept["sha256"]) == 64
    verified = CliRunner().invoke(cli, ["verify", str(next(out.glob("*")))])
    assert verified.exit_code == 0, verified.output


def test_a_run_of_an_event_strategy_is_attested_with_what_it_remembered(root):
    kept = attested(root, "own:Reader", "events")

    assert (kept["sessions"], kept["checks"], kept["skipped"]) == (["2024-11-20", "2024-11-21"], 2, {})
    assert kept["violations"] == []


def test_a_strategy_that_cannot_be_copied_is_said_to_be_not_attested_nor_audited(root):
    kept = attested(root, "own:Locked", "locked")

    assert (kept["sessions"], kept["checks"]) == ([], 0)
    assert all("own:Locked cannot be copied" in why for why in kept["skipped"].values())
    assert len(kept["skipped"]) == 2
    with pytest.raises(StrategyError, match="own:Locked cannot be copied"):
        audited(root, "own:Locked", every=400)
    words = ["--store", str(root / "store"), "--out", str(root / "locked-told"), "--attest", "2"]
    told = CliRunner().invoke(cli, ["run", str(config(root, "own:Locked")), *words], catch_exceptions=False).stdout
    assert "attested at one instant of 0 sessions (none): nothing is shown" in told


def test_what_nothing_was_held_against_is_not_ok(root):
    words = ["--store", str(root / "store"), "--every", "2000"]
    told = CliRunner().invoke(cli, ["audit", str(config(root, "own:Reader")), *words], catch_exceptions=False).stdout

    assert "2 sessions (2024-11-20, 2024-11-21), 0 changed futures" in told
    assert [line[:4] for line in told.splitlines()[1:3]] == ["none", "none"]


def attested(root, use, name):
    words = ["--store", str(root / "store"), "--out", str(root / name), "--attest", "2"]
    done = CliRunner().invoke(cli, ["run", str(config(root, use)), *words, "--json"], catch_exceptions=False)
    return json.loads(done.stdout)["attestation"]
