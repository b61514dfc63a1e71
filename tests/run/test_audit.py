"""The audit of a config: leaks of strategies and of indicators found through the whole run, clean ones not accused."""

import json

import pytest
from click.testing import CliRunner

from backtester.cli import cli
from backtester.data.store import Store
from backtester.errors import VerificationError
from backtester.run import plan as plans
from backtester.run.audit import run_audit

MODULE = '''
import polars as pl

FUTURE = pl.col("close").shift(-1)

class Leaky:
    def signals(self, bars, indicators):
        return bars.select(enter=pl.col("close").shift(-1).over("symbol") > pl.col("close"))

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

    assert (found.leaks, found.parity, found.failures) == ([], [], {})
    assert found.sessions == ["2024-11-20", "2024-11-21"]
    assert found.checks > 30
    assert found.compared == ([] if use == "own:Reader" else ["replay"])


def test_history_that_no_longer_matters_is_counted_in_sessions(root):
    warm_up = audited(root, "own:Averages", every=400, end="2024-11-25").warm_up

    assert warm_up == {"sma": 1, "ema": None}  # thirty bars are in one session; an exponential average never ends


def test_the_order_of_symbols_is_told_and_is_no_violation(root):
    found = audited(root, "own:ByOrder", every=400)

    assert found.order["rank"] > 100
    assert found.violations == 0


def test_the_command_ends_with_8_on_a_violation(root):
    words = ["--store", str(root / "store"), "--every", "200", "--sessions", "1"]
    clean = CliRunner().invoke(cli, ["audit", str(config(root, "own:Reader")), *words, "--json"])
    leaky = CliRunner().invoke(cli, ["audit", str(config(root, "own:Leaky")), *words])

    assert clean.exit_code == 0
    told = json.loads(clean.stdout)
    assert (told["violations"], len(told["digest"])) == (0, 64)
    assert isinstance(leaky.exception, VerificationError)
    assert leaky.exception.exit_code == 8
    assert "signals.enter of SIM00" in leaky.output


@pytest.mark.parametrize(("use", "code"), [("backtester.strategy.samples:VwapReversion", 0), ("own:Leaky", 8)])
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


def test_a_run_of_an_event_strategy_cannot_be_attested(root):
    words = ["--store", str(root / "store"), "--out", str(root / "refused"), "--attest", "1"]
    refused = CliRunner().invoke(cli, ["run", str(config(root, "own:Reader")), *words])

    assert "use `backtester audit`" in str(refused.exception)
