"""The checks of the ledger's tables: silent on sound ones, and each catches what is planted against it."""

from __future__ import annotations

import tomllib
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtester.results import verify as subject
from backtester.results import views
from tests.results import conftest
from tests.results.damage import PLANTED, Damage

LEDGER = ("equity_", "cash_", "fills_", "positions_", "session_totals", "orders_", "events_", "trades_", "signals_")
FILES = [file for file in views.sql_files("checks") if file.name.startswith(LEDGER)]


def damaged(tables: dict[Any, dict[str, pa.Table]], planted: Damage) -> dict[str, Any]:
    """Plant it in the tables of both sessions; the settings with it in."""
    change = conftest.appended if planted.added else conftest.edited
    of_session = tables[planted.session]
    of_session[planted.table] = change(of_session[planted.table], planted.where, **planted.values)
    settings = tomllib.loads(conftest.CONFIG)
    for section, values in planted.settings.items():
        settings.setdefault(section, {}).update(values)
    return settings


def fired(tables: dict[Any, dict[str, pa.Table]], settings: dict[str, Any]) -> set[str]:
    """The checks of the ledger that find something in the tables of both sessions."""
    parts = [subject.uncommitted(tables[day], day, interval="1m", hours="regular") for day in tables]
    stored: dict[str, Any] = {name: pa.concat_tables([part[name] for part in parts]) for name in parts[0]}
    stored |= {"stored_settings": views.settings_table(settings, ""), "stored_runs": parts[0]["stored_runs"]}
    files, _ = views.needed(set().union(*(views.read_by(file.text) for file in FILES)))
    with views.connect(views.Resources(memory_bytes=1 << 30, threads=1)) as connection:
        views.attach(connection, stored, files)
        return {file.name for file in FILES if connection.sql(file.text).to_arrow_table().num_rows}


def test_no_check_finds_anything_in_sound_tables(small_tables: Any) -> None:
    assert fired(small_tables, tomllib.loads(conftest.CONFIG)) == set()


@pytest.mark.parametrize("planted", PLANTED, ids=lambda planted: f"{planted.check}-{planted.table}")
def test_a_check_catches_what_is_planted(planted: Damage, small_tables: Any) -> None:
    settings = damaged(small_tables, planted)

    assert fired(small_tables, settings) == {planted.check} | planted.others


def test_every_check_is_proved_to_catch_something() -> None:
    assert {planted.check for planted in PLANTED} == {file.name for file in FILES}


def test_metrics_that_the_tables_do_not_give_are_caught(small_tables: Any, build_run: Any) -> None:
    run = build_run(small_tables)
    wrong = conftest.edited(pq.read_table(run.run_table_path("metrics")), {"id": "pnl"}, value=1.0)
    manifest = run.manifest()
    manifest["run_tables"] = {"metrics": run.write_run_table("metrics", len(wrong), conftest.parquet(wrong))}
    del manifest["seal"]
    run.finish(manifest)

    report = subject.verify(run)

    assert {check.name for check in report.checks if check.violations} == {"metrics_agree"}


def test_a_damaged_table_of_the_run_is_named(small_tables: Any, build_run: Any) -> None:
    run = build_run(small_tables)
    path = run.run_table_path("metrics")
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)

    assert [text.partition(": ")[0] for text in subject.verify(run).damage] == ["metrics"]
    path.unlink()
    assert any("metrics" in text and "missing" in text for text in subject.verify(run).damage)
