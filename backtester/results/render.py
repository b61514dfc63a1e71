"""Rows as text: an aligned table, CSV, JSON; and as the bytes of a Parquet file."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa

from backtester.errors import UsageError

TABLE_ROWS = 200
FORMATS = ("table", "csv", "json", "parquet")


def render(table: pa.Table, form: str) -> bytes:
    """The whole answer in one of FORMATS."""
    if form == "parquet":
        import pyarrow.parquet as pq

        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
        return bytes(sink.getvalue())
    text = {"table": table_text, "csv": csv_text, "json": json_text}[form](table)
    return text.encode()


def plain(value: Any) -> Any:
    """A value as JSON has it: ISO dates, UTC instants ending in Z, exact whole numbers, None for NaN and infinities."""
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, datetime):
        return value.isoformat().replace("+00:00", "Z")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, timedelta):
        return str(value)
    if isinstance(value, pa.MonthDayNano):
        return _duration(value)
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value)


def _duration(value: pa.MonthDayNano) -> str:
    """An interval as ISO 8601 writes it: P1M2DT23400S."""
    seconds, rest = divmod(abs(value.nanoseconds), 1_000_000_000)
    fraction = f".{rest:09d}".rstrip("0") if rest else ""
    sign = "-" if value.nanoseconds < 0 else ""
    days = (f"{value.months}M" if value.months else "") + (f"{value.days}D" if value.days else "")
    clock = f"T{sign}{seconds}{fraction}S" if value.nanoseconds or not days else ""
    return f"P{days}{clock}"


def plain_rows(table: pa.Table) -> Iterable[list[Any]]:
    """The rows, each a list of plain values; a batch at a time, so memory stays near the table's own."""
    for batch in table.to_batches(max_chunksize=65_536):
        try:
            columns = [[plain(value) for value in column.to_pylist()] for column in batch.columns]
        except (OverflowError, ValueError) as error:
            raise UsageError(f"a value cannot be written ({error}); cast the column to varchar") from error
        yield from (list(row) for row in zip(*columns, strict=True))


def json_text(table: pa.Table) -> str:
    """One array of objects, a line each."""
    names = table.column_names
    lines = (json.dumps(dict(zip(names, row, strict=True)), ensure_ascii=False) for row in plain_rows(table))
    body = ",\n ".join(lines)
    return f"[{body}]\n"


def csv_text(table: pa.Table) -> str:
    """A header, then a line per row; null is empty."""
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows([_cell(value, null="") for value in row] for row in plain_rows(table))
    return sink.getvalue()


def table_text(table: pa.Table) -> str:
    """Aligned columns, numbers to the right, and how many of the rows these are; EXPLAIN's drawing as it is."""
    if table.column_names == ["explain_key", "explain_value"]:
        return "\n".join(table["explain_value"].to_pylist())
    rows = [[_cell(value, null="null") for value in row] for row in plain_rows(table.slice(0, TABLE_ROWS))]
    numeric = [_is_numeric(field.type) for field in table.schema]
    lines = aligned([table.column_names, *rows], to_right=numeric)
    total = f"{table.num_rows:,} {'row' if table.num_rows == 1 else 'rows'}"
    shown = f"first {TABLE_ROWS} of {total}; --format csv or json gives all" if table.num_rows > TABLE_ROWS else total
    return "\n".join([*lines, f"({shown})"]) + "\n"


def aligned(rows: Sequence[Sequence[str]], *, to_right: Sequence[bool]) -> list[str]:
    """The rows as lines with every column as wide as its widest cell."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(to_right))]
    return [
        "  ".join(
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, to_right, strict=True)
        ).rstrip()
        for row in rows
    ]


def _cell(value: Any, *, null: str) -> str:
    if value is None:
        return null
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return str(value)


def _is_numeric(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_integer(dtype) or pa.types.is_floating(dtype) or pa.types.is_decimal(dtype))
