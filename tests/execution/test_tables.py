"""The ledger's state as tables and back is the ledger; its tables hold what it did."""

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtester.execution.carry import state_of, tables_of
from backtester.execution.rules import rules_of
from backtester.execution.simulate import simulate
from backtester.execution.tables import ledger_tables
from backtester.kernels import state as layout
from backtester.run.commit import carried
from backtester.schema import LEDGER_TABLES
from backtester.schema import carried as names
from backtester.schema.carried import CARRIED_TABLES
from tests.execution import two_engines
from tests.execution.generated import generated

SEEDS = [range(k, k + 40) for k in range(0, 200, 40)]


def test_the_carried_columns_are_those_of_the_state_in_their_order():
    for columns in (names.ACCOUNT_FLOATS, names.ACCOUNT_COUNTS, names.BOOK_FLOATS, names.BOOK_COUNTS,
                    names.ORDER_FLOATS, names.ORDER_COUNTS):  # fmt: skip
        for place, name in enumerate(columns):
            assert getattr(layout, name.upper()) == place, name
    sizes = (layout.ACCOUNT_COLUMNS, layout.COUNTERS, layout.BOOK_COLUMNS, layout.FACT_COLUMNS, layout.AMOUNT_COLUMNS,
             layout.ORDER_COLUMNS)  # fmt: skip
    assert sizes == tuple(map(len, (names.ACCOUNT_FLOATS, names.ACCOUNT_COUNTS, names.BOOK_FLOATS, names.BOOK_COUNTS,
                                    names.ORDER_FLOATS, names.ORDER_COUNTS)))  # fmt: skip


def overnight(tables):
    """The carried tables as the next session meets them: written, read, names as text."""
    files = {}
    for name, table in tables.items():
        table.validate(full=True)
        assert table.schema == CARRIED_TABLES[name]
        sink = io.BytesIO()
        pq.write_table(table, sink)
        files[name] = pq.read_table(io.BytesIO(sink.getvalue()))
    return carried(files)


def by_session(case):
    """(outcome, tables of each session) of a case whose state goes through tables every night."""
    execution, limits = two_engines.settings(case)
    rules = rules_of(execution, limits, symbols=case.names, quality=case.asks_entry)
    outcome, told, carry = two_engines.Outcome([], [], [], []), [], {}
    total = sum(len(day.labels) for day in case.days)
    for clock, market, first in two_engines._parts(case, limits, range(1, len(case.days)), ()):
        count = len(clock.timestamp)
        asked = [row for row in case.requests if first <= row["label"] < first + count]
        is_last = first + count == total
        done = simulate(
            clock, market, two_engines._columns(asked, first), rules=rules,
            state=state_of(carry, case.names, execution.capital), is_last=is_last,
        )  # fmt: skip
        two_engines._read(done, outcome)
        told.append(ledger_tables(done, case.names, is_last=is_last))
        carry = overnight(tables_of(done.state, case.names, fifo=execution.lots == "fifo"))
    return outcome, told


@pytest.mark.parametrize("seeds", SEEDS, ids=str)
def test_a_night_in_tables_changes_nothing(seeds):
    for seed in seeds:
        case = generated(seed)

        assert by_session(case)[0] == two_engines.real(case, session_cuts=range(1, len(case.days))), seed


@pytest.mark.parametrize("seeds", SEEDS[:2], ids=str)
def test_the_tables_hold_what_the_ledger_did(seeds):
    for seed in seeds:
        case = generated(seed)
        outcome, sessions = by_session(case)
        for tables in sessions:
            for name, table in tables.items():
                table.validate(full=True)
                assert table.schema == LEDGER_TABLES[name]
        whole = {name: pa.concat_tables([each[name] for each in sessions]) for name in sessions[0]}

        for column, key in (("quantity", "quantity"), ("price", "price"), ("side", "side"), ("rule", "rule"),
                            ("position_after", "position"), ("cash_after", "cash")):  # fmt: skip
            assert whole["fills"][column].to_pylist() == [fill[key] for fill in outcome.fills], (seed, column)
        for column in ("slippage", "realized_pnl"):
            numbers = whole["fills"][column].to_numpy()
            assert not np.signbit(numbers[numbers == 0.0]).any(), (seed, column)
        assert whole["equity"]["equity"].to_pylist() == [worth for _, worth in outcome.equity]
        reasons = [event["reason"] for event in whole["order_events"].to_pylist() if event["reason"]]
        assert sorted(reasons) == sorted(reason for *_, reason in outcome.ends)
        _check_trades(whole, sessions)


def _check_trades(whole, sessions):
    """Each fill belongs to a trade, every trade's money is its fills', open ones are told by the last session."""
    trades = whole["trades"].to_pylist()
    assert len({trade["trade_id"] for trade in trades}) == len(trades)
    assert {trade["trade_id"] for trade in trades} >= {fill["trade_id"] for fill in whole["fills"].to_pylist()}
    held = {row["trade_id"] for row in sessions[-1]["positions"].to_pylist()}
    assert {trade["trade_id"] for trade in trades if trade["is_open"]} == held
    fees = sum(fill["commission"] for fill in whole["fills"].to_pylist())
    np.testing.assert_allclose(sum(trade["commission"] for trade in trades), fees, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(sum(row["fees"] for row in whole["session_equity"].to_pylist()), fees, atol=1e-9)
    for row in whole["session_equity"].to_pylist():
        assert np.isfinite(list(row.values())).all()
