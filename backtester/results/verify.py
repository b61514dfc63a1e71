"""The proof of a run: every digest, every schema, every row count, and the checks in sql/checks over its tables."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from backtester.arrays import Int64
from backtester.data.run_dir import Record, RunDir
from backtester.errors import BacktestError, VerificationError
from backtester.interval import Interval
from backtester.results import views
from backtester.schema import RUN_TABLES, SESSION_TABLES, indicators_schema

SHOWN = 5
# Checks read sessions from memory, about this many rows at a time: a few hundred MB however long the run.
BATCH_ROWS = 2_000_000
# Every other check holds for each session by itself.
ACROSS_SESSIONS = {
    *(
        "trailing_agrees",
        "historical_agrees",
        "cash_carried",
        "equity_carried",
        "equity_explained",
        "positions_carried",
        "metrics_agree",
    ),
    *("orders_known", "orders_filled", "events_carried", "fills_accepted", "trades_pnl", "trades_cover"),
}

# The keys each file is strictly sorted by, so that they are unique too.
SORT_KEYS = {
    "running": ("timestamp", "symbol"),
    "derived_bars": ("interval", "timestamp", "symbol"),
    "gaps": ("first_missing", "symbol"),
    "session_summary": ("symbol",),
    "trailing": ("trailing_session", "symbol"),
    "indicators": ("interval", "timestamp", "symbol"),
    "indicator_state": ("key", "symbol"),
    "historical_indicators": ("key", "symbol"),
    "historical_profiles": ("key", "timestamp", "symbol"),
    "orders": ("order_id",),
    "order_events": ("order_id", "seq"),
    "fills": ("fill_id",),
    "trades": ("trade_id",),
    "positions": ("symbol",),
    "equity": ("timestamp",),
}


@dataclass
class Check:
    """One invariant: what it claims, how many rows contradict it, the first of them."""

    name: str
    claim: str
    violations: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Report:
    """What was looked at and what was found; `damage` is about files, `checks` about the numbers in sound ones."""

    sessions: int
    files: int
    damage: list[str]
    checks: list[Check]

    @property
    def ok(self) -> bool:
        """True if nothing is wrong."""
        return not self.damage and all(check.violations == 0 for check in self.checks)


def verify(run: RunDir) -> Report:
    """Prove a run; whatever is wrong is in the report, and sessions with damaged files are left out of the checks."""
    damage = run.manifest_damage()
    try:
        sessions = run.sessions()
    except BacktestError as error:
        return Report(0, 0, damage or [str(error)], [])
    committed: dict[str, Record] = {}
    order = Check("file_order", f"the rows of a file rise strictly by its keys ({_sort_keys()}).")
    files = 0
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        results = pool.map(lambda session: _session_damage(run, session), sessions)
        for session, (record, found, unsorted) in zip(sessions, results, strict=True):
            damage += found
            order.violations += len(unsorted)
            order.rows += unsorted[: SHOWN - len(order.rows)]
            files += len(record["tables"]) if record else 0
            if record and not found:
                committed[session] = record
    damage += _total_damage(run, committed) if len(committed) == len(sessions) else []
    damage += [] if damage else _run_table_damage(run)
    try:
        checks = run_checks(run, committed, is_whole=not damage)
    except BacktestError as error:
        # The config says what the checks hold the numbers against.
        return Report(len(sessions), files, [*damage, str(error)], [order])
    return Report(len(sessions), files, damage, [order, *checks])


def _sort_keys() -> str:
    return "; ".join(f"{table}: {', '.join(keys)}" for table, keys in SORT_KEYS.items())


def _session_damage(run: RunDir, session: str) -> tuple[Record | None, list[str], list[dict[str, Any]]]:
    """The record, None if it is none; what is wrong with it and its files; and the rows that are out of order."""
    unsorted: list[dict[str, Any]] = []
    try:
        record = run.record(session)
    except BacktestError as error:
        return None, [str(error)], unsorted
    found = run.damage(session)
    if not found:
        for table, file in record["tables"].items():
            try:
                row = _read_file(run, session, table, file["rows"])
            except (VerificationError, OSError, pa.ArrowException) as error:
                found.append(f"{session}: {table}: {error}")
            else:
                where = {"session": date.fromisoformat(session), "table": table, "row": row}
                unsorted += [] if row is None else [where]
    return record, found, unsorted


def _read_file(run: RunDir, session: str, table: str, rows: int) -> int | None:
    """The first row out of order, None if none is; VerificationError unless the file has its schema and its rows."""
    with pq.ParquetFile(run.table_path(table, session), page_checksum_verification=True) as file:
        expected = SESSION_TABLES[table]
        if table == "indicators":
            expected = indicators_schema(file.schema_arrow.names[len(expected) :])
        _refuse_other(file, expected, rows)
        keys = SORT_KEYS.get(table)
        return first_unsorted(file.read(columns=list(keys))) if keys else None


def _run_table_damage(run: RunDir) -> list[str]:
    """What is wrong inside the tables of the whole run, whose digests are right."""
    manifest = run.manifest()
    found = []
    for table, stated in (manifest["run_tables"] if manifest else {}).items():
        try:
            with pq.ParquetFile(run.run_table_path(table), page_checksum_verification=True) as file:
                _refuse_other(file, RUN_TABLES[table], stated["rows"])
        except (VerificationError, OSError, pa.ArrowException) as error:
            found.append(f"{table}: {error}")
    return found


def _refuse_other(file: pq.ParquetFile, expected: pa.Schema, rows: int) -> None:
    """VerificationError unless a file has its schema and its rows."""
    found = file.schema_arrow
    if found.names != expected.names:
        raise VerificationError(f"columns are {', '.join(found.names)}; expected {', '.join(expected.names)}")
    for new, old in zip(found, expected, strict=True):
        if not new.equals(old):
            raise VerificationError(f"column {new} differs; expected {old}")
    if file.metadata.num_rows != rows:
        raise VerificationError(f"the file has {file.metadata.num_rows} rows; its record says {rows}")


def first_unsorted(keys: pa.Table) -> int | None:
    """The first row (from 1) that does not come strictly after the one before it; None if all do.

    Text is compared by code point, intervals by length.
    """
    later = np.zeros(max(keys.num_rows - 1, 0), dtype=np.bool_)
    level = ~later
    for name in keys.column_names:
        values = _sortable(keys[name], is_interval=name == "interval")
        later |= level & (values[1:] > values[:-1])
        level &= values[1:] == values[:-1]
    wrong = np.flatnonzero(~later)
    return int(wrong[0]) + 1 if wrong.size else None


def _sortable(column: pa.ChunkedArray, *, is_interval: bool) -> Int64:
    """int64 values in the order of the column's own."""
    if pa.types.is_dictionary(column.type):
        whole = column.unify_dictionaries().combine_chunks()
        if isinstance(whole, pa.ChunkedArray):
            whole = whole.chunk(0) if whole.num_chunks else pa.array([], column.type)
        texts = whole.dictionary.to_pylist()
        ordered = sorted(set(texts))
        ranks = {text: Interval.parse(text).us if is_interval else rank for rank, text in enumerate(ordered)}
        of_code = np.array([ranks[text] for text in texts], dtype=np.int64)
        codes: Int64 = whole.indices.to_numpy(zero_copy_only=False).astype(np.int64)
        return of_code[codes] if of_code.size else codes
    width = pa.int32() if pa.types.is_date32(column.type) else pa.int64()
    values: Int64 = column.cast(width).to_numpy().astype(np.int64)
    return values


def _total_damage(run: RunDir, committed: dict[str, Record]) -> list[str]:
    """Totals of the manifest that its records do not add up to."""
    manifest = run.manifest() if run.manifest_path.is_file() else None
    if manifest is None:
        return []
    stated = {"bars": manifest["bars"], "failed": manifest["failed"]}
    totals = {"bars": 0, "failed": 0}
    for table, rows in manifest["tables"].items():
        stated[f"{table} rows"], totals[f"{table} rows"] = rows, 0
    for record in committed.values():
        totals["bars"] += record["bars"]
        totals["failed"] += record["failed"]
        for table, file in record["tables"].items():
            totals[f"{table} rows"] = totals.get(f"{table} rows", 0) + file["rows"]
    names = sorted(stated | totals)
    return [
        f"{run.manifest_path}: {name} is {stated.get(name)}; the records add up to {totals.get(name)}"
        for name in names
        if stated.get(name) != totals.get(name)
    ]


def run_checks(run: RunDir, committed: dict[str, Record], *, is_whole: bool = True) -> list[Check]:
    """Every check of sql/checks over the sessions in `committed`, by name.

    is_whole  nothing of the run is damaged; else its metrics are not held against the sessions that are left
    """
    checks = {file.name: Check(file.name, file.claim) for file in views.sql_files("checks")}
    if not is_whole:
        del checks["metrics_agree"]
    for batch in _batches(committed):
        _run_files(run, batch, checks, set(checks) - ACROSS_SESSIONS, in_memory=True)
    _run_files(run, committed, checks, set(checks) & ACROSS_SESSIONS, in_memory=False)
    return list(checks.values())


def _run_files(
    run: RunDir, committed: dict[str, Record], checks: dict[str, Check], names: set[str], *, in_memory: bool
) -> None:
    """Add to the named checks what they find in the sessions in `committed`."""
    chosen = [file for file in views.sql_files("checks") if file.name in names]
    files, tables = views.needed(set().union(*(views.read_by(file.text) for file in chosen)))
    stored = views.stored_tables(run, committed, tables)
    if in_memory:
        stored = {name: table if isinstance(table, pa.Table) else table.to_table() for name, table in stored.items()}
    with views.connect(views.Resources.of_machine()) as connection:
        views.attach(connection, stored, files)
        views.lock(connection)
        for file in chosen:
            _run_check(connection, checks[file.name], file)


def _batches(committed: dict[str, Record]) -> Iterator[dict[str, Record]]:
    """The sessions in order, as many at a time as hold about BATCH_ROWS rows."""
    batch: dict[str, Record] = {}
    rows = 0
    for session, record in committed.items():
        more = sum(file["rows"] for file in record["tables"].values())
        if batch and rows + more > BATCH_ROWS:
            yield batch
            batch, rows = {}, 0
        batch[session] = record
        rows += more
    if batch:
        yield batch


def _run_check(connection: duckdb.DuckDBPyConnection, check: Check, file: views.SqlFile) -> None:
    """Add the rows that contradict the check to its count, and the first of them to its rows."""
    found = connection.sql(f"from ({file.text}) limit {SHOWN + 1}").to_arrow_table()
    violations = found.num_rows
    if violations > SHOWN:
        violations = connection.sql(f"from ({file.text})").count("*").fetchall()[0][0]
    check.violations += violations
    check.rows += found.slice(0, max(SHOWN - len(check.rows), 0)).to_pylist()


def session_violations(
    tables: dict[str, pa.Table],
    session: date,
    *,
    interval: str,
    hours: str,
    config: Mapping[str, object] | None = None,
    names: Iterable[str] | None = None,
) -> list[str]:
    """What the checks say against one session's tables before they are committed, in words; empty if nothing.

    tables  by name, of SESSION_TABLES; one that is absent counts as empty
    config  the resolved config, section by section
    names   the checks to run; all that hold for each session by itself when None
    """
    found = []
    with views.connect(views.Resources.of_machine()) as connection:
        stored = uncommitted(tables, session, interval=interval, hours=hours)
        stored["stored_settings"] = views.settings_table(config or {}, "")
        views.attach(connection, stored, views.needed()[0])
        for file in views.sql_files("checks"):
            if file.name not in ACROSS_SESSIONS if names is None else file.name in names:
                check = Check(file.name, file.claim)
                _run_check(connection, check, file)
                if check.violations:
                    found.append(f"{check.name}: {check.violations} rows against: {check.claim} First: {check.rows[0]}")
    return found


def uncommitted(tables: dict[str, pa.Table], session: date, *, interval: str, hours: str) -> dict[str, views.Stored]:
    """One session's tables as the views read them, before they are committed; absent ones are empty."""
    row = {"run_id": "", "interval": interval, "hours": hours, "is_finished": False}
    row |= dict.fromkeys(("sessions", "bars", "failed"), 0)
    stored: dict[str, views.Stored] = {"stored_runs": pa.Table.from_pylist([row], schema=views.RUNS)}
    for table in views.OF_RUN:
        stored[f"stored_{table}"] = views.table_schema(table).empty_table()
    for table in ("flow", *SESSION_TABLES):
        rows = tables.get(table)
        schema = views.table_schema(table, None if rows is None else rows.schema)
        rows = schema.empty_table() if rows is None else rows
        added = {"session": pa.repeat(pa.scalar(session, pa.date32()), len(rows)), "run_id": pa.repeat("", len(rows))}
        columns = [added[field.name] if field.name in added else rows[field.name] for field in schema]
        stored[f"stored_{table}"] = pa.Table.from_arrays(columns, schema=schema)
    return stored
