"""The SQL files, the registered tables and the views over them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.data.run_dir import RunDir
from backtester.results import views as subject
from backtester.schema import CARRIED, SESSION_TABLES

FIRST, SECOND = date(2025, 7, 2), date(2025, 7, 3)
NAMES = sorted(file.name for file in subject.view_files())
OF_THE_RUN = {"runs", "settings", "execution_settings"}


def connected(run: RunDir) -> duckdb.DuckDBPyConnection:
    """A locked connection with every view of the run."""
    connection = subject.connect(subject.Resources(memory_bytes=1 << 30, threads=2))
    files, tables = subject.needed()
    subject.attach(connection, subject.stored_tables(run, subject.records(run), tables), files)
    subject.lock(connection)
    return connection


@pytest.fixture
def asked(small_run: RunDir) -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    """Ask the small run; rows as dictionaries."""
    with connected(small_run) as connection:
        yield lambda sql: connection.sql(sql).to_arrow_table().to_pylist()


@given(st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1))
def test_any_quoted_name_is_one_identifier_of_that_name(name: str) -> None:
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"create table {subject.quoted(name)} (i integer)")

        assert connection.execute("select table_name from duckdb_tables()").fetchall() == [(name,)]


def test_a_name_with_nul_cannot_be_quoted() -> None:
    with pytest.raises(ValueError, match="NUL"):
        subject.quoted("a\0b")


@pytest.mark.parametrize("name", NAMES)
def test_every_view_answers_with_a_run_id(name: str, asked: Any) -> None:
    rows = asked(f"from {name}")

    assert rows
    assert all(row["run_id"] == "run-0123abcd" for row in rows)


@pytest.mark.parametrize("name", NAMES)
def test_every_view_is_empty_without_a_session(name: str, small_tables: Any, build_run: Callable[..., RunDir]) -> None:
    with connected(build_run({}, finished=False)) as connection:
        rows = connection.sql(f"from {name}").to_arrow_table().num_rows

    assert (rows > 0) == (name in OF_THE_RUN)


@pytest.mark.parametrize("table", [name for name in SESSION_TABLES if name not in CARRIED])
def test_a_view_holds_what_its_table_holds(table: str, asked: Any, small_tables: Any) -> None:
    name = {"trailing": "trailing_sessions"}.get(table, table)
    columns = small_tables[SECOND][table].column_names

    rows = asked(f"select {', '.join(columns)} from {name} where session = date '2025-07-03'")

    assert sorted(map(str, rows)) == sorted(map(str, small_tables[SECOND][table].to_pylist()))


def test_a_table_nobody_wrote_is_an_empty_table(small_tables: Any, build_run: Callable[..., RunDir]) -> None:
    for tables in small_tables.values():
        for name in ("running", "failures"):
            tables[name] = tables[name].slice(0, 0)

    with connected(build_run(small_tables)) as connection:
        counts = {name: connection.sql(f"from {name}").count("*").fetchall()[0][0] for name in NAMES}

    assert {name for name, count in counts.items() if count == 0} == {"running", "failures", "timeline"}


def test_only_committed_files_count(small_tables: Any, build_run: Callable[..., RunDir]) -> None:
    run = build_run(small_tables)
    stray = run.table_path("gaps", "2025-07-04")
    stray.parent.mkdir()
    stray.write_bytes(run.table_path("gaps", "2025-07-03").read_bytes())
    (stray.parent.parent / "session=2025-07-03" / "part-1.parquet").write_bytes(stray.read_bytes())

    with connected(run) as connection:
        assert connection.sql("from gaps").count("*").fetchall() == [(8,)]


def test_quality_weighs_every_expected_bar_alike(asked: Any) -> None:
    assert asked("select symbol, bars, missing_bars, quality_pct, worst_session from quality order by symbol") == [
        {"symbol": "AAA", "bars": 60, "missing_bars": 0, "quality_pct": 100.0, "worst_session": FIRST},
        {"symbol": "BBB", "bars": 48, "missing_bars": 12, "quality_pct": 80.0, "worst_session": FIRST},
        {"symbol": "CCC", "bars": 0, "missing_bars": 60, "quality_pct": 0.0, "worst_session": FIRST},
    ]


def test_sessions_sum_over_their_symbols(asked: Any) -> None:
    row = asked("from sessions where session = date '2025-07-03'")[0]

    assert row["session_open"] == datetime(2025, 7, 3, 13, 30, tzinfo=UTC)
    assert (row["session_bars"], row["symbols"], row["complete_symbols"], row["silent_symbols"]) == (30, 3, 1, 1)
    assert (row["bars"], row["expected_bars"], row["missing_bars"], row["quality_pct"]) == (54, 90, 36, 60.0)


def test_gap_profile_adds_up_to_the_missing_bars_minute_by_minute(asked: Any) -> None:
    profile = {(row["session_minute"], row["kind"]): row["missing_bars"] for row in asked("from gap_profile")}

    assert sum(profile.values()) == 72
    assert profile[0, "opening"] == 4  # BBB and CCC, both sessions
    assert profile[2, "opening"] == 2  # CCC
    assert profile[13, "inside"] == profile[29, "closing"] == 2  # BBB
    assert len(profile) == 30 + 3 + 1


def test_timeline_knows_what_was_missing_when(asked: Any) -> None:
    rows = asked("from timeline where symbol = 'BBB' and session = date '2025-07-03' order by timestamp")

    assert [row["expected_bars"] for row in rows] == [i + 1 for i in range(30) if i not in {0, 1, 12, 13, 14, 29}]
    assert [row["missing_bars"] for row in rows] == [2] * 10 + [5] * 14
    assert rows[0]["quality_pct"] == 100.0 / 3.0
    assert rows[0]["known_at"] == datetime(2025, 7, 3, 13, 33, tzinfo=UTC)


def test_running_vwap_is_null_where_the_table_holds_nan(small_tables: Any, build_run: Any, edit: Any) -> None:
    small_tables[SECOND]["running"] = edit(
        small_tables[SECOND]["running"], {"symbol": "AAA"}, running_vwap=float("nan"), running_volume=0.0
    )

    with connected(build_run(small_tables)) as connection:
        rows = connection.execute("select running_volume from running where running_vwap is null").fetchall()

    assert rows == [(0.0,)]


def test_runs_is_one_row_before_and_after_the_end(small_tables: Any, build_run: Callable[..., RunDir]) -> None:
    run = build_run(small_tables)
    with connected(run) as connection:
        after = connection.sql("from runs").to_arrow_table().to_pylist()
    run.manifest_path.unlink()
    with connected(run) as connection:
        before = connection.sql("from runs").to_arrow_table().to_pylist()

    unknown = {"is_finished": False, "symbols": None, "code": None, "versions": None}
    assert before == [after[0] | unknown]
    assert after[0]["interval"] == "1m"
    assert (after[0]["start"], after[0]["sessions"], after[0]["bars"]) == (FIRST, 2, 108)
    assert json.loads(after[0]["versions"]) == {"python": "3.11"}


def test_only_what_a_view_builds_on_is_needed() -> None:
    files, tables = subject.needed({"timeline", "nonsense"})

    assert [file.name for file in files][-1] == "timeline"
    assert {file.name for file in files} == {"timeline", "gaps", "running", "runs", "session_summary"}
    assert tables == {"stored_gaps", "stored_running", "stored_session_summary"}


def test_the_connection_is_locked(small_run: RunDir) -> None:
    with connected(small_run) as connection:
        for statement in ("set threads = 1", "set enable_external_access = true", "from read_text('/etc/hostname')"):
            with pytest.raises(duckdb.Error):
                connection.execute(statement).fetchall()


def test_the_listing_names_every_view_with_its_grain_and_columns(small_run: RunDir) -> None:
    described = {view["view"]: view for view in subject.described(small_run)}

    assert list(described) == NAMES
    assert described["gaps"]["grain"].startswith("one row per session, symbol and run of missing bars")
    assert [column["name"] for column in described["gaps"]["columns"]][:2] == ["session", "symbol"]
    assert {column["name"]: column["type"] for column in described["gaps"]["columns"]}["session"] == "date"
