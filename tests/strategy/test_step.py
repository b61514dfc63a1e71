"""Steps ask what the same strategy asks in columns, and are refused with what would do."""

import dataclasses
import datetime as dt
import json
import os
import subprocess
import sys

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
from backtester.strategy import step as steps
from backtester.strategy.loading import load

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


# Asks in every way, by rank, through a function of its module.
RANKED = """
from backtester.strategy.step import cancel, enter, leave, place, target

NEVER_MENTIONED_IN_STEP = 3


def weight_of(row, every):
    return (row.running_bars % every) / every


class Ranked:
    memory = 2

    def __init__(self, every: int = 12, hold: int = 30, side: int = 1):
        self.every, self.hold, self.side = every, hold, side

    def indicators(self):
        return [{"name": "sma", "period": 5, "key": "mean"}]

    def step(self, row, desk):
        # TALK
        row.memory[row.symbol, 0] += row.close - row.mean if row.running_bars > 4.0 else 0.0
        turn = row.running_bars % (5.0 * self.every)
        if turn == 3.0:
            side, rank = self.side if row.close > row.mean else -self.side, weight_of(row, self.every)
            enter(row, desk, side, stop_loss=0.002, fractions=1, exit_after_bars=self.hold, rank=rank)
        elif turn == 20.0:
            leave(row, desk, rank=row.symbol)
        elif turn == 25.0:
            place(row, desk, 1, 20.0, order_type=1, limit=row.close * 0.999, rank=-row.close)
            place(row, desk, -1, 10.0, rank=row.close)
        elif turn == 35.0:
            cancel(row, desk)
            target(row, desk, 0.1 * (row.symbol - 1), unit=2)
        elif turn == 50.0:
            row.memory[row.symbol, 1] += row.cash + row.position * row.average
            target(row, desk, 0.0)
"""
TALK = """        if row.running_bars == 7.0:
            print(f"close {row.close:.2f}")
            breakpoint()"""
STOP = TALK.replace("7.0:", "7.0 and row.symbol == 0:")
WAYS = ("once", "replayed")
compiles = pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") != "0", reason="needs the compiler")


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    where = Store(tmp_path_factory.mktemp("steps") / "store")
    plan = sample.Sample(exchange="XNYS", interval=Interval.parse("1m"), start=dt.date(2024, 11, 27),
                         end=dt.date(2024, 12, 2), symbols=3, seed=7)  # fmt: skip
    sample.write(plan, where, tell=lambda _: None)
    return where


def run(folder, store, use, params, *, replayed=False, **options):
    chosen = {"name": "step", "exchange": "XNYS", "start": "2024-11-27", "end": "2024-12-02", "symbols": "*"}
    config = {"run": chosen, "strategy": {"use": use, "params": params}, "limits": {"flat_by": "close-3m"}}
    config["execution"] = {"leverage": 2.0, "commission": {"model": "ib_fixed"}}
    (folder / "config.json").write_text(json.dumps(config))
    plan = dataclasses.replace(plans.from_file(folder / "config.json", store), is_replayed=replayed)
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


WRITTEN = ("fills", "orders", "order_events", "trades", "equity", "session_equity", "strategy_memory")


@pytest.mark.parametrize("case", CASES)
def test_a_sample_replayed_row_by_row_gives_the_same_tables(case, tmp_path, store):
    use = f"backtester.strategy.step_samples:{case.split()[0]}"
    for way in WAYS:
        (tmp_path / way).mkdir()
    once, again = (run(tmp_path / way, store, use, CASES[case], replayed=way == "replayed") for way in WAYS)

    assert once.root.name == again.root.name
    assert tables(again, *WRITTEN) == tables(once, *WRITTEN)
    assert any(key[0] == "fills" for key in tables(once, "fills"))


@pytest.mark.parametrize("is_compiled", [False, pytest.param(True, marks=compiles)])
def test_a_replayed_step_is_plain_python_and_asks_what_the_compiled_one_does(
    is_compiled, tmp_path, store, monkeypatch, capsys
):
    """It prints, holds debuggers and reads globals of its module, whatever the ledger runs as."""
    monkeypatch.setattr(jit._Mode, "compiled", False)
    for way, text in (("once", RANKED), ("again", RANKED.replace("        # TALK", TALK))):
        (tmp_path / way).mkdir()
        (tmp_path / way / "mine.py").write_text(text)
    once = tables(run(tmp_path / "once", store, "mine:Ranked", {}), *WRITTEN)
    if is_compiled:
        jit.compiled()
    seen = []
    monkeypatch.setattr(sys, "breakpointhook", lambda: seen.append(sys._getframe(1)))
    again = tables(run(tmp_path / "again", store, "mine:Ranked", {}, replayed=True), *WRITTEN)

    assert again == once
    assert {row["role"] for key in once if key[0] == "orders" for row in once[key]} >= {"entry", "exit", "order"}
    frames = [(frame.f_code.co_filename, frame.f_locals["row"].running_bars) for frame in seen]
    assert frames == [(str(tmp_path / "again/mine.py"), 7.0)] * 9
    assert "NEVER_MENTIONED_IN_STEP" in seen[0].f_globals
    assert capsys.readouterr().out.count("close ") == 9


@pytest.mark.parametrize("call", ["print(1.0)", "breakpoint()", "told(row)"])
def test_what_a_compiled_step_cannot_say_is_refused_with_what_can(call, tmp_path, monkeypatch):
    code = "\n\ndef told(row):\n    print(row.close)\n\n\nclass Counter:"
    (tmp_path / "mine.py").write_text(COUNTER.format(asks=call).replace("\n\nclass Counter:", code))
    monkeypatch.setattr(jit._Mode, "compiled", True)

    loaded = load("mine:Counter", {}, folder=tmp_path)
    with pytest.raises(StrategyError, match=r"mine:Counter: (step|told) calls (print|breakpoint), .* --mode replay"):
        steps.stepping_of(loaded, [])
    assert steps.stepping_of(loaded, [], is_replayed=True).python is not None


def test_a_replay_can_be_stepped_through_with_pdb(tmp_path, store):
    (tmp_path / "mine.py").write_text(RANKED.replace("        # TALK", STOP))
    config = {"run": {"name": "pdb", "exchange": "XNYS", "start": "2024-11-27", "end": "2024-11-27", "symbols": "*"}}
    (tmp_path / "config.json").write_text(json.dumps({**config, "strategy": {"use": "mine:Ranked"}}))
    words = ["run", "config.json", "--store", str(store.root), "--mode", "replay", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", "from backtester.cli import main; main()", *words],
        cwd=tmp_path, input="p row.running_bars, self.every\nnext\nlist\ncontinue\n", text=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["sessions"] == 1
    assert "(7.0, 12.0)" in done.stderr
    assert "mine.py(" in done.stderr
    assert "def step(self, row, desk):" in done.stderr

    (tmp_path / "runs").rename(tmp_path / "before")
    left = subprocess.run(
        [sys.executable, "-c", "from backtester.cli import main; main()", *words],
        cwd=tmp_path, input="q\n", text=True, capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, check=False,
    )  # fmt: skip
    assert left.returncode == 3
    assert "session 2024-11-27: the debugger was left; --resume finishes the run" in left.stderr


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
        ("raise SystemExit(0)", r"SystemExit: 0 \(mine\.py"),
        ("row.nothing", "has no attribute 'nothing'"),
        ("enter(row, desk, 2)", "2024-11-27T.* SIM001: the side of an entry or order is neither 1 nor -1"),
        ("enter(row, desk, 0.5)", "2024-11-27T.* SIM001: the side of an entry or order is neither 1 nor -1"),
        ("1.0 / (row.volume - row.volume)", "ZeroDivisionError"),
        (
            "enter(row, desk, 1, take_profit=-0.01, fractions=2)",
            r"2024-11-27T1.* SIM00.: stop_loss, take_profit or trail",
        ),
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
@compiles
def test_a_compiled_step_gives_the_bytes_of_plain_python(tmp_path, store, monkeypatch):
    (tmp_path / "mine.py").write_text(COUNTER.format(asks="enter(row, desk, 1, stop_loss=0.01, fractions=1)"))
    plain = tables(run(tmp_path, store, "mine:Counter", {}), "fills", "equity", "strategy_memory")
    monkeypatch.setattr(jit._Mode, "compiled", False)
    jit.compiled()
    (tmp_path / "again").mkdir()
    (tmp_path / "again/mine.py").write_text((tmp_path / "mine.py").read_text())

    assert tables(run(tmp_path / "again", store, "mine:Counter", {}), "fills", "equity", "strategy_memory") == plain


@compiles
def test_an_index_beyond_the_memory_is_an_error_when_compiled_too(tmp_path, store, monkeypatch):
    monkeypatch.setattr(jit._Mode, "compiled", False)
    jit.compiled()
    (tmp_path / "mine.py").write_text(COUNTER.format(asks="row.memory[row.symbol, 1] = 2.0"))

    with pytest.raises(StrategyError, match=r"mine:Counter, session 2024-11-27: an index lies beyond row\.memory"):
        run(tmp_path, store, "mine:Counter", {})
