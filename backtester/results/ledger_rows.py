"""The ledger's rows of a run as plain values, over all its sessions: for commands that tell of single ones."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq

from backtester.data.run_dir import RunDir
from backtester.errors import StoreError, UsageError

Row = dict[str, Any]


def rows_of(run: RunDir, table: str, **equal: object) -> list[Row]:
    """Every committed row of a table whose columns equal what is given, in the order it was written."""
    return [row for row in every_row(run, table) if all(row[name] == value for name, value in equal.items())]


def every_row(run: RunDir, table: str) -> Iterator[Row]:
    """Every committed row of a table with its session, session by session."""
    for session, path in run.files(table):
        for row in pq.read_table(path, partitioning=None).to_pylist():
            yield {"session": session, **row}


def one_row(run: RunDir, table: str, column: str, number: int) -> Row:
    """The row whose `column` is `number`; UsageError says what there is."""
    found = rows_of(run, table, **{column: number})
    if not found:
        count = sum(1 for _ in every_row(run, table))
        what = table.rstrip("s").replace("_", " ")
        there = f"it has {count}, numbered from 0" if count else f"it has no {table}"
        raise UsageError(f"{run.root}: no {what} {number}; {there}")
    return found[0]


def settings_of(run: RunDir) -> dict[str, Any]:
    """The resolved config as sections."""
    try:
        return tomllib.loads(run.config_path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise StoreError(f"{run.config_path}: not readable as TOML ({error})") from error
