"""Steps ask what the same strategy asks in columns, and are refused with what would do."""

import datetime as dt
import json
import os

import pyarrow.parquet as pq
import pytest

from backtester.data import sample
from backtester.data.run_dir import RunDir
from backtester.data.store import Store
from backtester.errors import StrategyError
from backtester.interval import Interval
from backtester.kernels import jit
from backtester.run import plan as plans
from backtester.run import pool

CASES = {
    "SmaCross": {"fast": 5, "slow": 12},
    "SmaCross short": {"fast": 5, "slow": 12, "short": True},
    "OpeningRange": {"stop_at_low": True},
    "VwapReversion": {"below_bps": 10.0},
    "Rsi": {"period": 5},
    "Momentum": {},
}
COUNTER = """
from backtester.strategy.step import enter, leave


def is_due(count, every):
    return count % every == 0.0


class Counter:
    memory = 1

    def __init__(self, every: int = 50):
        self.every = every

    def step(self, row, desk):
        row.memory[row.symbol, 0] += 1.0
        if is_due(row.memory[row.symbol, 0], self.every):
            {asks}
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    where = Store(tmp_path_factory.mktemp("steps") / "store")
    plan = sample.Sample(exchange="XNYS", interval=Interval.parse("1m"), start=dt.date(2024, 11, 27),
                         end=dt.date(2024, 12, 2), symbols=3, seed=7)  # fmt: skip
    sample.write(plan, where, tell=lambda _: None)
    return where


def run(folder, store, use, params, **options):
    chosen = {"name": "step", "exchange": "XNYS", "start": "2024-11-27", "end": "2024-12-02", "symbols": "*"}
    config = {"run": chosen, "strategy": {"use": use, "params": params}, "limits": {"flat_by": "close-3m"}}
    config["execution"] = {"leverage": 2.0, "commission": {"model": "ib_fixed"}}
    (folder / "config.json").write_text(json.dumps(config))
    plan = plans.from_file(folder / "config.json", store)
    return RunDir(pool.run_plan(plan, folder / "runs", **options).run_dir)


def tables(done, *names):
    found = {}
    for name in names:
        for session in done.sessions():
            path = done.table_path(name, session)
            if os.path.isfile(path):  # noqa: PTH113  # whichever kind of path it is
                found[name, session] = pq.ParquetFile(path).read().to_pylist()
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_sample_asks_the_same_in_columns_and_step_by_step(case, tmp_path, store):
    name = case.split()[0]
    told = [
        tables(run(tmp_path, store, f"backtester.strategy.{module}:{name}", CASES[case]),
               "fills", "orders", "order_events", "trades", "equity")
        for module in ("samples", "step_samples")
    ]  # fmt: skip

    assert any(key[0] == "fills" for key in told[0])
    assert told[0] == told[1]


def test_a_step_remembers_overnight_however_its_run_is_cut(tmp_path, store):
    (tmp_path / "mine.py").write_text(COUNTER.format(asks="enter(row, desk, 1)"))
    whole = run(tmp_path, store, "mine:Counter", {"every": 400})
    kept = tables(whole, "strategy_memory", "fills")
    last = kept["strategy_memory", "2024-12-02"]

    # Three sessions of 390, 210 and 390 minutes, gaps apart.
    assert max(row["numbers"][0] for row in last) > 900
    assert any(key[0] == "fills" for key in kept)
    whole.manifest_path.unlink()
    whole.record_path("2024-11-29").unlink()
    assert tables(run(tmp_path, store, "mine:Counter", {"every": 400}, resume=True), "strategy_memory", "fills") == kept


@pytest.mark.parametrize(
    ("asks", "words"),
    [
        ("row.nothing", "has no attribute 'nothing'"),
        ("1.0 / (row.volume - row.volume)", "ZeroDivisionError"),
        ("for _ in range(100): leave(row, desk)", "requests at one label; expected at most 24, 8 a symbol"),
    ],
)
def test_a_step_that_fails_is_told_with_its_session(asks, words, tmp_path, store):
    (tmp_path / "mine.py").write_text(COUNTER.format(asks=asks))

    with pytest.raises(StrategyError, match=words) as caught:
        run(tmp_path, store, "mine:Counter", {})
    assert "session 2024-11-27" in str(caught.value)


def test_a_step_of_another_shape_is_refused(tmp_path, store):
    (tmp_path / "mine.py").write_text("class Counter:\n    def step(self, row):\n        pass\n")

    with pytest.raises(StrategyError, match="write `def step"):
        run(tmp_path, store, "mine:Counter", {})


@pytest.mark.soak
@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") != "0", reason="needs the compiler")
def test_a_compiled_step_gives_the_bytes_of_plain_python(tmp_path, store, monkeypatch):
    (tmp_path / "mine.py").write_text(COUNTER.format(asks="enter(row, desk, 1, stop_loss=0.01, fractions=1)"))
    plain = tables(run(tmp_path, store, "mine:Counter", {}), "fills", "equity", "strategy_memory")
    monkeypatch.setattr(jit._Mode, "compiled", False)
    jit.compiled()
    (tmp_path / "again").mkdir()
    (tmp_path / "again/mine.py").write_text((tmp_path / "mine.py").read_text())

    assert tables(run(tmp_path / "again", store, "mine:Counter", {}), "fills", "equity", "strategy_memory") == plain
