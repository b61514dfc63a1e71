"""Questions to a run: what is answered, in which forms, and what is refused or contained."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from backtester.cli.sql import command
from backtester.data.durable import sha256_of
from backtester.data.run_dir import RunDir
from backtester.errors import StoreError, UsageError
from backtester.results.query import Limits, ask
from backtester.results.render import TABLE_ROWS, plain, render

SUMMARY = (
    "select symbol, session, open, high, low, close, volume, bars, expected_bars, missing_bars, quality_pct "
    "from session_summary order by all"
)
QUICK = Limits(seconds=20.0)


def run_command(run: RunDir, *arguments: str) -> Result:
    """The command in this process; its statement still runs in a child."""
    return CliRunner().invoke(command, [str(run.root), *arguments])


def test_the_summary_as_json(small_run: RunDir) -> None:
    result = run_command(small_run, SUMMARY, "--format", "json")

    rows = json.loads(result.stdout)
    assert result.exit_code == 0
    assert result.stderr == ""
    assert [(row["symbol"], row["session"]) for row in rows] == [
        (symbol, session) for symbol in ("AAA", "BBB", "CCC") for session in ("2025-07-02", "2025-07-03")
    ]
    assert rows[0] == {
        "symbol": "AAA",
        "session": "2025-07-02",
        "open": 102.0,
        "high": 104.2,
        "low": 101.5,
        "close": 103.7,
        "volume": 51750.0,
        "bars": 30,
        "expected_bars": 30,
        "missing_bars": 0,
        "quality_pct": 100.0,
    }
    assert rows[4]["open"] is None
    assert run_command(small_run, SUMMARY, "--json").stdout == result.stdout


def test_values_in_json_are_iso_dates_utc_instants_and_numbers(small_run: RunDir) -> None:
    sql = (
        "select session, first_bar, first_bar + interval 1500 millisecond as later, timestamp '2025-01-01' as naive, "
        "session_close - session_open as length, sum(bars) over () as total, 1.5 as decimal, 'nan'::double as nan, "
        "[1, null] as list, {a: session} as struct, true as flag, null as nothing, 'é\"' as text, "
        "unhex('00ff') as bytes "
        "from session_summary where symbol = 'AAA' order by all limit 1"
    )

    assert json.loads(run_command(small_run, sql, "--json").stdout) == [
        {
            "session": "2025-07-02",
            "first_bar": "2025-07-02T13:30:00Z",
            "later": "2025-07-02T13:30:01.500000Z",
            "naive": "2025-01-01T00:00:00",
            "length": "PT1800S",
            "total": 60,
            "decimal": 1.5,
            "nan": None,
            "list": [1, None],
            "struct": {"a": "2025-07-02"},
            "flag": True,
            "nothing": None,
            "text": 'é"',
            "bytes": "00ff",
        }
    ]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (Decimal("12345678901234567890"), 12345678901234567890),
        (timedelta(hours=1), "1:00:00"),
        (float("inf"), None),
        (pa.MonthDayNano([1, 2, 1_500_000_000]), "P1M2DT1.5S"),
        (pa.MonthDayNano([0, 0, -60_000_000_000]), "PT-60S"),
        (pa.MonthDayNano([0, 0, 0]), "PT0S"),
        (pa.MonthDayNano([0, 3, 0]), "P3D"),
    ],
)
def test_plain_values(value: object, expected: object) -> None:
    assert plain(value) == expected


def test_csv_has_a_header_and_empty_nulls(small_run: RunDir) -> None:
    text = run_command(small_run, "select symbol, open, first_bar from session_summary order by all", "--format", "csv")

    rows = list(csv.reader(io.StringIO(text.stdout)))
    assert rows[0] == ["symbol", "open", "first_bar"]
    assert rows[1] == ["AAA", "102.0", "2025-07-02T13:30:00Z"]
    assert rows[-1] == ["CCC", "", ""]


def test_the_table_is_aligned_and_says_how_many_rows(small_run: RunDir) -> None:
    result = run_command(small_run, "select symbol, bars, vwap is null as silent from session_summary order by all")

    assert result.stdout == (
        "symbol  bars  silent\nAAA       30  false\nAAA       30  false\nBBB       24  false\nBBB       24  false\n"
        "CCC        0  true\nCCC        0  true\n(6 rows)\n"
    )


def test_a_long_table_is_cut_and_says_so() -> None:
    text = render(pa.table({"i": list(range(1000))}), "table").decode()

    assert len(text.splitlines()) == TABLE_ROWS + 2
    assert text.endswith("(first 200 of 1,000 rows; --format csv or json gives all)\n")
    assert len(json.loads(render(pa.table({"i": list(range(1000))}), "json"))) == 1000


def test_columns_of_one_name_are_told_apart(small_run: RunDir) -> None:
    result = run_command(small_run, "select 1 as a, 2 as a, 3 as a_2", "--json")

    assert json.loads(result.stdout) == [{"a": 1, "a_2": 2, "a_2_2": 3}]


def test_parquet_is_written_whole_to_its_file(small_run: RunDir, tmp_path: Path) -> None:
    output = tmp_path / "summary.parquet"

    result = run_command(small_run, SUMMARY, "--format", "parquet", "--output", str(output))

    assert result.stdout == ""
    assert pq.read_table(output).num_rows == 6
    assert [path.name for path in tmp_path.iterdir()] == ["summary.parquet"]


def test_the_statement_may_come_from_a_file(small_run: RunDir, tmp_path: Path) -> None:
    path = tmp_path / "question.sql"
    path.write_text("-- how many\nselect count(*) as n from gaps;\n")

    assert json.loads(run_command(small_run, "-f", str(path), "--json").stdout) == [{"n": 8}]
    asked = CliRunner().invoke(command, [str(small_run.root), "-f", "-", "--json"], input="select 1 as one")
    assert json.loads(asked.stdout) == [{"one": 1}]


def test_without_a_statement_the_views_are_listed(small_run: RunDir) -> None:
    text = run_command(small_run).stdout

    assert "gaps: one row per session, symbol and run of missing bars" in text
    assert "    missing_bars  integer" in text
    assert {view["view"] for view in json.loads(run_command(small_run, "--json").stdout)} >= {"gaps", "timeline"}


def test_an_unfinished_run_answers_over_what_is_committed(small_tables: Any, build_run: Callable[..., RunDir]) -> None:
    run = build_run({date(2025, 7, 2): small_tables[date(2025, 7, 2)]}, finished=False)

    result = run_command(run, "select count(distinct session) as n from gaps", "--json")

    assert json.loads(result.stdout) == [{"n": 1}]
    assert result.stderr == "note: this run has not finished; the answer is over its 1 committed sessions\n"


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("select * from session_sumary", 'Did you mean "session_summary"'),
        ("select symbl from gaps", 'Candidate bindings: "symbol"'),
        ("selec 1", "syntax error"),
        ("select 1; select 2", "found 2 statements; expected exactly one"),
        ("", "found 0 statements"),
        ("-- nothing", "found 0 statements"),
        ("pivot gaps on kind using count(*)", "give the pivot its values"),
        ("select error('stop')", "stop"),
        ("select $1", "parameter"),
    ],
)
def test_a_wrong_statement_is_one_clear_line(sql: str, words: str, small_run: RunDir) -> None:
    with pytest.raises(UsageError) as caught:
        ask(small_run.root, sql, limits=QUICK)

    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    "sql",
    [
        "explain select * from gaps",
        "EXPLAIN ANALYZE select * from gaps",
        "explain (format json) select 1",
        "describe gaps",
        "summarize gaps",
        "show tables",
        "table gaps",
        "from gaps select count(*)",
        "values (1), (2)",
        "with gaps as (select * from gaps where kind = 'inside') select * from gaps",
        "with t as (select 1 as a) select * from t, session_summary",
        "with recursive t as (select 1 as a union all select a + 1 from t where a < 5) select * from t",
        "from (pivot gaps on kind in ('opening', 'closing') using count(*))",
        "select * from gaps g asof join running r on g.symbol = r.symbol and g.first_missing >= r.timestamp",
        "select * from range(3)",
        "select unnest([1, 2])",
        "select * from gaps qualify row_number() over (order by first_missing) = 1",
        "select columns('missing.*') from session_summary",
        "select list_transform([1, 2], lambda x: x + 1)",
        "select table_name from information_schema.tables",
        "select view_name from duckdb_views()",
        "select session_open at time zone 'America/New_York' from session_summary",
        'select "symbol" from main.gaps',
        "select * from GAPS",
        "select versions ->> 'python' from runs",
        "select * from gaps union all by name select * from gaps",
    ],
)
def test_what_reads_is_answered(sql: str, small_run: RunDir) -> None:
    assert ask(small_run.root, sql, limits=QUICK).num_rows > 0


SECRET = "the-secret-of-this-test"

# {out} is a path nobody may write, {secret} a file outside the run, {run} the run itself.
ATTACKS = [
    "copy gaps to '{out}'",
    "copy (select 1) to '{out}' (format parquet)",
    "copy gaps to '{run}/tables/gaps/session=2025-07-03/part-0.parquet'",
    "copy gaps from '{secret}'",
    "explain copy gaps to '{out}'",
    "explain analyze copy (select 1) to '{out}'",
    "explain /* */ analyze copy (select 1) to '{out}'",
    "with x as (copy (select 1) to '{out}') select 1",
    "with x as materialized (copy (select 1) to '{out}') select * from x",
    "select (with x as (copy (select 1) to '{out}') select 1)",
    "with x as (insert into gaps select * from gaps returning *) select * from x",
    "with x as (delete from gaps returning *) select * from x",
    "attach '{out}' as other",
    "attach '{out}' (type sqlite)",
    "detach memory",
    "use information_schema",
    "install httpfs",
    "load httpfs",
    "load '{secret}'",
    "force install httpfs from 'http://127.0.0.1:9/'",
    "export database '{out}'",
    "import database '{out}'",
    "set enable_external_access = true",
    "set memory_limit = '100GB'",
    "reset lock_configuration",
    "set variable x = 1",
    "pragma enable_profiling",
    "pragma database_list",
    "call enable_logging(storage = 'file', storage_path = '{out}')",
    "checkpoint",
    "vacuum",
    "create table t as select 1",
    "create or replace view gaps as select 1",
    "create macro m() as table select * from read_text('{secret}')",
    "create persistent secret s (type s3)",
    "create type t as enum ('a')",
    "drop view gaps",
    "alter view gaps rename to g",
    "insert into gaps values (1)",
    "update gaps set kind = 'x'",
    "delete from gaps",
    "truncate gaps",
    "begin transaction",
    "prepare p as select 1",
    "execute p",
    "select 1; copy gaps to '{out}'",
    "select 1;;;attach '{out}'",
    "select * from read_csv('{secret}')",
    "select * from read_csv_auto('{secret}')",
    "select * from sniff_csv('{secret}')",
    "select * from read_text('{secret}')",
    "select * from read_blob('{secret}')",
    "select * from read_json('{secret}')",
    "select * from read_parquet('{run}/tables/gaps/*/*.parquet')",
    "select * from parquet_scan('{run}/tables/gaps/session=2025-07-03/part-0.parquet')",
    "select * from parquet_metadata('{run}/tables/gaps/session=2025-07-03/part-0.parquet')",
    "select * from read_duckdb('{out}')",
    "select * from glob('..')",
    "select * from glob('{run}/../*')",
    "select * from '{secret}'",
    "select * from '{run}/tables/gaps/session=2025-07-03/part-0.parquet'",
    "select * from '{link}'",
    "select * from read_text('{link}')",
    "select * from '../../../../../../etc/passwd'",
    "select * from 'http://127.0.0.1:9/a.parquet'",
    "select * from read_csv('https://127.0.0.1:9/a.csv')",
    "select * from 's3://bucket/a.parquet'",
    "select getenv('HOME')",
    "select * from query('select * from gaps')",
    "select * from query_table('gaps')",
    "select * from query('copy gaps to ''{out}''')",
    "select * from json_execute_serialized_sql(json_serialize_sql('select 1'))",
    "select * from enable_profiling('json', save_location := '{out}')",
    "select * from enable_logging('QueryLog', storage := 'file', storage_path := '{out}')",
    "select * from force_checkpoint()",
    "select * from arrow_scan(1, 2, 3)",
    "select * from pandas_scan(1)",
    "select * from python_arrow_scan(1)",
    "select * from python_map_function((select 1))",
    "select * from duckdb_secrets()",
    "select * from which_secret('{secret}', 's3')",
    "select * from test_all_types()",
    "select exists (from read_text('{secret}'))",
    "from gaps, lateral (from read_text('{secret}' || gaps.symbol))",
    "describe select * from read_text('{secret}')",
    "summarize (from read_csv('{secret}'))",
    "select * from run",
    "select * from committed",
    "select * from views",
    "select * from pa",
    "select * from os.environ",
]


def digests(root: Path) -> dict[str, str]:
    """Every file under a folder with its digest."""
    return {str(path.relative_to(root)): sha256_of(path) for path in sorted(root.rglob("*")) if path.is_file()}


# Each takes a process of its own, half a second: every other one waits for the slow tier. All are tried below.
IN_TURN = [attack if i % 2 == 0 else pytest.param(attack, marks=pytest.mark.soak) for i, attack in enumerate(ATTACKS)]


@pytest.mark.parametrize("attack", IN_TURN)
def test_an_attack_is_refused_and_writes_nothing(attack: str, small_run: RunDir, tmp_path: Path) -> None:
    secret = tmp_path / "secret.csv"
    secret.write_text(f"{SECRET}\n1\n")
    link = tmp_path / "link.csv"
    link.symlink_to(secret)
    before = digests(small_run.root) | digests(tmp_path)
    names = {"out": tmp_path / "out", "secret": secret, "link": link, "run": small_run.root}

    with pytest.raises(UsageError) as caught:
        ask(small_run.root, attack.format(**names), limits=QUICK)

    assert SECRET not in str(caught.value)
    assert "brought its process down" not in str(caught.value)
    assert digests(small_run.root) | digests(tmp_path) == before
    assert not (tmp_path / "out").exists()


def test_the_first_two_fences_refuse_every_attack(small_run: RunDir, tmp_path: Path) -> None:
    import duckdb

    from backtester.results import sandbox, views

    secret = tmp_path / "secret.csv"
    secret.write_text(f"{SECRET}\n1\n")
    names = {"out": tmp_path / "out", "secret": secret, "link": secret, "run": small_run.root}
    known = {file.name for file in views.sql_files("views")}
    with views.connect(views.Resources(memory_bytes=1 << 28, threads=1)) as connection:
        files, tables = views.needed()
        views.attach(connection, views.stored_tables(small_run, views.records(small_run), tables), files)
        views.lock(connection)

        def answered(attack: str) -> None:
            sandbox.references(connection, attack, views=known)
            pytest.fail(f"{attack}: {connection.execute(attack).fetchall()}")

        for attack in ATTACKS:
            with pytest.raises((UsageError, duckdb.Error), match=r"."):
                answered(attack.format(**names))
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]


def test_every_table_function_is_listed_or_refused(small_run: RunDir) -> None:
    import duckdb

    with duckdb.connect(":memory:") as connection:
        rows = connection.execute(
            "select distinct function_name from duckdb_functions() where function_type in ('table', 'table_macro')"
        ).fetchall()
    from backtester.results import sandbox, views

    resources = views.Resources(memory_bytes=1 << 28, threads=1)
    with views.connect(resources) as connection:
        views.lock(connection)
        for name in sorted({row[0] for row in rows} - sandbox.TABLE_FUNCTIONS):
            with pytest.raises(UsageError, match=f"table function {name} is refused"):
                sandbox.references(connection, f"select * from {name}('x')", views=set())


def test_the_second_fence_holds_without_the_first(small_run: RunDir, tmp_path: Path) -> None:
    """A locked connection alone refuses every attack that its parser takes for reading."""
    import duckdb

    from backtester.results import views

    secret = tmp_path / "secret.csv"
    secret.write_text(f"{SECRET}\n1\n")
    names = {"out": tmp_path / "out", "secret": secret, "link": secret, "run": small_run.root}
    with views.connect(views.Resources(memory_bytes=1 << 28, threads=1)) as connection:
        files, tables = views.needed()
        views.attach(connection, views.stored_tables(small_run, views.records(small_run), tables), files)
        views.lock(connection)
        for attack in ATTACKS:
            reaches_out = any(word in attack for word in ("copy", "read_", "glob", "http", "s3:", "'{", "install"))
            # A macro reads nothing until it is used, and there is no secret to be found.
            if reaches_out and not attack.startswith("create macro") and "which_secret" not in attack:
                with pytest.raises(duckdb.Error, match=r"."):
                    pytest.fail(f"{attack}: {connection.execute(attack.format(**names)).fetchall()}")
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]


@pytest.mark.parametrize(
    "endless",
    [
        "with recursive t as (select 1 as a union all select a + 1 from t) select count(*) from t",
        "select count(*) from range(10000000000) a, range(10000000000) b where a.range * b.range % 7 = 3",
        "select sum(sleep_ms(1000)) from range(1000)",
    ],
)
def test_an_endless_statement_is_stopped_in_time(endless: str, small_run: RunDir) -> None:
    begun = time.monotonic()

    with pytest.raises(UsageError, match=r"stopped after 2 s|Out of Memory"):
        ask(small_run.root, endless, limits=Limits(seconds=2.0))

    assert time.monotonic() - begun < 6.0


@pytest.mark.parametrize(
    "huge",
    [
        "select repeat('x', 1000000) from range(1000)",
        "select repeat('x', 4000000000)",
        "select list(a.range || repeat('y', 1000)) from range(100000000) a",
    ],
)
def test_a_huge_answer_is_refused(huge: str, small_run: RunDir) -> None:
    with pytest.raises(UsageError):
        ask(small_run.root, huge, limits=Limits(seconds=5.0, result_bytes=1 << 24))


def test_a_crashing_statement_leaves_an_error_and_not_a_crash(
    small_run: RunDir, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    crasher = tmp_path / "python"
    crasher.write_text("#!/bin/sh\ncat > /dev/null\nkill -SEGV $$\n")
    crasher.chmod(0o700)
    monkeypatch.setattr(sys, "executable", str(crasher))

    with pytest.raises(UsageError, match="SIGSEGV"):
        ask(small_run.root, "select 1")


def test_damaged_files_are_a_store_error(small_tables: Any, build_run: Callable[..., RunDir]) -> None:
    run = build_run(small_tables)
    path = run.table_path("session_summary", "2025-07-03")
    content = bytearray(path.read_bytes())
    content[400] ^= 1
    path.write_bytes(content)

    with pytest.raises(StoreError, match="CRC checksum verification failed"):
        ask(run.root, "from session_summary", limits=QUICK)

    path.unlink()
    with pytest.raises(StoreError, match="is missing"):
        ask(run.root, "from session_summary", limits=QUICK)
    assert ask(run.root, "from gaps", limits=QUICK).num_rows == 8  # only what is asked for is opened


def test_a_module_in_the_working_directory_is_not_imported(
    small_run: RunDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "duckdb.py").write_text("raise SystemExit('taken')")
    monkeypatch.chdir(tmp_path)

    assert ask(small_run.root, "select 1", limits=QUICK).num_rows == 1


def children_of(pid: int) -> list[str]:
    """The processes begun by a process."""
    listing = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True, check=False)
    return listing.stdout.split()


ENDLESS = "with recursive t as (select 1 as a union all select a + 1 from t) select count(*) from t"
MAIN = "import sys; from backtester.cli import main; sys.argv[0] = 'backtester'; main()"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_no_process_is_left_behind(number: int, code: int, small_run: RunDir) -> None:
    arguments = [sys.executable, "-c", MAIN, "sql", str(small_run.root), ENDLESS, "--timeout", "4"]
    root = str(Path(__file__).parent.parent.parent)
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, env={**os.environ, "PYTHONPATH": root}) as parent:
        deadline = time.monotonic() + 10
        while not (children := children_of(parent.pid)) and time.monotonic() < deadline:
            time.sleep(0.05)
        time.sleep(1.0)
        parent.send_signal(number)
        assert parent.wait(5) == code
    # After SIGKILL the child's own alarm ends it.
    deadline = time.monotonic() + 8
    while time.monotonic() < deadline and Path(f"/proc/{children[0]}").exists():
        time.sleep(0.05)

    assert len(children) == 1
    assert not Path(f"/proc/{children[0]}").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["select 1", "-f", "{file}"], "expected one of them"),
        (["select 1", "--format", "parquet"], "needs --output"),
        (["select 1", "--output", "{run}/answer.csv"], "lies inside the run"),
    ],
)
def test_contradictions_on_the_command_line_are_refused(
    arguments: list[str], words: str, small_run: RunDir, tmp_path: Path
) -> None:
    file = tmp_path / "q.sql"
    file.write_text("select 1")
    result = run_command(small_run, *(text.format(run=small_run.root, file=file) for text in arguments))

    assert isinstance(result.exception, UsageError)
    assert words in str(result.exception)


def test_a_directory_that_is_no_run_is_a_usage_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(tmp_path), "select 1"])

    assert isinstance(result.exception, UsageError)
