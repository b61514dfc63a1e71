"""Explaining single rows of a run, and finding where two runs part."""

import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from backtester.cli import cli
from backtester.data.run_dir import RunDir
from backtester.data.store import Store
from backtester.errors import UsageError
from backtester.kernels import codes
from backtester.results import explain
from backtester.results.diff import diff
from backtester.results.ledger_rows import rows_of
from backtester.run import plan as plans
from backtester.run import pool
from tests.results.conftest import write_run

CLI = [sys.executable, "-c", "from backtester.cli import main; main()"]
RUN = {"name": "small", "exchange": "XNYS", "start": "2024-11-20", "end": "2024-11-21", "symbols": ["SIM002", "SIM003"]}
STRATEGY = {
    "use": "backtester.strategy.samples:VwapReversion",
    "params": {"below_bps": 10.0, "stop_bps": 10.0, "minimum_bars": 5},
}


@pytest.fixture(scope="module")
def make_run(tmp_path_factory):
    root = tmp_path_factory.mktemp("explained")
    subprocess.run([*CLI, "sample", str(root / "store")], check=True, capture_output=True)

    def make(name, *, store="store", **sections):
        path = root / f"{name}.json"
        path.write_text(json.dumps({"run": RUN, "strategy": STRATEGY, **sections}))
        return RunDir(pool.run_plan(plans.from_file(path, Store(root / store)), root / name).run_dir)

    make.root = root
    return make


@pytest.fixture(scope="module")
def run(make_run):
    limits = {"max_open_positions": 1, "max_per_trade": 5_000.0}
    costs = {"commission": {"model": "ib_fixed"}, "slippage_bps": 2.0}
    return make_run("whole", limits=limits, execution={"size_amount": 0.045, **costs})


def test_every_fill_is_explained_with_numbers_that_agree(run):
    fills = rows_of(run, "fills")

    assert len(fills) > 10
    position = {}
    cash = 100_000.0
    for fill in fills:
        told = explain.explain_fill(run, fill["fill_id"]).sections
        assert told["account"]["cash_before"] == pytest.approx(cash, abs=1e-6)
        assert told["account"]["position_before"] == position.get(fill["symbol"], 0.0)
        assert list(told["rule"]) == [fill["rule"]]
        assert told["prices"]["price"] == fill["price"]
        assert told["order"]["order_id"] == fill["order_id"]
        assert told["bar"]["open"] == fill["bar_open"]
        assert told["execution"]["slippage_bps"] == 2.0
        cash, position[fill["symbol"]] = fill["cash_after"], fill["position_after"]


def test_an_order_a_trade_and_a_refusal_are_explained(run):
    trade = rows_of(run, "trades")[0]
    told = explain.explain_trade(run, trade["trade_id"]).sections
    fills = [name for name in told if name.startswith("fill")]
    refused = rows_of(run, "order_events", event="rejected")[0]
    order = explain.explain_order(run, refused["order_id"]).sections
    reject = explain.explain_reject(run, refused["order_id"]).sections

    assert told["trade"]["pnl"] == trade["pnl"]
    assert len(fills) == trade["entry_fills"] + trade["exit_fills"]
    assert order["event 1"]["event"] == "rejected"
    assert reject["refused"]["reason"] == "max_open_positions"
    assert reject["refused"]["limits.max_open_positions"] == 1
    assert any(name.startswith("signal") for name in reject)


def test_every_rule_and_reason_of_the_ledger_has_words():
    assert set(explain.RULES) == set(codes.FILL_RULES)
    assert set(explain.REASONS) == set(codes.REASONS)


def test_what_is_not_there_is_said(run, tmp_path):
    with pytest.raises(UsageError, match="no fill 99999; it has"):
        explain.explain_fill(run, 99999)
    with pytest.raises(UsageError, match=r"was not refused; those that were: \d"):
        explain.explain_reject(run, rows_of(run, "order_events", event="filled")[0]["order_id"])
    with pytest.raises(UsageError, match="it has no fills"):
        explain.explain_fill(write_run(tmp_path / "none", [], finished=False), 0)


CAUSES = {
    "slippage_bps": ({"slippage_bps": 3.0}, "price"),
    "commission": ({"slippage_bps": 2.0, "commission": {"model": "ib_fixed", "minimum": 2.0}}, "commission"),
    "size_amount": ({"slippage_bps": 2.0, "size_amount": 0.03}, "quantity"),
    "market_price": ({"slippage_bps": 2.0, "market_price": "close"}, "filled_at"),
}


@pytest.mark.parametrize("name", CAUSES)
def test_the_setting_that_made_two_runs_part_is_named(make_run, run, name):
    changed, column = CAUSES[name]
    execution = {"size_amount": 0.045, "commission": {"model": "ib_fixed"}, **changed}
    other = make_run(name, limits={"max_open_positions": 1, "max_per_trade": 5_000.0}, execution=execution)

    found = diff(run, other)

    assert found.column == column
    assert f"execution.{name}" in found.cause
    told = CliRunner().invoke(cli, ["diff", str(run.root), str(other.root)], catch_exceptions=False).stdout
    assert found.cause in told
    assert f"  setting  execution.{name}" in told
    assert list(found.settings) == [key for key in found.settings if name in key]


def test_a_run_does_not_part_from_itself(run):
    found = diff(run, run)

    assert (found.column, found.number, found.settings, found.inputs) == (None, len(rows_of(run, "fills")), {}, [])


def test_other_source_bars_are_named_as_the_cause(make_run, run):
    store = ["--start", "2024-11-18", "--end", "2024-12-03", "--seed", "8"]
    subprocess.run([*CLI, "sample", str(make_run.root / "other"), *store], check=True, capture_output=True)
    limits = {"max_open_positions": 1, "max_per_trade": 5_000.0}
    costs = {"commission": {"model": "ib_fixed"}, "slippage_bps": 2.0, "size_amount": 0.045}
    found = diff(run, make_run("inputs", store="other", limits=limits, execution=costs))

    assert found.column is not None
    assert found.cause == "the source bars of 2024-11-20 differ"


def test_a_strategys_changed_source_is_named_as_the_cause(make_run, tmp_path):
    lines = (
        "class Buys:",
        "    def signals(self, bars, indicators):",
        "        return bars.select(enter=bars['running_bars'] == BAR)",
    )
    days = {"start": "2024-11-20", "end": "2024-11-21"}
    (tmp_path / "own.json").write_text(
        json.dumps(
            {"run": {"name": "own", "exchange": "XNYS", "symbols": "*", **days}, "strategy": {"use": "own:Buys"}}
        )
    )
    made = []
    for bar in (3, 4):
        (tmp_path / "own.py").write_text("\n".join(lines).replace("BAR", str(bar)))
        plan = plans.from_file(tmp_path / "own.json", Store(make_run.root / "store"))
        made.append(RunDir(pool.run_plan(plan, tmp_path / "runs").run_dir))
    found = diff(*made)

    assert (found.column, found.sources, found.cause) == ("symbol", ["own"], "the source of own differs")
    told = CliRunner().invoke(cli, ["diff", *(str(each.root) for each in made)], catch_exceptions=False).stdout
    assert told.splitlines()[-2:] == ["cause: the source of own differs", "  source   own: another file"]


def test_the_commands_tell_the_same(run):
    def told(*words):
        return subprocess.run([*CLI, *words], check=True, capture_output=True, text=True).stdout

    as_json = json.loads(told("explain", str(run.root), "--fill", "0", "--json"))
    assert (as_json["what"], as_json["number"]) == ("fill", 0)
    assert as_json["rule"]
    assert told("diff", str(run.root), str(run.root)).startswith("the same ")
