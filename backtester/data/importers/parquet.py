"""Parquet tables of any vendor: footer limits before decoding, checksums on, columns mapped by name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from backtester.data.importers.containers import VendorFile, describe, find_files, read_bytes
from backtester.data.importers.layout import Layout, resolve
from backtester.data.importers.rows import Naming, pick, to_rows
from backtester.errors import InputError

ENDINGS = (".parquet", ".pq")
MAX_ROWS = 50_000_000
MAX_ROW_GROUPS = 4096
MAX_COLUMNS = 512
MAX_DECODED_BYTES = 4 << 30


def read(
    sources: tuple[Path, ...], layout: Layout, naming: Naming
) -> Iterator[tuple[pl.DataFrame, tuple[VendorFile, ...]]]:
    """Yield each file's rows; see `importers` for their shape. Raise InputError for a file that is not such a table."""
    for name, path in find_files(sources, endings=ENDINGS):
        raw = read_bytes(path)
        rows = table_to_rows(raw, layout, symbol=naming.of(path.as_posix()), place=name)
        yield rows, (describe(name, raw),)


def table_to_rows(raw: bytes, layout: Layout, *, symbol: str | None, place: str) -> pl.DataFrame:
    """The rows of one Parquet file held in memory; `place` names it in errors."""
    try:
        # Checksums where the file has them: a flipped bit is otherwise read as different data.
        with pq.ParquetFile(pa.BufferReader(raw), page_checksum_verification=True) as source:
            _check_footer(source.metadata, place)
            header = source.schema_arrow.names
            columns = resolve(header, layout, place=place)
            wanted = sorted({index for chosen in columns.values() for index in chosen})
            _check_types(source.schema_arrow, wanted, rows=source.metadata.num_rows, place=place)
            table = source.read(columns=[header[index] for index in wanted], use_pandas_metadata=False)
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InputError(f"{place}: not a Parquet file that can be read ({error})") from error
    table = pa.table({str(index): _plain(table.column(k)) for k, index in enumerate(wanted)})
    picked = pick(pl.DataFrame(pl.from_arrow(table)), columns, layout, symbol=symbol, place=place)
    rows = to_rows(picked, file=0, first_row=1, price_scale=layout.price_scale)
    return rows.reverse() if layout.newest_first else rows


def _check_footer(footer: pq.FileMetaData, place: str) -> None:
    """Refuse a file whose footer promises more than a table of bars can need, before a page of it is decoded."""
    for found, limit, thing in (
        (footer.num_rows, MAX_ROWS, "rows"),
        (footer.num_row_groups, MAX_ROW_GROUPS, "row groups"),
        (footer.num_columns, MAX_COLUMNS, "columns"),
    ):
        if found > limit:
            raise InputError(f"{place}: {found} {thing} in one file; at most {limit} are read, split it")
    if footer.num_rows == 0:
        raise InputError(f"{place}: no row of data")


def _check_types(schema: pa.Schema, wanted: list[int], *, rows: int, place: str) -> None:
    """Refuse columns that are neither numbers, text, times nor dictionaries of them, and more bytes than memory."""
    width = 0
    for index in wanted:
        dtype = schema.field(index).type
        value = dtype.value_type if pa.types.is_dictionary(dtype) else dtype
        if pa.types.is_nested(value) or pa.types.is_binary(value) or pa.types.is_large_binary(value):
            raise InputError(
                f"{place}: column {schema.field(index).name!r} is {dtype}; expected numbers, text or times"
            )
        # What the footer says of bytes can be a lie by a factor of a thousand; the types' width cannot.
        width += 32 if _is_text(value) else 8
    if rows * width > MAX_DECODED_BYTES:
        raise InputError(
            f"{place}: {rows} rows would decode to more than {MAX_DECODED_BYTES >> 30} GiB; split the file"
        )


def _is_text(dtype: pa.DataType) -> bool:
    return bool(pa.types.is_string(dtype) or pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype))


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """The same values without dictionary or half precision, neither of which every later step reads."""
    if pa.types.is_dictionary(column.type):
        return column.cast(column.type.value_type)
    if pa.types.is_float16(column.type):
        return column.cast(pa.float32())
    return column
