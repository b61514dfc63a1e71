"""Runs with a strategy: one account over sessions, whoever computes them and however often they are interrupted."""

import datetime as dt
import hashlib
import json
import subprocess
import sys

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtester.data import sample
from backtester.data.run_dir import RunDir
from backtester.data.store import Store
from backtester.errors import ConfigError, StrategyError, VerificationError
from backtester.interval import Interval
from backtester.results.headline import metrics_of
from backtester.results.verify import verify
from backtester.run import plan as plans
from backtester.run import pool

STRATEGY = '''
from dataclasses import dataclass

import polars as pl


@dataclass(frozen=True)
class Dip:
    """Long {below} bps below the VWAP, short as far above; out when back."""

    below: float = {below}

    def signals(self, bars, indicators):
        away = pl.col("close") / pl.col("running_vwap") - 1.0
        ready = pl.col("running_bars") > 20
        return bars.select(
            enter=pl.when(ready & (away < -self.below / 1e4)).then(1).when(ready & (away > self.below / 1e4)).then(-1),
            exit=away.abs() < 0.0002,
            stop_loss_frac=pl.lit(0.004),
            rank=away.abs(),
        )
'''
CONFIG = """
[run]
name = "dip"
exchange = "XNYS"
start = 2024-11-27
end = 2024-12-03
symbols = "*"

[strategy]
use = "dip:Dip"

[execution]
capital = 50_000.0
size_amount = 0.3
leverage = 2.0

[execution.commission]
model = "ib_fixed"
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    where = Store(tmp_path_factory.mktemp("trading") / "store")
    plan = sample.Sample(exchange="XNYS", interval=Interval.parse("1m"), start=dt.date(2024, 11, 27),
                         end=dt.date(2024, 12, 3), symbols=4, seed=7)  # fmt: skip
    sample.write(plan, where, tell=lambda _: None)
    return where


def planned(folder, store, more="", below=15.0):
    (folder / "dip.py").write_text(STRATEGY.format(below=below))
    (folder / "config.toml").write_text(CONFIG + more)
    return plans.from_file(folder / "config.toml", store)


def run(folder, store, out="runs", more="", **options):
    return RunDir(pool.run_plan(planned(folder, store, more), folder / out, **options).run_dir)


def table(run_dir, name):
    tables = []
    for session in run_dir.sessions():
        path = run_dir.table_path(name, session)
        if path.is_file():
            rows = pq.ParquetFile(path).read()
            tables.append(rows.append_column("session", pa.array([session] * rows.num_rows)))
    return [row for each in tables for row in each.to_pylist()]


def tree(run_dir):
    files = sorted(p for p in (run_dir.root / "tables").rglob("*") if p.is_file())
    return {str(p.relative_to(run_dir.root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def test_the_account_goes_on_from_session_to_session(tmp_path, store):
    done = run(tmp_path, store)
    fills, days, equity = table(done, "fills"), table(done, "session_equity"), table(done, "equity")

    assert len(days) == 4
    assert len({fill["symbol"] for fill in fills}) > 1
    assert {fill["side"] for fill in fills} == {1, -1}
    cash = 50_000.0
    for fill in fills:
        cash -= fill["side"] * fill["quantity"] * fill["price"] + fill["commission"]
        assert fill["cash_after"] == pytest.approx(cash, abs=1e-6)
    assert days[0]["start_equity"] == 50_000.0
    assert [day["start_equity"] for day in days[1:]] == [day["equity"] for day in days[:-1]]
    held = {}
    for fill in fills:
        held[fill["symbol"]] = fill["position_after"]
    last = [row for row in table(done, "positions") if row["session"] == "2024-12-03"]
    assert {row["symbol"]: row["quantity"] for row in last} == {s: q for s, q in held.items() if q}
    assert days[-1]["equity"] == pytest.approx(cash + sum(row["value"] for row in last), abs=1e-6)
    assert len(equity) == 390 * 3 + 210
    assert len({fill["fill_id"] for fill in fills}) == len(fills)


def test_no_run_imports_pandas(tmp_path, store):
    planned(tmp_path, store)
    code = (
        "import sys; sys.argv = ['backtester', 'run', *sys.argv[1:]]\n"
        "try:\n"
        "    from backtester.cli import main; main()\n"
        "finally:\n"
        "    print('pandas' in sys.modules, 'polars' in sys.modules, file=sys.stderr)"
    )
    words = [str(tmp_path / "config.toml"), "--store", str(store.root), "--out", str(tmp_path / "out"), "--json"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)

    assert json.loads(done.stdout)["metrics"]["trades"] > 0
    assert done.stderr.split() == ["False", "True"]


def test_a_signal_is_never_filled_on_the_bar_that_gave_it(tmp_path, store):
    done = run(tmp_path, store)
    orders = {order["order_id"]: order for order in table(done, "orders")}

    for fill in table(done, "fills"):
        order = orders[fill["order_id"]]
        is_leg = order["parent_id"] is not None
        assert fill["filled_at" if "filled_at" in fill else "at"] >= order["submitted_at"]
        assert is_leg or fill["timestamp"] > order["timestamp"]


def test_any_number_of_workers_and_any_resume_gives_the_same_bytes(tmp_path, store):
    whole = run(tmp_path, store)
    parted = run(tmp_path, store, "parted", workers=3)
    assert tree(parted) == tree(whole)
    parted.manifest_path.unlink()
    parted.record_path("2024-11-29").unlink()

    again = run(tmp_path, store, "parted", resume=True)

    assert tree(again) == tree(whole)


def test_flat_by_leaves_nothing_overnight_on_half_days_too(tmp_path, store):
    done = run(tmp_path, store, more='[limits]\nflat_by = "close-5m"\n')

    assert table(done, "fills")
    assert table(done, "positions") == []
    ends = {row["session"]: row for row in table(done, "equity")}
    assert all(row["open_positions"] == 0 for row in ends.values())


def test_no_entry_is_taken_below_the_quality_asked_for(tmp_path, store):
    done = run(tmp_path, store, more="[quality]\nminimum_pct = 99.9\n")
    refused = {e["order_id"] for e in table(done, "order_events") if e["reason"] == "quality"}
    gaps = [(gap["session"], gap["symbol"], gap["first_missing"]) for gap in table(done, "gaps")]
    entries = [order for order in table(done, "orders") if order["role"] == "entry"]

    # One bar of 390 missing is 99.7 %.
    assert {order["order_id"] for order in entries} & refused
    for order in entries:
        is_low = any(gap[:2] == (order["session"], order["symbol"]) and gap[2] < order["timestamp"] for gap in gaps)
        assert is_low == (order["order_id"] in refused)


def test_the_strategys_source_is_part_of_the_runs_name(tmp_path, store):
    one, two = planned(tmp_path, store).run_id, planned(tmp_path, store, below=16.0).run_id

    assert one != two
    assert planned(tmp_path, store).run_id == one


def test_a_restricted_symbol_that_is_none_is_refused_before_the_run(tmp_path, store):
    with pytest.raises(ConfigError, match="NOSUCH is no symbol of the run"):
        planned(tmp_path, store, '[limits]\nrestricted = ["NOSUCH"]\n')


def test_a_benchmark_that_is_no_symbol_is_refused_before_the_run(tmp_path, store):
    with pytest.raises(ConfigError, match=r"metrics.benchmark: SIM01 is no symbol of the run; did you mean SIM001\?"):
        planned(tmp_path, store, '[metrics]\nbenchmark = "SIM01"\n')


def test_a_strategy_that_fails_ends_the_run_with_its_line(tmp_path, store):
    (tmp_path / "dip.py").write_text(STRATEGY.format(below=1.0).replace('pl.col("running_vwap")', 'pl.col("vwap")'))
    (tmp_path / "config.toml").write_text(CONFIG)
    plan = plans.from_file(tmp_path / "config.toml", store)

    with pytest.raises(StrategyError, match=r"session 2024-11-27: ColumnNotFoundError.*\(dip.py:"):
        pool.run_plan(plan, tmp_path / "runs")


def test_what_a_strategy_declares_is_checked_as_a_config_is(tmp_path, store):
    text = STRATEGY.format(below=1.0) + "    def indicators(self):\n        return [{'name': 'sma', 'perod': 5}]\n"
    (tmp_path / "dip.py").write_text(text)
    (tmp_path / "config.toml").write_text(CONFIG)

    with pytest.raises(StrategyError, match=r"strategy dip:Dip declares .*perod"):
        plans.from_file(tmp_path / "config.toml", store)


def test_a_run_is_verified_and_its_metrics_are_those_that_sql_computes(tmp_path, store):
    done = run(tmp_path, store, more='[metrics]\nbenchmark = "SIM001"\n')

    report = verify(done)
    assert [(check.name, check.rows) for check in report.checks if check.violations] == []
    assert report.ok
    metrics = metrics_of(done)
    days = table(done, "session_equity")
    assert metrics["pnl"] == days[-1]["equity"] - 50_000.0
    assert metrics["trades"] == sum(not trade["is_open"] for trade in table(done, "trades"))
    assert metrics["sessions_per_year"] == 252.0
    assert metrics["beta"] is not None


def test_a_session_whose_tables_contradict_themselves_is_not_committed(tmp_path, store, monkeypatch):
    complete = pool.complete

    def wrong(plan, prepared, carry):
        done = complete(plan, prepared, carry)
        if done.flow.session == "2024-11-29":
            fills = done.tables["fills"]
            place = fills.schema.get_field_index("commission")
            done.tables["fills"] = fills.set_column(place, fills.schema.field(place), pa.array([9.0] * len(fills)))
        return done

    monkeypatch.setattr(pool, "complete", wrong)
    with pytest.raises(VerificationError, match=r"2024-11-29: the ledger's tables contradict themselves.*cash_moves"):
        run(tmp_path, store)

    monkeypatch.undo()
    (broken,) = (tmp_path / "runs").iterdir()
    assert RunDir(broken).sessions() == ["2024-11-27"]
    assert verify(run(tmp_path, store, resume=True)).ok


def test_oldest_units_first_adds_up_overnight_and_carries_no_more_lots_than_are_held(tmp_path, store):
    text = CONFIG.replace("[execution]\n", '[execution]\nlots = "fifo"\nvolume_frac = 0.01\n')
    (tmp_path / "dip.py").write_text(STRATEGY.format(below=15.0))
    (tmp_path / "config.toml").write_text(text)
    done = RunDir(pool.run_plan(plans.from_file(tmp_path / "config.toml", store), tmp_path / "runs").run_dir)

    assert verify(done).ok
    lots, held = table(done, "lots"), table(done, "positions")
    for session in done.sessions():
        units = sum(row["quantity"] for row in lots if row["session"] == session)
        assert units == pytest.approx(sum(abs(row["quantity"]) for row in held if row["session"] == session))
    assert len(lots) > 0
    assert all(row["quantity"] > 0.0 for row in lots)
