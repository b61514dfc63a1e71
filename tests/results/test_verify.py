"""Proving a run: each check passes on a sound run and catches the one thing planted against it."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from backtester.cli.verify import command
from backtester.data.run_dir import RunDir
from backtester.errors import VerificationError
from backtester.results import verify as subject
from backtester.results.views import sql_files
from backtester.schema import SESSION_TABLES
from tests.results import damage as of_the_ledger
from tests.results.conftest import CONFIG as SMALL_CONFIG

DAY = date(2025, 7, 3)
CHECKS = [file.name for file in sql_files("checks")]
CONFIG = tomllib.loads(SMALL_CONFIG)
Edit = tuple[str, dict[str, Any], dict[str, Any]]


def at(clock: str) -> datetime:
    """An instant of the second session, UTC."""
    return datetime.fromisoformat(f"{DAY}T{clock}").replace(tzinfo=UTC)


def bar(interval: str, clock: str, symbol: str = "AAA") -> dict[str, Any]:
    """Where a derived bar is."""
    return {"interval": interval, "timestamp": at(clock), "symbol": symbol}


def running(clock: str) -> dict[str, Any]:
    """Where a running row of AAA is."""
    return {"timestamp": at(clock), "symbol": "AAA"}


A, B, C, D = ({"symbol": name} for name in ("AAA", "BBB", "CCC", "DDD"))
INSIDE = B | {"kind": "inside"}

# check -> ways to break it: an edit (table, which row, new values), and the checks that must then fire beside it.
PLANTED: list[tuple[str, list[Edit], set[str]]] = [
    ("derived_volume", [("derived_bars", bar("5m", "13:30"), {"volume": 5501.0})], set()),
    ("derived_volume", [("derived_bars", bar("20m", "13:30", "BBB"), {"volume": 2300.0})], set()),
    ("derived_prices", [("derived_bars", bar("20m", "13:50"), {"close": 104.69})], set()),
    ("derived_prices", [("derived_bars", bar("20m", "13:30"), {"open": 103.01})], set()),
    ("derived_counts", [("derived_bars", bar("5m", "13:30"), {"bars": 4})], {"derived_nested"}),
    ("derived_generated", [("streams", A | {"interval": "20m"}, {"interval": "30m"})], set()),
    ("derived_expected", [("derived_bars", bar("5m", "13:30"), {"expected_bars": 4})], {"derived_window"}),
    ("derived_ohlc", [("derived_bars", bar("5m", "13:30"), {"high": 102.9})], set()),
    ("derived_ohlc", [("derived_bars", bar("5m", "13:35"), {"close": math.nan})], set()),
    (
        "derived_labels",
        [("derived_bars", bar("20m", "13:30"), {"timestamp": at("13:10"), "known_at": at("13:30")})],
        set(),
    ),
    (
        "derived_unique",
        [("derived_bars", bar("5m", "13:40"), {"timestamp": at("13:35"), "known_at": at("13:40")})],
        set(),
    ),
    (
        "derived_apart",
        [("derived_bars", bar("5m", "13:35"), {"timestamp": at("13:34"), "known_at": at("13:39")})],
        set(),
    ),
    ("derived_known_at", [("derived_bars", bar("20m", "13:50"), {"is_partial": False})], set()),
    ("derived_known_at", [("derived_bars", bar("5m", "13:30"), {"known_at": at("13:29")})], {"derived_window"}),
    ("derived_window", [("derived_bars", bar("20m", "13:50"), {"expected_bars": 11})], set()),
    ("derived_nested", [("derived_bars", bar("5m", "13:45"), {"high": 104.69})], set()),
    ("running_bars", [("running", running("13:36"), {"running_bars": 8})], set()),
    ("running_monotone", [("running", running("13:36"), {"running_volume": 3000.0})], set()),
    ("running_monotone", [("running", running("13:36"), {"running_high": 103.9})], set()),
    ("running_monotone", [("running", running("13:36"), {"running_low": 102.6})], set()),
    ("running_values", [("running", running("13:36"), {"running_vwap": 105.3})], set()),
    ("running_values", [("running", running("13:36"), {"running_vwap": math.nan})], set()),
    ("running_end", [("running", running("13:59"), {"running_vwap": 104.0})], set()),
    ("running_hours", [("running", running("13:30"), {"timestamp": at("13:29")})], set()),
    ("summary_counts", [("session_summary", C, {"expected_bars": 31})], set()),
    ("summary_counts", [("session_summary", A, {"pre_bars": -1})], set()),
    ("summary_quality", [("session_summary", A, {"quality_pct": 99.9})], set()),
    ("summary_ohlc", [("session_summary", A, {"post_volume": -1.0})], set()),
    ("summary_ohlc", [("session_summary", A, {"close": 105.3})], {"derived_prices"}),
    ("summary_nulls", [("session_summary", C, {"open": 1.0})], set()),
    ("summary_nulls", [("session_summary", B, {"last_bar": None})], {"running_end"}),
    ("summary_vwap", [("session_summary", A, {"vwap": 105.3})], {"running_end"}),
    ("summary_hours", [("session_summary", C, {"session_close": at("14:01")})], set()),
    ("summary_hours", [("session_summary", B, {"first_bar": at("14:02")})], set()),
    ("summary_gaps", [("session_summary", A, {"longest_gap_bars": 1})], set()),
    ("summary_gaps", [("gaps", INSIDE, {"missing_bars": 2})], {"gaps_inside"}),
    ("gaps_inside", [("gaps", INSIDE, {"last_missing": at("13:45")})], set()),
    ("gaps_inside", [("gaps", C, {"first_missing": at("13:29"), "kind": "inside"})], {"gaps_kind"}),
    ("gaps_apart", [("gaps", INSIDE, {"first_missing": at("13:32"), "last_missing": at("13:34")})], set()),
    ("gaps_kind", [("gaps", C, {"kind": "closing"})], set()),
    ("gaps_edges", [("session_summary", B, {"first_bar": at("13:31")})], set()),
    ("streams_unique", [("streams", D | {"interval": "5m"}, {"interval": "1m"})], set()),
    ("streams_values", [("streams", D, {"reason": None})], set()),
    ("streams_values", [("streams", A, {"reason": "why"})], set()),
    ("streams_symbols", [("streams", D, {"symbol": "E", "stream": "STREAMED", "source": "1m", "reason": None})], set()),
    ("selections_values", [("selections", A, {"action": "hoped"})], set()),
    ("selections_values", [("selections", A, {"symbol": "ZZZ"})], set()),
    ("selections_values", [("selections", A, {"known_at": at("14:00")})], set()),
    ("trailing_before", [("trailing", A, {"trailing_session": DAY})], set()),
    ("trailing_quality", [("trailing", A, {"quality_pct": 50.0})], set()),
    ("trailing_agrees", [("trailing", A, {"bars": 27, "quality_pct": 90.0})], set()),
    ("indicators_known", [("indicators", running("13:59"), {"known_at": at("14:01")})], set()),
    ("indicators_known", [("indicators", running("13:36"), {"known_at": at("13:36")})], set()),
    ("historical_before", [("historical_indicators", A, {"last_session": DAY})], set()),
    ("historical_before", [("historical_indicators", C, {"first_session": None})], set()),
    ("historical_counts", [("historical_indicators", C, {"used": 2})], set()),
    ("historical_counts", [("historical_indicators", C, {"value": 1.0})], set()),
    ("historical_counts", [("historical_indicators", B, {"sessions_with_gaps": 2})], set()),
    ("historical_agrees", [("historical_indicators", A, {"value": 51750.5})], set()),
    ("historical_profile", [("historical_profiles", running("13:36"), {"value": -1.0})], set()),
    ("historical_profile", [("historical_profiles", running("13:36"), {"session_minute": 7})], set()),
    ("failures_absent", [("failures", D, {"symbol": "AAA"})], set()),
]

# The same for rows too many.
APPENDED: list[tuple[str, Edit, set[str]]] = [
    ("summary_unique", ("session_summary", C, {}), set()),
    ("trailing_unique", ("trailing", A, {}), set()),
    ("historical_unique", ("historical_indicators", C, {}), set()),
    ("historical_unique", ("historical_profiles", C, {}), set()),
    ("failures_absent", ("failures", D, {}), set()),
    ("results_known", ("gaps", C, {"symbol": "E"}), {"summary_gaps"}),
    ("results_known", ("running", A, {"symbol": "E"}), {"running_end"}),
    ("derived_generated", ("derived_bars", A, {"symbol": "E"}), {"results_known"}),
]


def failed(report: subject.Report) -> set[str]:
    """The checks in sql/ that fired; a row out of place or repeated also breaks its file's order, which is no SQL."""
    assert report.damage == []
    return {check.name for check in report.checks if check.violations} - {"file_order"}


def test_a_sound_run_is_verified(small_run: RunDir) -> None:
    report = subject.verify(small_run)

    assert report.ok
    assert (report.sessions, report.files, report.damage) == (2, 37, [])
    assert [check.name for check in report.checks] == ["file_order", *CHECKS]


@pytest.mark.parametrize(("check", "edits", "also"), PLANTED, ids=lambda value: value if isinstance(value, str) else "")
def test_a_check_catches_what_is_planted(
    check: str, edits: list[Edit], also: set[str], small_tables: Any, build_run: Callable[..., RunDir], edit: Any
) -> None:
    for table, where, values in edits:
        small_tables[DAY][table] = edit(small_tables[DAY][table], where, **values)

    report = subject.verify(build_run(small_tables))

    assert failed(report) == {check} | also
    found = next(found for found in report.checks if found.name == check)
    assert found.rows[0]["session"] == DAY
    assert found.violations >= len(found.rows) > 0


@pytest.mark.parametrize(
    ("check", "added", "also"), APPENDED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_check_catches_a_row_too_many(
    check: str, added: Edit, also: set[str], small_tables: Any, build_run: Callable[..., RunDir], append: Any
) -> None:
    table, where, values = added
    small_tables[DAY][table] = append(small_tables[DAY][table], where, **values)

    assert failed(subject.verify(build_run(small_tables))) == {check} | also


def test_every_check_is_proved_to_catch_something() -> None:
    proved = {check for check, _, _ in PLANTED} | {check for check, _, _ in APPENDED}
    proved |= {planted.check for planted in of_the_ledger.PLANTED} | {"metrics_agree"}

    assert proved == set(CHECKS)


def test_every_session_is_checked_however_they_are_batched(
    small_tables: Any, build_run: Callable[..., RunDir], edit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for session in small_tables:
        summary = small_tables[session]["session_summary"]
        small_tables[session]["session_summary"] = edit(summary, A, quality_pct=1.0)
    run = build_run(small_tables)
    whole = subject.verify(run)
    monkeypatch.setattr(subject, "BATCH_ROWS", 1)

    assert [(c.name, c.violations) for c in subject.verify(run).checks] == [
        (c.name, c.violations) for c in whole.checks
    ]
    assert next(check for check in whole.checks if check.name == "summary_quality").violations == 2


def test_all_violations_are_counted_and_the_first_are_shown(
    small_tables: Any, build_run: Callable[..., RunDir], edit: Any
) -> None:
    for minute in range(30, 40):
        small_tables[DAY]["running"] = edit(
            small_tables[DAY]["running"], running(f"13:{minute}"), running_vwap=math.inf
        )

    found = next(c for c in subject.verify(build_run(small_tables)).checks if c.name == "running_values")

    assert (found.violations, len(found.rows)) == (10, subject.SHOWN)


def test_a_fractional_volume_may_differ_in_its_last_bits_and_a_whole_one_may_not(
    small_tables: Any, build_run: Callable[..., RunDir], edit: Any
) -> None:
    derived = small_tables[DAY]["derived_bars"]
    where = bar("20m", "13:30", "BBB")
    volume = next(row["volume"] for row in derived.to_pylist() if all(row[key] == where[key] for key in where))
    small_tables[DAY]["derived_bars"] = edit(derived, where, volume=math.nextafter(volume + 0.1, 0.0))
    summary = small_tables[DAY]["session_summary"]
    session_volume = summary.filter(pa.compute.equal(summary["symbol"].cast(pa.string()), "BBB"))["volume"][0].as_py()
    small_tables[DAY]["session_summary"] = edit(summary, B, volume=math.nextafter(session_volume + 0.1, math.inf))
    small_tables[DAY]["running"] = small_tables[DAY]["running"].slice(0, 0)

    report = subject.verify(build_run(small_tables))

    assert "derived_volume" in failed(report)  # the 5m bars lack the 0.1
    found = next(check for check in report.checks if check.name == "derived_volume")
    assert {row["interval"] for row in found.rows} == {"5m"}


def test_a_run_without_running_and_without_gaps_is_verified(
    small_tables: Any, build_run: Callable[..., RunDir]
) -> None:
    for tables in small_tables.values():
        for name in ("running", "failures"):
            tables[name] = tables[name].slice(0, 0)

    assert subject.verify(build_run(small_tables)).ok


def test_unsorted_rows_break_the_file_order(small_tables: Any, build_run: Callable[..., RunDir]) -> None:
    gaps = small_tables[DAY]["gaps"]
    small_tables[DAY]["gaps"] = gaps.take([0, 2, 1, 3])

    report = subject.verify(build_run(small_tables))

    assert report.checks[0].rows == [{"session": DAY, "table": "gaps", "row": 2}]


def test_verify_prints_each_check_and_ends_with_8_on_a_violation(
    small_run: RunDir, small_tables: Any, build_run: Callable[..., RunDir], edit: Any
) -> None:
    sound = CliRunner().invoke(command, [str(small_run.root)])

    assert sound.exit_code == 0
    assert sound.stdout.count("ok  ") == len(CHECKS) + 2
    assert sound.stdout.endswith(f"verified: 2 sessions, 37 files, 0 of {len(CHECKS) + 1} checks failed\n")

    small_tables[DAY]["session_summary"] = edit(small_tables[DAY]["session_summary"], A, quality_pct=1.0)
    broken = CliRunner().invoke(command, [str(build_run(small_tables).root)])

    assert isinstance(broken.exception, VerificationError)
    assert broken.exception.exit_code == 8
    assert "failed checks: summary_quality" in str(broken.exception)
    assert "FAIL  quality_pct is 100 x bars / expected bars.  [summary_quality]" in broken.stdout
    assert "2025-07-03  AAA     1.0" in broken.stdout


def test_verify_as_json(small_run: RunDir) -> None:
    found = json.loads(CliRunner().invoke(command, [str(small_run.root), "--json"]).stdout)

    assert list(found) == ["ok", "sessions", "files", "digests", "checks"]
    assert found["ok"] is True
    assert found["digests"] == {"ok": True, "damage": []}
    assert found["checks"][1] == {
        "name": CHECKS[0],
        "claim": sql_files("checks")[0].claim,
        "violations": 0,
        "rows": [],
    }


def test_a_session_is_checked_before_it_is_committed(small_tables: Any, edit: Any) -> None:
    tables = small_tables[DAY]

    assert subject.session_violations(tables, DAY, interval="1m", hours="regular", config=CONFIG) == []

    del tables["running"]
    tables["session_summary"] = edit(tables["session_summary"], A, quality_pct=1.0)
    found = subject.session_violations(tables, DAY, interval="1m", hours="regular", config=CONFIG)

    assert len(found) == 1
    assert found[0].startswith("summary_quality: 1 rows against: quality_pct is 100 x bars / expected bars. First: {")


@given(st.lists(st.tuples(st.integers(-3, 3), st.sampled_from(["5m", "60m", "390m"]), st.sampled_from("abcB"))))
def test_first_unsorted_agrees_with_comparing_neighbours(rows: list[tuple[int, str, str]]) -> None:
    code = pa.dictionary(pa.int32(), pa.string())
    keys = pa.table(
        {
            "timestamp": pa.array([row[0] for row in rows], pa.timestamp("us", "UTC")),
            "interval": pa.array([row[1] for row in rows], pa.string()).dictionary_encode().cast(code),
            "symbol": pa.array([row[2] for row in rows], pa.string()).dictionary_encode().cast(code),
        }
    )
    ordered = [(time, int(interval[:-1]), symbol) for time, interval, symbol in rows]
    slow = next((i for i in range(1, len(ordered)) if not ordered[i] > ordered[i - 1]), None)

    assert subject.first_unsorted(keys) == slow


def test_every_sorted_table_has_its_keys() -> None:
    for table, keys in subject.SORT_KEYS.items():
        assert set(keys) <= set(SESSION_TABLES[table].names)


def test_no_run_is_a_usage_error(tmp_path: Path) -> None:
    assert CliRunner().invoke(command, [str(tmp_path)]).exception is not None
