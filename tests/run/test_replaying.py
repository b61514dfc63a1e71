"""Runs row by row: the same bytes as all at once, and event strategies that ask for the same."""

import dataclasses
import hashlib
import json

import pytest
from click.testing import CliRunner

from backtester.cli import cli
from backtester.data.store import Store
from backtester.errors import StrategyError
from backtester.run import plan as plans
from backtester.run import pool

EVENTS = '''
class Rising:
    """Buys what closes above its average of five, by the run's indicator, and remembers overnight."""

    def __init__(self):
        self.seen = 0

    def indicators(self):
        return [{"name": "sma", "period": 5, "key": "average", "scope": "continuous"}]

    def on_bar(self, bar, data, desk):
        self.seen += 1
        average = data.get_indicator(bar.symbol, "average")
        if average is not None and bar.close > average and self.seen % 3 == 0:
            desk.target(bar.symbol, units=float(self.seen % 50))
        assert data.get_historical_bars(bar.symbol).rows > 0 or bar.symbol != "SIM001"
'''


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("replayed")
    assert CliRunner().invoke(cli, ["sample", str(root / "store")]).exit_code == 0
    (root / "events.py").write_text(EVENTS)
    return root


def ran(root, use, *, out, replayed=False, workers=1, params=None, **sections):
    run = {"name": "replayed", "exchange": "XNYS", "start": "2024-11-20", "end": "2024-11-21"}
    strategy = {"use": use, "params": params or {}}
    settings = {"run": {**run, "symbols": ["SIM001", "SIM003", "SIM006"], "derived": ["5m"]}, "strategy": strategy}
    path = root / f"{out}.json"
    path.write_text(json.dumps({**settings, "history": {"trailing_sessions": 1}, **sections}))
    plan = plans.from_file(path, Store(root / "store"))
    outcome = pool.run_plan(dataclasses.replace(plan, is_replayed=replayed), root / out, workers=workers)
    return outcome.run_dir


def tables(run_dir, *names):
    return {
        f"{path.parent.parent.name}/{path.parent.name}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(run_dir.glob("tables/*/*/part-0.parquet"))
        if not names or path.parent.parent.name in names
    }


LIMITS = {"max_open_positions": 2, "flat_by": "close-5m"}
COSTS = {"commission": {"model": "ib_fixed"}, "slippage_bps": 1.0}
SETTINGS = {"plain": {}, "limited": {"limits": LIMITS, "execution": COSTS}}
LEDGER = ("signals", "orders", "order_events", "fills", "trades", "positions", "equity", "session_equity", "account")


@pytest.mark.parametrize("name", SETTINGS)
def test_an_event_strategy_and_the_same_in_columns_give_the_same_bytes(root, name):
    params = {"below_bps": 20.0, "minimum_bars": 10}
    fast = ran(root, "backtester.strategy.samples:VwapReversion", out=f"fast-{name}", params=params, **SETTINGS[name])
    slow = ran(root, "tests.run.twins:VwapReversion", out=f"slow-{name}", params=params, **SETTINGS[name])

    assert tables(fast, *LEDGER) == tables(slow, *LEDGER)
    assert len(tables(fast, "fills")) == 2


@pytest.mark.parametrize("name", SETTINGS)
def test_a_columns_strategy_replayed_gives_the_same_bytes(root, name):
    use = "backtester.strategy.samples:CrossSectionalRank"
    fast = ran(root, use, out=f"all-{name}", params={"top": 1}, **SETTINGS[name])
    slow = ran(root, use, out=f"rows-{name}", params={"top": 1}, replayed=True, **SETTINGS[name])

    assert fast.name == slow.name
    assert tables(fast) == tables(slow)
    assert len(tables(fast, "fills")) == 2


@pytest.mark.parametrize("leg", ["stop_loss", "take_profit_frac", "trail"])
def test_a_leg_on_the_wrong_side_of_nothing_is_refused_with_its_session_bar_and_name(root, leg):
    (root / "wrong.py").write_text(
        f"class Wrong:\n    def on_bar(self, bar, data, desk):\n        desk.enter(bar.symbol, 1, {leg}=-0.01)\n"
    )
    with pytest.raises(StrategyError, match=rf"session 2024-11-20, 2024-11-20T14:31:00.* SIM00.: {leg} is -0\.01"):
        ran(root, "wrong:Wrong", out="wrong")


def test_what_is_asked_wrongly_is_told_with_the_line_that_asked(root):
    (root / "typed.py").write_text(
        "class Typed:\n    def on_bar(self, bar, data, desk):\n        desk.enter(bar.symbol, 1, fractions=1)\n"
    )
    line = r"unexpected keyword argument 'fractions' \(typed\.py:3: desk\.enter\(bar\.symbol, 1, fractions=1\)\)"
    with pytest.raises(StrategyError, match=line):
        ran(root, "typed:Typed", out="typed")


def test_an_event_strategy_that_remembers_is_run_again_from_the_first_session(root):
    whole = ran(root, "events:Rising", out="whole", workers=2)
    holed = ran(root, "events:Rising", out="holed")
    before = tables(holed)
    next(holed.glob("tables/fills/session=2024-11-21/*")).write_bytes(b"")

    again = ran(root, "events:Rising", out="holed")

    assert before == tables(whole) == tables(again)
    assert len(tables(whole, "fills")) == 2
