"""Every way of running a strategy gives the same tables on real bars: at once, row by row, in columns, as steps, told.

Sample strategies on every intraday set of US equities there is (equity_sets.CASES), every setting of every rule.
"""

import copy
import dataclasses
import json

import pytest

from backtester.config.execution import Execution, Limits
from backtester.data.store import Store
from backtester.kernels import jit
from backtester.run import plan as plans
from backtester.run.commit import carried
from backtester.run.levels import first_carry
from backtester.run.loading import Loader
from backtester.run.session import complete, prepare
from backtester.strategy import samples, step_samples
from tests.execution.generated import RULES
from tests.run import twins
from tests.run.equity_sets import CASES, real, stores  # noqa: F401  # the fixture

# A sample with parameters that make it trade on a single session.
SAMPLES = {
    "SmaCross": {"fast": 3, "slow": 8, "short": True},
    "OpeningRange": {"minutes": 15, "stop_at_low": True},
    "VwapReversion": {"below_bps": 5.0, "minimum_bars": 5, "stop_bps": 10.0},
    "Rsi": {"period": 5, "low": 45.0, "high": 55.0},
    "Momentum": {"minimum_bps": 0.0},
    "CrossSectionalRank": {"top": 1, "every": 15},
}
MODULES = {"columns": samples, "step": step_samples, "event": twins}
LIMITS = {"flat_by": "close-5m", "max_open_positions": 1, "max_per_trade": 20_000.0, "max_daily_loss": 50.0}
SCANNER = {"use": "tests.run.twins:AboveVwap", "at": ["open+15m", "open+60m", "close-30m"], "keep": False}
# (rule, value): everything a rule may be, one rule at a time.
SETTINGS = [(rule, value) for rule, values in RULES.items() for value in values]
LEDGER = ("orders", "order_events", "fills", "trades", "positions", "equity", "session_equity", "account")


class Way:
    """A plan with its sessions prepared once, for any number of settings of the ledger's rules."""

    def __init__(self, plan):
        self.plan = plan
        loader = Loader(plan)
        self.prepared = [prepare(plan, loader.load(session)) for session in plan.sessions]
        self.carry = first_carry(plan)

    def tables(self, execution, limits=None, *, replayed=False):
        """Each session's tables under these sections."""
        sections = {"execution": Execution(**execution), "limits": Limits(**(limits or {}))}
        strategy = dataclasses.replace(self.plan.strategy, strategy=copy.deepcopy(self.plan.strategy.strategy))
        config = self.plan.config.model_copy(update=sections)
        plan = dataclasses.replace(self.plan, config=config, strategy=strategy, is_replayed=replayed)
        carry, found = self.carry, []
        for prepared in self.prepared:
            found.append(complete(plan, prepared, carry).tables)
            carry = carried(found[-1])
        return found


@pytest.fixture
def ways(tmp_path, stores):  # noqa: F811
    """Makes the ways a sample can be written in, by kind, over one case."""

    def made(case, sample, *, scanners=()):
        of = CASES[case]
        run = {"name": "parity", "exchange": "XNYS", **of._asdict(), "derived": ["5m"]}
        store = Store(stores(run.pop("store")))
        found = {}
        for kind, module in MODULES.items():
            if hasattr(module, sample):
                strategy = {"use": f"{module.__name__}:{sample}", "params": SAMPLES[sample]}
                path = tmp_path / f"{kind}.json"
                path.write_text(json.dumps({"run": run, "strategy": strategy, "scanners": list(scanners)}))
                found[kind] = Way(plans.from_file(path, store))
        return found

    return made


def settings_of(rule, value):
    """[execution] with one rule set; sizes as its unit needs them."""
    execution = {"tick": 0.01, "size_amount": 0.3, "commission": {"model": "ib_fixed"}, rule: value}
    if rule == "size_unit":
        execution["size_amount"] = {"units": 10.0, "notional": 5_000.0}.get(value, 0.3)
    return execution


def alike(ours, theirs):
    """The same values, NaN as itself: carried state has it where a symbol has no value yet."""
    return ours.equals(theirs) or (ours.schema == theirs.schema and repr(ours.to_pydict()) == repr(theirs.to_pydict()))


def differing(ways, execution, limits=None, *, without=()):
    """Where the ways part, by way, session and table; and how many fills there were.

    without  ways that are left out: at once (True: row by row) of a kind
    """
    first = ways["columns"].tables(execution, limits)
    others = [(kind, replayed) for kind in ways for replayed in (False, True)]
    skipped = {("columns", False), ("event", True), *without}
    found = []
    for kind, replayed in others:
        if (kind, replayed) not in skipped:
            names = [name for name in first[0] if kind == "columns" or name in LEDGER]
            for number, tables in enumerate(ways[kind].tables(execution, limits, replayed=replayed)):
                unlike = [name for name in names if not alike(first[number][name], tables[name])]
                found += [(kind, replayed, number, name) for name in unlike]
    return found, sum(tables["fills"].num_rows for tables in first)


def test_every_sample_is_among_them():
    def classes(module, method):
        return {n for n, each in vars(module).items() if isinstance(each, type) and hasattr(each, method)}

    assert classes(samples, "signals") == set(SAMPLES)
    # A step sees one row: a rank over the symbols is no step.
    assert classes(step_samples, "step") == set(SAMPLES) - {"CrossSectionalRank"}
    assert classes(twins, "on_bar") == {"SmaCross", "VwapReversion"}


@real
@pytest.mark.parametrize("sample", SAMPLES)
def test_every_sample_fills_alike_in_every_way_on_the_seed_session(ways, sample):
    made = ways("seed", sample)

    found, fills = differing(made, {})
    assert found == []
    assert fills > 0
    assert differing(made, settings_of("cash", "at_submit"), LIMITS)[0] == []


@real
@pytest.mark.parametrize("sample", ["VwapReversion", "SmaCross"])
def test_what_scanners_select_is_entered_alike_in_every_way(ways, sample):
    free = ways("seed", sample)
    made = ways("seed", sample, scanners=[SCANNER])
    found, fills = differing(made, {})

    assert found == []
    assert 0 < fills < differing(free, {})[1]


# At once in columns, row by row as steps, and told: the other ways are compared sample by sample above.
@real
def test_every_setting_of_every_rule_fills_alike_on_the_seed_session(ways):
    made = ways("seed", "VwapReversion")
    for rule, value in SETTINGS:
        found, fills = differing(made, settings_of(rule, value), without=[("columns", True), ("step", False)])
        assert found == [], (rule, value)
        assert fills > 5, (rule, value)


@pytest.fixture
def compiled(monkeypatch):
    """The ledger as machine code inside a test."""
    monkeypatch.setattr(jit._Mode, "compiled", False)
    jit.compiled()


@real
@pytest.mark.soak
@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("case", CASES)
def test_compiled_and_plain_every_sample_fills_alike_on_every_set(ways, compiled, case, sample):
    """At once as machine code, against everything row by row with nothing compiled; with limits and a scanner too."""
    for scanners in ([], [SCANNER]):
        made = ways(case, sample, scanners=scanners)
        for limits in ({}, LIMITS):
            fast = made["columns"].tables({}, limits)
            with jit.interpreted():
                slow = made["columns"].tables({}, limits, replayed=True)
                found, _ = differing(made, {}, limits)
            assert found == []
            assert all(
                alike(ours[name], theirs[name]) for ours, theirs in zip(fast, slow, strict=True) for name in ours
            )


@real
@pytest.mark.soak
@pytest.mark.parametrize("sample", SAMPLES)
@pytest.mark.parametrize("case", CASES)
def test_every_setting_fills_alike_in_every_way_on_every_set(ways, compiled, case, sample):
    made = ways(case, sample)
    for rule, value in SETTINGS:
        # A step row by row is a ledger label by label, as columns row by row are: that one is enough here.
        found, _ = differing(made, settings_of(rule, value), without=[("step", True)])
        assert found == [], (rule, value)
