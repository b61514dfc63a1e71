"""A session's tables into its run's directory, and what the next session takes over back out of it."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from backtester import schema
from backtester.data.run_dir import RunDir
from backtester.errors import StoreError
from backtester.run.flow import Flow

REPEATING = {"timestamp", "known_at", "bars", "expected_bars"}

# What a session hands to the next: its committed tables of schema.CARRIED that have rows, names as plain text.
Carry = dict[str, pa.Table]


@dataclass(frozen=True)
class Completed:
    """A session that is computed and not yet committed; `tables` may hold empty ones, which are not written."""

    flow: Flow
    bars: int
    failed: int
    tables: dict[str, pa.Table]


@dataclass(frozen=True)
class Done:
    """What a committed session counts for: bars processed, failed symbols, and its SESSION_FLOW lines."""

    session: str
    bars: int
    failed: int
    lines: list[str]


def commit(run_dir: RunDir, completed: Completed) -> Done:
    """Write a session's tables and then its record; when this returns the session exists."""
    name = completed.flow.session
    run_dir.write_flow(name, parquet(completed.flow.table()))
    content = {
        table: (rows.num_rows, _encoded(table, rows)) for table, rows in completed.tables.items() if rows.num_rows
    }
    run_dir.commit(name, bars=completed.bars, failed=completed.failed, tables=content)
    return Done(name, completed.bars, completed.failed, completed.flow.lines())


def carried(tables: dict[str, pa.Table]) -> Carry:
    """What a session with these tables hands to the next."""
    return {name: _plain(tables[name]) for name in schema.CARRIED if name in tables and tables[name].num_rows}


def committed_carry(run_dir: RunDir, session: str) -> Carry:
    """The same, from the files of a session that is committed and whole."""
    return carried(committed_tables(run_dir, session, schema.CARRIED))


def committed_tables(run_dir: RunDir, session: str, names: Iterable[str]) -> dict[str, pa.Table]:
    """Those of the named tables that a committed session has, from its files."""
    held = run_dir.record(session)["tables"]
    return {name: _read(run_dir, name, session) for name in names if name in held}


def _read(run_dir: RunDir, table: str, session: str) -> pa.Table:
    path = run_dir.inside(run_dir.table_path(table, session))
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return file.read()
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path}: not readable as Parquet ({error}); `run --resume` computes it again") from error


def _plain(table: pa.Table) -> pa.Table:
    # Dictionaries hold what a table was made from or what its file was read into; as text the two are the same.
    fields, columns = [], []
    for field, column in zip(table.schema, table.columns, strict=True):
        if pa.types.is_dictionary(field.type):
            field, column = field.with_type(field.type.value_type), column.cast(field.type.value_type)
        fields.append(field)
        columns.append(column)
    plain = pa.Table.from_arrays(columns, schema=pa.schema(fields))
    return plain if all(column.num_chunks == 1 for column in plain.columns) else plain.combine_chunks()


def _encoded(name: str, table: pa.Table) -> memoryview:
    # Sessions between two listings hand in one object.
    return _kept(_Same(table)) if name == "streams" else parquet(table)


class _Same:
    """A table as a key: equal to itself alone, and kept alive so that no other takes its place."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and other.table is self.table

    def __hash__(self) -> int:
        return id(self.table)


@functools.lru_cache(maxsize=4)
def _kept(same: _Same) -> memoryview:
    return parquet(same.table)


def parquet(table: pa.Table) -> memoryview:
    # Uncompressed and without statistics, which nothing reads: a third of zstd's time (bench/bench_run.py). Columns
    # whose few values repeat as a dictionary: of 55,000 derived bars 2.3 MB to check, digest and write instead of 3.6.
    keys = [field.name for field in table.schema if pa.types.is_dictionary(field.type) or field.name in REPEATING]
    sink = pa.BufferOutputStream()
    pq.write_table(
        table, sink, compression="none", use_dictionary=keys, write_statistics=False, write_page_checksum=True
    )
    return memoryview(sink.getvalue()).cast("B")
