"""The SQL files, and a locked connection that answers over a run's committed tables and their views."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TypeAlias, TypedDict

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds
from pyarrow.fs import LocalFileSystem

import backtester
from backtester.data.run_dir import Record, RunDir
from backtester.errors import StoreError
from backtester.schema import FLOW, RUN_TABLES, SESSION_TABLES, indicators_schema

SETTINGS = pa.schema(
    [
        pa.field("section", pa.string(), nullable=False),
        pa.field("key", pa.string(), nullable=False),
        ("item", pa.int32()),  # null unless the value is one of a list
        pa.field("value", pa.string(), nullable=False),
    ]
)

# What the views read: each table's files under this name, with `session` first (but for those of the whole run) and
# `run_id` last; settings is the run's config.
OF_RUN = RUN_TABLES | {"settings": SETTINGS}
STORED = {f"stored_{table}": schema for table, schema in (SESSION_TABLES | {"flow": FLOW} | OF_RUN).items()}

RUNS = pa.schema(
    [
        pa.field("run_id", pa.string(), nullable=False),
        ("name", pa.string()),
        ("exchange", pa.string()),
        ("interval", pa.string()),
        ("hours", pa.string()),
        ("start", pa.date32()),
        ("end", pa.date32()),
        pa.field("is_finished", pa.bool_(), nullable=False),
        pa.field("sessions", pa.int64(), nullable=False),
        ("symbols", pa.int64()),
        pa.field("bars", pa.int64(), nullable=False),
        pa.field("failed", pa.int64(), nullable=False),
        ("code", pa.string()),
        ("versions", pa.string()),
    ]
)

GIB = 1 << 30

Stored: TypeAlias = pa.Table | ds.FileSystemDataset


@dataclass(frozen=True)
class SqlFile:
    """One file under sql/: its name, what its first line says of it, its text."""

    name: str
    claim: str
    text: str


class Column(TypedDict):
    """A column of a view, with DuckDB's name of its type."""

    name: str
    type: str


class Description(TypedDict):
    """A view: its name, its grain, its columns in order."""

    view: str
    grain: str
    columns: list[Column]


@dataclass(frozen=True)
class Resources:
    """What a connection may use: memory in bytes for DuckDB, threads for DuckDB and for Arrow each."""

    memory_bytes: int
    threads: int

    @classmethod
    def of_machine(cls) -> Resources:
        """Half of the memory, at most 4 GiB, and every processor this process may run on."""
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return cls(memory_bytes=min(memory // 2, 4 * GIB), threads=len(os.sched_getaffinity(0)))


def quoted(name: str) -> str:
    """`name` as an SQL identifier, whatever it holds; ValueError for NUL, which no identifier can hold."""
    if "\0" in name:
        raise ValueError(f"{name!r} holds NUL, so it cannot be an SQL identifier")
    return '"' + name.replace('"', '""') + '"'


def view_files() -> list[SqlFile]:
    """Every view: those of the tables and those that compute metrics."""
    return [*sql_files("views"), *sql_files("metrics")]


def sql_files(kind: str) -> list[SqlFile]:
    """The files of sql/<kind>: views, metrics or checks, by name; the wheel's, or the checkout's around the package."""
    package = Path(backtester.__file__).parent
    installed = package / "_sql"
    folder = (installed if installed.is_dir() else package.parent / "sql") / kind
    return [_sql_file(path) for path in sorted(folder.glob("*.sql"))]


def _sql_file(path: Path) -> SqlFile:
    text = path.read_text(encoding="utf-8")
    head = text.split("\n", 1)[0]
    return SqlFile(path.stem, head.removeprefix(f"-- {path.stem}: "), text)


def needed(names: Iterable[str] | None = None) -> tuple[list[SqlFile], set[str]]:
    """The views in `names` with all they build on, in an order in which they can be created, and the stored tables.

    names  all views when None; words that are none count for nothing
    """
    by_name = {file.name: file for file in view_files()}
    ordered: dict[str, SqlFile] = {}
    tables: set[str] = set()

    def visit(name: str) -> None:
        if name in STORED:
            tables.add(name)
        elif name in by_name and name not in ordered:
            for read in sorted(read_by(by_name[name].text) - {name}):
                visit(read)
            ordered[name] = by_name[name]

    for name in by_name if names is None else sorted(names):
        visit(name)
    return list(ordered.values()), tables


def read_by(sql: str) -> set[str]:
    """What one of our own SQL files reads from: views, stored tables, and its own common table expressions."""
    return set(re.findall(r"\b(?:from|join)\s+(\w+)", re.sub(r"--[^\n]*", "", sql)))


def records(run: RunDir) -> dict[str, Record]:
    """The commit record of every session, in order; StoreError for one that is damaged or points outside its run."""
    return {session: run.record(session) for session in run.sessions()}


def connect(resources: Resources) -> duckdb.DuckDBPyConnection:
    """An empty database in memory that loads nothing, spills nothing and looks up no Python variables."""
    # Not the connection's `config`: these are set one by one, in the order that was tested against attacks.
    connection = duckdb.connect(":memory:")
    for setting in (
        "autoinstall_known_extensions = false",
        "autoload_known_extensions = false",
        "allow_community_extensions = false",
        "allow_persistent_secrets = false",
        "temp_directory = ''",
        f"memory_limit = '{resources.memory_bytes} B'",
        f"threads = {resources.threads}",
        "python_enable_replacements = false",
        # Instants are read and written in UTC, wherever the machine stands.
        "TimeZone = 'UTC'",
        # DuckDB takes a registered table for one row long, and joins such by comparing every pair: `timeline` of five
        # sessions and 858,625 rows took 21 s, and takes 0.8 s this way.
        "asof_loop_join_threshold = 0",
        "nested_loop_join_threshold = 0",
        "merge_join_threshold = 0",
    ):
        connection.execute(f"set {setting}")
    pa.set_cpu_count(resources.threads)
    return connection


def lock(connection: duckdb.DuckDBPyConnection) -> None:
    """No file, no network, no setting from here on; registered tables stay readable."""
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")


def attach(connection: duckdb.DuckDBPyConnection, stored: Mapping[str, Stored], views: Iterable[SqlFile]) -> None:
    """Register the stored tables and create the views over them; nothing is read yet."""
    for name, table in sorted(stored.items()):
        connection.register(name, table)
    for view in views:
        connection.execute(f"create view {quoted(view.name)} as {view.text}")


def stored_tables(run: RunDir, committed: dict[str, Record], names: Iterable[str]) -> dict[str, Stored]:
    """The committed tables in `names`, and always `stored_runs`; files open when they are read."""
    tables: dict[str, Stored] = {}
    for name in names:
        table = name.removeprefix("stored_")
        if table == "settings":
            tables[name] = settings_table(run.config(), run.root.name)
        else:
            tables[name] = (_run_dataset if table in RUN_TABLES else _dataset)(run, committed, table)
    tables["stored_runs"] = _run_row(run, committed)
    return tables


def settings_table(config: Mapping[str, object], run_id: str) -> pa.Table:
    """A config of sections as rows: a key's value as text, a list's one row per item; `execution.commission` is one."""
    rows: list[dict[str, object]] = []

    def add(section: str, values: Mapping[str, object]) -> None:
        for key, value in values.items():
            if isinstance(value, Mapping):
                add(f"{section}.{key}" if section else key, value)
                continue
            items = enumerate(value) if isinstance(value, list | tuple) else [(None, value)]
            for item, single in items:
                text = str(single).lower() if isinstance(single, bool) else str(single)
                rows.append({"section": section, "key": key, "item": item, "value": text, "run_id": run_id})

    add("", config)
    return pa.Table.from_pylist(rows, schema=table_schema("settings"))


def described(run: RunDir) -> list[Description]:
    """Every view with its grain and its columns, by name."""
    files, tables = needed()
    with connect(Resources.of_machine()) as connection:
        # No session is opened: the columns are those of the schemas.
        attach(connection, stored_tables(run, {}, tables), files)
        lock(connection)
        found: list[Description] = []
        for file in sorted(files, key=lambda file: file.name):
            rows = connection.execute(f"describe {quoted(file.name)}").fetchall()
            columns: list[Column] = [{"name": row[0], "type": row[1].lower()} for row in rows]
            found.append({"view": file.name, "grain": file.claim, "columns": columns})
    return found


def table_schema(table: str, found: pa.Schema | None = None) -> pa.Schema:
    """A stored table as the views see it: `session` unless it is of the whole run, its own columns, `run_id`.

    found  the columns of its files, which the config of a run decides for `indicators` alone
    """
    own = STORED[f"stored_{table}"]
    if table == "indicators" and found is not None:
        own = indicators_schema(found.names[len(own) :])
    session = [] if table in OF_RUN else [pa.field("session", pa.date32(), nullable=False)]
    return pa.schema([*session, *own, pa.field("run_id", pa.string(), nullable=False)])


def _dataset(run: RunDir, committed: dict[str, Record], table: str) -> ds.FileSystemDataset:
    """The committed files of one table, from their records: no directory is listed and no path is taken apart."""
    if table == "flow":
        paths = {session: run.flow_path(session) for session in committed if run.flow_path(session).is_file()}
    else:
        paths = {s: run.table_path(table, s) for s, record in committed.items() if table in record["tables"]}
    known = {session: ds.field("session") == pa.scalar(date.fromisoformat(session)) for session in paths}
    return _parquet(run, table, [(run.inside(path), known[session]) for session, path in paths.items()])


def _run_dataset(run: RunDir, committed: dict[str, Record], table: str) -> ds.FileSystemDataset:  # noqa: ARG001  as _dataset
    """The file of a table of the whole run; no row while the run is unfinished."""
    manifest = run.manifest()
    held = manifest is not None and table in manifest["run_tables"]
    return _parquet(run, table, [(run.inside(run.run_table_path(table)), None)] if held else [])


def _parquet(run: RunDir, table: str, parts: list[tuple[Path, ds.Expression | None]]) -> ds.FileSystemDataset:
    # Page checksums are verified here because nothing else does: DuckDB and Polars read a flipped bit as data.
    options = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    parquet = ds.ParquetFileFormat(default_fragment_scan_options=options)
    files = LocalFileSystem()
    run_id = ds.field("run_id") == pa.scalar(run.root.name)
    fragments = []
    for path, known in parts:
        of_file = run_id if known is None else known & run_id
        fragments.append(parquet.make_fragment(str(path), filesystem=files, partition_expression=of_file))
    found = fragments[0].physical_schema if table == "indicators" and fragments else None
    return ds.FileSystemDataset(fragments, table_schema(table, found), parquet)


def _run_row(run: RunDir, committed: dict[str, Record]) -> pa.Table:
    """The run in one row: its config's [run] section, and its manifest once it has one."""
    settings = run.settings()
    manifest = run.manifest()
    row = {
        "run_id": run.root.name,
        **{key: settings.get(key) for key in ("name", "exchange", "hours")},
        **{key: _day(settings.get(key)) for key in ("start", "end")},
        "is_finished": manifest is not None,
        "sessions": len(committed),
        "symbols": manifest["symbols"] if manifest else None,
        "bars": sum(record["bars"] for record in committed.values()),
        "failed": sum(record["failed"] for record in committed.values()),
        "interval": manifest["interval"] if manifest else _streamed_interval(run, committed),
        "code": manifest["code"] if manifest else None,
        "versions": json.dumps(manifest["versions"], sort_keys=True) if manifest else None,
    }
    try:
        return pa.Table.from_pylist([row], schema=RUNS)
    except pa.ArrowException as error:
        raise StoreError(f"{run.config_path}: not the config of a run ({error})") from error


def _day(value: object) -> date | None:
    try:
        return None if value is None else date.fromisoformat(str(value))
    except ValueError:
        return None


def _streamed_interval(run: RunDir, committed: dict[str, Record]) -> str | None:
    """The source bars' interval, which may be narrower than the config's; None before any session."""
    for session, record in committed.items():
        if "streams" in record["tables"]:
            streams = _dataset(run, {session: record}, "streams")
            found = streams.to_table(columns=["interval"], filter=ds.field("stream") == "STREAMED", use_threads=False)
            if found.num_rows:
                return str(found["interval"][0])
    return None
