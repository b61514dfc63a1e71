"""Text tables of any vendor: header by name, everything read as text first, so that no value is guessed."""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.csv as arrow_csv

from backtester.data.importers.containers import VendorFile, find_files, read_content
from backtester.data.importers.layout import Layout, resolve
from backtester.data.importers.rows import Naming, pick, to_rows
from backtester.errors import InputError

ENDINGS = (".csv", ".csv.gz", ".txt", ".txt.gz")
DELIMITERS = (",", ";", "\t", "|")
MAX_COLUMNS = 512
# Text in memory takes several times its bytes: a file of any size is read in pieces of this many.
PIECE_BYTES = 64 << 20


class _Opening(NamedTuple):
    """What the first lines of a table say: names (or "" each), how they are parted, and the first data row's width."""

    header: list[str]
    delimiter: str
    width: int


def read(
    sources: tuple[Path, ...], layout: Layout, naming: Naming
) -> Iterator[tuple[pl.DataFrame, tuple[VendorFile, ...]]]:
    """Yield each file's rows, a large file's in pieces; see `importers` for their shape.

    Raise InputError for a file that is not such a table.
    """
    for name, path in find_files(sources, endings=ENDINGS):
        content = read_content(name, path)
        for rows in table_to_rows(content.data, layout, symbol=naming.of(path.as_posix()), place=name):
            yield rows, (content.file,)


def table_to_rows(data: bytes, layout: Layout, *, symbol: str | None, place: str) -> Iterator[pl.DataFrame]:
    """Yield the rows of one text table in order of time; `place` names it in errors, of which no row of data is one."""
    body = data.removeprefix(b"\xef\xbb\xbf").lstrip(b"\r\n")
    opening = _opening(body, layout, place)
    columns = resolve(opening.header, layout, place=place)
    pieces = _pieces(body, opening, columns, layout, symbol=symbol, place=place)
    yield from [piece.reverse() for piece in pieces][::-1] if layout.newest_first else pieces


def _pieces(
    body: bytes,
    opening: _Opening,
    columns: dict[str, tuple[int, ...]],
    layout: Layout,
    *,
    symbol: str | None,
    place: str,
) -> Iterator[pl.DataFrame]:
    wanted = sorted({index for chosen in columns.values() for index in chosen})
    skip_rows, first_row, start = (1, 2, 0) if layout.header else (0, 1, 0)
    whole = pa.py_buffer(body)
    while start < len(body):
        stop = body.find(b"\n", start + PIECE_BYTES) + 1 or len(body)
        piece = whole.slice(start, stop - start)
        start = stop
        if piece.size < 4096 and not piece.to_pybytes().strip():
            continue  # what blank lines are left at the end
        text, ragged = read_text(
            piece, width=opening.width, wanted=wanted, delimiter=opening.delimiter, skip_rows=skip_rows, place=place
        )
        ragged = [(first_row - 1 - skip_rows + line, faulty) for line, faulty in ragged]
        picked = pick(text, columns, layout, symbol=symbol, place=place)
        rows = to_rows(picked, file=0, first_row=first_row, price_scale=layout.price_scale)
        rows = _with_ragged(rows, ragged, first_row)
        skip_rows, first_row = 0, first_row + rows.height
        yield rows


def require_text(body: bytes, place: str) -> None:
    """Raise InputError for bytes that are not UTF-8: a faulty line of them would be dropped without a word."""
    try:
        if not body.isascii():
            body.decode("utf-8")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise InputError(f"{place}: line {line} is not UTF-8 text ({error.reason}); convert the file") from error


def _opening(body: bytes, layout: Layout, place: str) -> _Opening:
    if body[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(f"{place}: UTF-16 text; convert it to UTF-8")
    # The first two lines that hold anything.
    head = [match[0] for match in itertools.islice(re.finditer(rb"[^\r\n]+", body), 2)]
    if not head:
        raise InputError(f"{place}: no row of data")
    if b"\0" in head[0]:
        raise InputError(f"{place}: not a text file (its first line holds a zero byte)")
    require_text(body, place)
    first, second = ([line.decode("utf-8") for line in head] + [""])[:2]
    delimiter = layout.delimiter or max(DELIMITERS, key=first.count)
    names, values = (next(csv.reader([line], delimiter=delimiter), []) for line in (first, second))
    if layout.header and not values:
        raise InputError(f"{place}: no row of data")
    width = len(values) if layout.header and layout.is_by_position else len(names)
    if layout.header and not layout.is_by_position and len(values) != len(names):
        raise InputError(
            f"{place}: the header has {len(names)} names, row 2 has {len(values)} fields;"
            " give every column by position, such as --columns 'timestamp=1+2,open=3,high=4,low=5,close=6,volume=7'"
        )
    if not 1 < width <= MAX_COLUMNS:
        raise InputError(f"{place}: {width} columns by {delimiter!r}; expected 5 to {MAX_COLUMNS} (see --delimiter)")
    header = names if layout.header and not layout.is_by_position else [""] * width
    return _Opening(header, delimiter, width)


def read_text(
    body: pa.Buffer | bytes, *, width: int, wanted: list[int], delimiter: str = ",", skip_rows: int = 0, place: str
) -> tuple[pl.DataFrame, list[tuple[int, str]]]:
    """The wanted columns as text under their index, and (line, text) of each line without `width` fields."""
    ragged: list[tuple[int, str]] = []

    def keep_aside(row: arrow_csv.InvalidRow) -> str:
        ragged.append((row.number or 0, row.text))
        return "skip"

    def parse(*, threads: bool) -> pa.Table:
        ragged.clear()
        names = [str(index) for index in range(width)]
        chosen = [str(index) for index in wanted]
        return arrow_csv.read_csv(
            pa.BufferReader(body),
            read_options=arrow_csv.ReadOptions(column_names=names, skip_rows=skip_rows, use_threads=threads),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, invalid_row_handler=keep_aside),
            convert_options=arrow_csv.ConvertOptions(
                column_types=dict.fromkeys(chosen, pa.string()), include_columns=chosen, strings_can_be_null=False
            ),
        )

    try:
        table = parse(threads=True)
        if ragged:  # only a single thread knows line numbers, and only a faulty file needs them
            table = parse(threads=False)
    except pa.ArrowInvalid as error:
        raise InputError(f"{place}: not a text table that can be read ({error})") from error
    return pl.DataFrame(pl.from_arrow(table)), ragged


def _with_ragged(rows: pl.DataFrame, ragged: list[tuple[int, str]], first_row: int) -> pl.DataFrame:
    """Put lines with the wrong number of fields back in their place: every field null, the text in `unreadable`."""
    if not ragged:
        return rows
    lines = pl.Series("row", [line for line, _ in ragged], dtype=pl.Int64)
    every = pl.int_range(first_row, first_row + rows.height + len(ragged), dtype=pl.Int64, eager=True)
    faulty = pl.DataFrame([lines, pl.Series("unreadable", [f"line '{text}'" for _, text in ragged])])
    numbered = rows.with_columns(every.filter(~every.is_in(lines.implode())).alias("row"))
    faulty = faulty.with_columns(pl.lit(0, dtype=pl.UInt32).alias("file"))
    return pl.concat([numbered, faulty], how="diagonal").sort("row")
