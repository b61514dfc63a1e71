"""The metrics in SQL: the same values as in Python, from tables registered under the names of their views."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.results import views
from backtester.results.facts import Terms
from backtester.results.formulas import DEFAULTS
from backtester.results.metrics import compute
from tests import curves
from tests.results.test_metrics import EDGES, VALUES, close_to

OWN = [metric.id for metric in DEFAULTS]
TERMS = Terms(curves.CAPITAL, 252.0, risk_free_frac=0.01)
AGREE = next(file for file in views.sql_files("checks") if file.name == "metrics_agree")
FILES = {file.name: file for file in (*views.sql_files("metrics"), AGREE)}


def in_order() -> list[views.SqlFile]:
    """The files, each after those it reads."""
    ordered: dict[str, views.SqlFile] = {}

    def visit(name: str) -> None:
        if name in FILES and name not in ordered:
            for read in sorted(views.read_by(FILES[name].text) - {name}):
                visit(read)
            ordered[name] = FILES[name]

    for name in FILES:
        visit(name)
    return list(ordered.values())


@pytest.fixture(scope="module")
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection with every view of sql/metrics over empty tables, to be replaced."""
    with views.connect(views.Resources(memory_bytes=1 << 30, threads=2)) as opened:
        register(opened, {}, TERMS, None)
        for file in in_order():
            opened.execute(f"create view {file.name} as {file.text}")
        yield opened


def register(
    connection: duckdb.DuckDBPyConnection, rows: dict[str, Any], terms: Terms, benchmark: list[float | None] | None
) -> dict[str, dict[str, Any]]:
    """Put a run's tables and its metrics under their names; the metrics by id."""
    tables = curves.as_tables(rows)
    market = None if benchmark is None else np.array(benchmark, dtype=np.float64)
    metrics = compute(tables, terms, benchmark=market, ids=OWN)
    session = tables["session_equity"]["session"]
    known = pa.nulls(len(session), pa.float64()) if benchmark is None else pa.array(benchmark, pa.float64())
    tables |= {"metrics": metrics, "benchmark": pa.table({"session": session, "return_frac": known})}
    for name, table in tables.items():
        connection.register(name, table.append_column("run_id", pa.array(["run"] * len(table), pa.string())))
    return {row["id"]: row for row in metrics.to_pylist()}


def answers(connection: duckdb.DuckDBPyConnection) -> dict[str, dict[str, Any]]:
    """What SQL computes, by id."""
    found = connection.sql("from computed_metrics").to_arrow_table().to_pylist()
    assert len(found) == len({row["id"] for row in found})
    assert {row["run_id"] for row in found} == {"run"}
    return {row["id"]: row for row in found}


def differences(connection: duckdb.DuckDBPyConnection, written: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Metrics of which Python and SQL do not say the same."""
    computed = answers(connection)
    assert list(written) == OWN
    assert set(computed) == set(OWN)
    pairs = {name: (row, computed[name]) for name, row in written.items()}
    return {
        name: (own["value"], other["value"], own["note"])
        for name, (own, other) in pairs.items()
        if not close_to(own["value"], other["value"], own["unit"]) or own["moment"] != other["moment"]
    }


@pytest.mark.parametrize("seed", range(6))
def test_sql_equals_python_to_twelve_digits(connection: duckdb.DuckDBPyConnection, seed: int) -> None:
    sessions = 20 + 40 * seed
    rows, benchmark = curves.result_rows(sessions, seed), curves.benchmark_returns(sessions, seed)

    written = register(connection, rows, TERMS, list(benchmark))

    computed = answers(connection)
    numbers = {name: row["value"] for name, row in written.items() if row["value"] is not None}
    assert len(numbers) > 45
    assert {name: computed[name]["value"] for name in numbers} == {
        name: pytest.approx(value, rel=1e-12, abs=0.0) for name, value in numbers.items()
    }
    assert differences(connection, written) == {}


@given(curves.any_rows(), st.booleans(), st.data())
def test_sql_equals_python_on_any_run(
    connection: duckdb.DuckDBPyConnection, rows: dict[str, Any], has_benchmark: bool, data: st.DataObject
) -> None:
    size = len(rows["session_equity"])
    market = st.integers(-300, 300).map(lambda step: step / 10_000.0) | st.none()
    benchmark = data.draw(st.lists(market, min_size=size, max_size=size)) if has_benchmark else None

    written = register(connection, rows, TERMS, benchmark)

    assert differences(connection, written) == {}
    assert connection.sql("from metrics_agree").fetchall() == []


@pytest.mark.parametrize(("rows", "name", "expected"), [*EDGES, *VALUES])
def test_sql_has_no_value_where_python_has_none(
    connection: duckdb.DuckDBPyConnection, rows: dict[str, Any], name: str, expected: object
) -> None:
    written = register(connection, rows, TERMS, None)

    assert differences(connection, written) == {}


def test_the_check_finds_a_metric_that_was_changed(connection: duckdb.DuckDBPyConnection) -> None:
    register(connection, curves.result_rows(10, 1), TERMS, None)
    changed = connection.sql(
        "select * replace (case when id in ('sharpe', 'pnl') then value * (1.0 + 1e-11) "
        "when id = 'win_rate' then null else value end as value, "
        "case when id = 'max_drawdown_trough' then moment + interval 1 day else moment end as moment) from metrics"
    ).to_arrow_table()
    connection.register("metrics", changed)

    found = connection.sql("select id from metrics_agree order by id").fetchall()

    assert found == [("max_drawdown_trough",), ("pnl",), ("sharpe",), ("win_rate",)]
