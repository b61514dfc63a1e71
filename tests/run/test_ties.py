"""What the order of the symbols decides: nothing where ranks or cash leave it nothing, and the same luck every time."""

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from backtester.cli.run import command
from backtester.errors import UsageError
from backtester.results.headline import metrics_of
from backtester.run import plan as plans
from backtester.run import ties as subject
from tests.run.test_trading import planned, run, store

__all__ = ["store"]

TIGHT = """
[limits]
max_open_positions = 1
"""


def unranked(folder, store, more=""):
    """The plan of the strategy with no rank of its own: all that is asked at one label is level."""
    planned(folder, store, more)
    text = (folder / "dip.py").read_text()
    (folder / "dip.py").write_text(text.replace("rank=away.abs(),", ""))
    return plans.from_file(folder / "config.toml", store)


def test_the_order_as_it_is_gives_the_runs_own_pnl(tmp_path, store):
    done = run(tmp_path, store)

    spread = subject.spread_of(planned(tmp_path, store), orders=2)

    assert spread.pnl.shape == (3,)
    assert spread.pnl[0] == pytest.approx(metrics_of(done)["pnl"], abs=1e-8)


def test_level_requests_for_one_place_depend_on_the_order(tmp_path, store):
    plan = unranked(tmp_path, store, TIGHT)

    first, second = (subject.spread_of(plan, orders=6) for _ in range(2))

    assert first.widest > 1.0
    assert np.array_equal(first.pnl, second.pnl)
    assert not np.array_equal(first.pnl, subject.spread_of(plan, orders=6, seed=2).pnl)


def test_where_everything_is_bought_the_order_decides_nothing(tmp_path, store):
    more = '[limits]\nrestricted = ["SIM001"]\n'
    plan = unranked(tmp_path, store, more)
    free = plan.config.execution.model_copy(update={"cash": "none"})
    plan = replace(plan, config=plan.config.model_copy(update={"execution": free}))

    spread = subject.spread_of(plan, orders=4)

    assert spread.pnl[0] != 0.0
    assert spread.widest == pytest.approx(0.0, abs=1e-8)


def test_the_run_prints_the_spread(tmp_path, store):
    planned(tmp_path, store)
    words = [str(tmp_path / "config.toml"), "--store", str(store.root), "--out", str(tmp_path / "out")]

    text = CliRunner().invoke(command, [*words, "--permute-ties", "2"], catch_exceptions=False).stdout
    found = json.loads(CliRunner().invoke(command, [*words, "--permute-ties", "2", "--json"]).stdout)

    assert "under 2 other orders of the symbols" in text.splitlines()[-1]
    assert len(found["ties"]["pnl"]) == 3
    assert found["ties"]["pnl"][0] == pytest.approx(found["metrics"]["pnl"], abs=1e-8)


def test_without_other_orders_there_is_nothing_to_compare(tmp_path, store):
    with pytest.raises(UsageError, match="permute-ties is 0"):
        subject.spread_of(planned(tmp_path, store), orders=0)


def test_a_strategy_that_decides_while_the_ledger_runs_is_refused(tmp_path, store):
    plan = planned(tmp_path, store)

    with pytest.raises(UsageError, match="dip:Dip decides while the ledger runs; it needs a strategy of `signals`"):
        subject.spread_of(replace(plan, strategy=replace(plan.strategy, kind="step")), orders=1)
    with pytest.raises(UsageError, match="there is no strategy"):
        subject.spread_of(replace(plan, strategy=None), orders=1)
