"""Every SQL file: named for what it holds, told in its first line, written in the house style, documented."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb
import pytest

from backtester.data.run_dir import RunDir
from backtester.results.sandbox import references
from backtester.results.views import STORED, SqlFile, described, needed, read_by, sql_files

ROOT = Path(__file__).parent.parent
FILES = [
    pytest.param(file, id=f"{kind}/{file.name}") for kind in ("views", "checks", "metrics") for file in sql_files(kind)
]
DOCUMENT = (ROOT / "docs" / "sql.md").read_text(encoding="utf-8")


def code(file: SqlFile) -> str:
    """The text without comments and quoted words."""
    return re.sub(r"--[^\n]*|'[^']*'|\"[^\"]*\"", " ", file.text)


def test_the_files_are_found() -> None:
    assert {path.stem for path in (ROOT / "sql" / "views").iterdir()} == {file.name for file in sql_files("views")}
    assert {path.stem for path in (ROOT / "sql" / "checks").iterdir()} == {file.name for file in sql_files("checks")}
    assert {path.stem for path in (ROOT / "sql" / "metrics").iterdir()} == {file.name for file in sql_files("metrics")}


@pytest.mark.parametrize("file", FILES)
def test_the_first_line_names_the_file_and_tells_its_grain_or_claim(file: SqlFile) -> None:
    first = file.text.split("\n", 1)[0]

    assert first.startswith(f"-- {file.name}: ")
    assert first.endswith(".")
    assert len(first) <= 140


@pytest.mark.parametrize("file", [p for p in FILES if p.id.startswith("views/")])
def test_a_view_tells_its_grain(file: SqlFile) -> None:
    assert file.claim.startswith("one row per ")


@pytest.mark.parametrize("file", FILES)
def test_keywords_are_lower_case_and_a_file_is_one_statement(file: SqlFile) -> None:
    assert code(file) == code(file).lower()
    assert ";" not in code(file)
    assert "\t" not in file.text
    assert file.text.endswith("\n")
    assert max(map(len, file.text.splitlines()[1:])) <= 120
    assert len(duckdb.extract_statements(file.text)) == 1


@pytest.mark.parametrize("file", FILES)
def test_no_name_of_a_view_is_a_reserved_word(file: SqlFile) -> None:
    with duckdb.connect(":memory:") as connection:
        reserved = connection.execute("select keyword_name from duckdb_keywords() where keyword_category = 'reserved'")

        assert (file.name,) not in reserved.fetchall()


@pytest.mark.parametrize("file", [p for p in FILES if p.id.startswith("checks/")])
def test_a_check_asks_views_and_returns_the_session(file: SqlFile) -> None:
    assert "stored_" not in code(file)
    assert needed(read_by(file.text))[0]
    assert re.search(r"\bsession\b", code(file))


@pytest.mark.parametrize("file", FILES)
def test_what_a_file_reads_is_what_duckdb_parses(file: SqlFile) -> None:
    known = set(STORED) | {view.name for view in (*sql_files("views"), *sql_files("metrics"))} | {"stored_runs"}
    known |= {"equity", "session_equity", "fills", "trades", "metrics", "benchmark"}
    with duckdb.connect(":memory:") as connection:
        parsed = references(connection, file.text, views=known)

    assert parsed == read_by(file.text) & known


@pytest.mark.parametrize("file", FILES)
def test_every_file_is_documented(file: SqlFile) -> None:
    assert f"`{file.name}`" in DOCUMENT


def test_every_column_is_documented(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("[run]\n")
    missing = [
        f"{view['view']}.{column['name']}"
        for view in described(RunDir(tmp_path))
        for column in view["columns"]
        if f"`{column['name']}`" not in DOCUMENT
    ]

    assert missing == []
