"""Damaged runs: whatever happened to a file, it is named as an error of ours, and no damaged run is verified."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from backtester.cli.verify import command
from backtester.data.durable import sealed_json
from backtester.data.run_dir import RunDir
from backtester.errors import StoreError, UsageError, VerificationError
from backtester.results import verify as subject
from backtester.results import views
from backtester.results.query import ask

DAY = date(2025, 7, 3)
# What a JSON file may hold instead of what was written; lists nested that deeply end Python's own parser.
OTHER_JSON = [b"", b"null", b"3", b'"x"', b"[]", b"{}", b"{", b'{"format": 1}', b"[" * 20_000, b"\xff\xfe"]
KINDS = ["MANIFEST.json", "config.toml", "sessions/2025-07-03.json", "tables/gaps/session=2025-07-03/part-0.parquet"]


def reseal(path: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change a sealed file and seal it again, as someone would who means harm."""
    value = json.loads(path.read_text())
    change(value)
    path.write_bytes(sealed_json({key: each for key, each in value.items() if key != "seal"}))


def damaged(content: bytes, *, count: int, seed: int) -> list[bytes]:
    """The content cut short, and with one bit flipped, at random places."""
    random = np.random.default_rng(seed)
    cut = [content[: int(at)] for at in random.integers(0, len(content), count)]
    flipped = []
    for at, bit in zip(random.integers(0, len(content), count), random.integers(0, 8, count), strict=True):
        changed = bytearray(content)
        changed[at] ^= 1 << int(bit)
        flipped.append(bytes(changed))
    return [*cut, *flipped]


def outcome(root: Path) -> BaseException | None:
    """What the command line makes of verifying a run."""
    return CliRunner().invoke(command, [str(root)], standalone_mode=False).exception


@pytest.mark.parametrize("kind", KINDS)
def test_no_damaged_file_is_verified_and_none_is_a_crash(kind: str, small_run: RunDir, tmp_path: Path) -> None:
    root = shutil.copytree(small_run.root, tmp_path / small_run.root.name)
    path = root / kind
    content = path.read_bytes()
    others = [] if kind.endswith(".parquet") else OTHER_JSON
    assert outcome(root) is None

    for changed in [*others, *damaged(content, count=12, seed=len(kind))]:
        path.write_bytes(changed)
        error = outcome(root)
        assert isinstance(error, VerificationError), (changed[:80], error)
        with contextlib.suppress(StoreError):
            views.stored_tables(RunDir(root), views.records(RunDir(root)), {"stored_gaps"})
    path.unlink()
    # Without its config a directory is no run at all.
    assert isinstance(outcome(root), UsageError if kind == "config.toml" else VerificationError)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "config.toml"])
def test_a_question_to_a_damaged_run_is_answered_or_refused_in_words(
    kind: str, small_run: RunDir, tmp_path: Path
) -> None:
    root = shutil.copytree(small_run.root, tmp_path / small_run.root.name)
    content = (root / kind).read_bytes()
    for changed in damaged(content, count=3, seed=7):
        (root / kind).write_bytes(changed)
        try:
            answer = ask(root, "from gaps")
        except StoreError:
            continue
        assert answer.num_rows <= 8


WRONG_VALUES: list[tuple[str, list[object]]] = [
    ("sessions", [None, [], "x", {"2025-07-02": 3}, {"../x": "0" * 64}, {"20250702": "0" * 64}]),
    ("tables", [None, [], {"gaps": "4"}, {"gaps": True}]),
    ("bars", [None, "108", 1.5, True]),
    ("format", [None, 2, "1"]),
    ("versions", [None, "x", {"numpy": 2}]),
    ("config", [None, "0" * 64]),
]


@pytest.mark.parametrize(("key", "values"), WRONG_VALUES, ids=[key for key, _ in WRONG_VALUES])
def test_a_forged_manifest_of_wrong_values_is_damage(
    key: str, values: list[object], small_tables: Any, build_run: Callable[..., RunDir]
) -> None:
    run = build_run(small_tables)
    content = run.manifest_path.read_bytes()
    for value in values:
        reseal(run.manifest_path, lambda manifest, value=value: manifest.update({key: value}))

        assert isinstance(outcome(run.root), VerificationError), value
        run.manifest_path.write_bytes(content)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("path", "../../secret.parquet"),
        ("path", "/etc/passwd"),
        ("path", None),
        ("path", "tables/gaps/session=2025-07-02/part-0.parquet"),
        ("rows", "many"),
        ("rows", -1),
        ("rows", True),
        ("sha256", None),
    ],
)
def test_a_record_cannot_point_out_of_its_tables(
    key: str, value: object, small_tables: Any, build_run: Callable[..., RunDir]
) -> None:
    run = build_run(small_tables, finished=False)
    reseal(run.record_path("2025-07-03"), lambda record: record["tables"]["gaps"].update({key: value}))

    with pytest.raises(StoreError, match=r"2025-07-03\.json"):
        views.records(run)
    with pytest.raises(StoreError, match=r"2025-07-03\.json"):
        run.files("gaps")


@pytest.mark.parametrize(
    ("key", "value"),
    [("tables", []), ("tables", {"gaps": 3}), ("tables", {"nothing": {}}), ("bars", "1"), ("session", "2025-07-02")],
)
def test_a_forged_record_of_wrong_values_is_refused(
    key: str, value: object, small_tables: Any, build_run: Callable[..., RunDir]
) -> None:
    run = build_run(small_tables, finished=False)
    reseal(run.record_path("2025-07-03"), lambda record: record.update({key: value}))

    with pytest.raises(StoreError, match=r"2025-07-03\.json"):
        run.record("2025-07-03")


def test_a_link_out_of_the_run_is_refused(small_tables: Any, build_run: Callable[..., RunDir], tmp_path: Path) -> None:
    run = build_run(small_tables)
    path = run.table_path("gaps", "2025-07-03")
    elsewhere = tmp_path / "elsewhere.parquet"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)

    with pytest.raises(StoreError, match="link out of its run"):
        run.files("gaps")
    with pytest.raises(StoreError, match="link out of its run"):
        views.stored_tables(run, views.records(run), {"stored_gaps"})
    assert any("link out of its run" in text for text in subject.verify(run).damage)


@pytest.mark.parametrize("name", ["session", "20250703", "2025-07-03 ", "2025-W27-4"])
def test_a_session_that_is_no_date_is_refused(name: str, small_tables: Any, build_run: Callable[..., RunDir]) -> None:
    run = build_run(small_tables, finished=False)
    run.record_path("2025-07-03").rename(run.record_path(name))

    with pytest.raises(StoreError, match="is not a date; expected YYYY-MM-DD"):
        run.sessions()


def flip(run: RunDir, table: str, offset: int) -> None:
    """Flip one bit of a table's file of the second session."""
    path = run.table_path(table, DAY.isoformat())
    content = bytearray(path.read_bytes())
    content[offset] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("offset", [0, 100, 500, -1])
def test_a_flipped_bit_is_damage(offset: int, small_tables: Any, build_run: Callable[..., RunDir]) -> None:
    run = build_run(small_tables)
    flip(run, "session_summary", offset)

    report = subject.verify(run)

    assert not report.ok
    assert len(report.damage) == 1
    assert "2025-07-03: session_summary" in report.damage[0]


def recommit(run: RunDir, table: str, rows: int, content: pa.Table) -> None:
    """Commit the second session again with one file replaced, and no manifest, so that every digest is right."""
    day = DAY.isoformat()
    record = run.record(day)
    sink = pa.BufferOutputStream()
    pq.write_table(content, sink)
    files: dict[str, Any] = {
        name: (file["rows"], run.table_path(name, day).read_bytes()) for name, file in record["tables"].items()
    }
    files[table] = (rows, memoryview(sink.getvalue()))
    run.commit(day, bars=record["bars"], failed=record["failed"], tables=files)


def test_a_wrong_schema_or_row_count_is_damage_with_right_digests(
    small_tables: Any, build_run: Callable[..., RunDir]
) -> None:
    run = build_run(small_tables, finished=False)
    gaps = small_tables[DAY]["gaps"]
    cases = {
        "the file has 4 rows; its record says 5": (5, gaps),
        "columns are symbol, kind, first_missing, last_missing; expected": (4, gaps.drop_columns(["missing_bars"])),
        "column pyarrow.Field<missing_bars: int64 not null> differs": (
            4,
            gaps.set_column(
                4, pa.field("missing_bars", pa.int64(), nullable=False), gaps["missing_bars"].cast("int64")
            ),
        ),
    }
    for words, (rows, content) in cases.items():
        recommit(run, "gaps", rows, content)

        damage = subject.verify(run).damage

        assert any(words in text for text in damage), damage


def test_a_missing_file_a_torn_record_and_a_lost_manifest_are_damage(
    small_tables: Any, build_run: Callable[..., RunDir]
) -> None:
    run = build_run(small_tables)
    run.table_path("gaps", "2025-07-02").unlink()
    run.record_path("2025-07-03").write_text("{")

    damage = subject.verify(run).damage

    assert any("2025-07-02: gaps" in text and "missing" in text for text in damage)
    assert any("2025-07-03.json" in text and "no seal" in text for text in damage)
    run.manifest_path.unlink()
    assert any("did not finish" in text for text in subject.verify(run).damage)


def test_manifest_totals_are_the_records_sums(small_tables: Any, build_run: Callable[..., RunDir]) -> None:
    run = build_run(small_tables)

    def miscount(manifest: dict[str, Any]) -> None:
        manifest["bars"] += 1
        manifest["tables"]["gaps"] -= 1

    reseal(run.manifest_path, miscount)

    assert [text.partition(": ")[2] for text in subject.verify(run).damage] == [
        "bars is 109; the records add up to 108",
        "gaps rows is 7; the records add up to 8",
    ]
