"""The rows every reader hands over: numbers read and scaled, symbols named, what is unreadable kept as text."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath

import polars as pl

from backtester.data.importers.layout import PRICES, Layout
from backtester.errors import InputError

NUMBERS = (*PRICES, "volume")
# Fixed-point vendors write the largest int64 where there is no price.
UNDEFINED = float(2**63 - 1)


@dataclass(frozen=True)
class Naming:
    """Where a symbol comes from if no column holds it: one for all, or the part of the path that `*` stands for."""

    symbol: str | None = None
    pattern: str | None = None

    def of(self, name: str) -> str | None:
        """The symbol of a file by its name; None if only a column can tell. Raise InputError if the pattern fails."""
        if self.pattern is None:
            return self.symbol
        before, _, after = self.pattern.partition("*")
        match = re.search(f"(?:^|/){re.escape(before)}([^/]+){re.escape(after)}$", PurePosixPath(name).as_posix())
        if match is None or self.pattern.count("*") != 1:
            raise InputError(
                f"{name}: --symbol-from {self.pattern!r} does not match; write the end of the path"
                " with one * for the symbol, such as '*.csv' or '*/2024.csv'"
            )
        return match[1]


def to_rows(table: pl.DataFrame, *, file: int, first_row: int, price_scale: float) -> pl.DataFrame:
    """One file's columns (label, symbol, open..volume; text or numbers) as rows in the importers' shape."""
    numbers = [_number(table[name], 1.0 if name == "volume" else price_scale) for name in NUMBERS]
    rows = pl.DataFrame([table["label"].alias("label"), table["symbol"].alias("symbol"), *numbers])
    return rows.with_columns(
        pl.lit(file, dtype=pl.UInt32).alias("file"),
        pl.int_range(first_row, first_row + pl.len(), dtype=pl.Int64).alias("row"),
        _unreadable(table, numbers).alias("unreadable"),
    )


def pick(
    table: pl.DataFrame, columns: dict[str, tuple[int, ...]], layout: Layout, *, symbol: str | None, place: str
) -> pl.DataFrame:
    """A vendor's columns, each named by its index, under our names: label, symbol, open..volume.

    Several columns for one field are joined as text by a space; a volume declared absent is 0.
    """
    chosen: dict[str, pl.Series] = {}
    for name, indexes in columns.items():
        parts = [pl.col(str(index)) for index in indexes]
        joined = pl.concat_str(parts, separator=" ") if len(parts) > 1 else parts[0]
        chosen[name] = table.select(joined).to_series()
    named = symbol_column(chosen.get("symbol"), symbol, height=table.height, renames=layout.symbols, place=place)
    chosen.setdefault("volume", pl.repeat(0.0, table.height, dtype=pl.Float64, eager=True))
    ours = {"label": chosen["timestamp"], "symbol": named, **{name: chosen[name] for name in NUMBERS}}
    return pl.DataFrame({name: series.alias(name) for name, series in ours.items()})


def symbol_column(
    column: pl.Series | None, constant: str | None, *, height: int, renames: dict[str, str], place: str
) -> pl.Series:
    """`height` symbols as text in NFC: the column's, renamed, or the constant; InputError for both or neither."""
    if column is not None and constant is not None:
        raise InputError(f"{place}: has a symbol column, so --symbol and --symbol-from must not name another")
    if column is None and constant is None:
        raise InputError(f"{place}: nothing tells the symbol; give --symbol, --symbol-from, or --columns 'symbol=NAME'")
    if column is None:
        return pl.repeat(unicodedata.normalize("NFC", str(constant)), height, dtype=pl.String, eager=True).alias(
            "symbol"
        )
    text = column.cast(pl.String).alias("symbol")
    seen = text.unique().drop_nulls().to_list()
    names = {one: unicodedata.normalize("NFC", renames.get(one, one)) for one in seen}
    changed = {vendor: symbol for vendor, symbol in names.items() if vendor != symbol}
    return text.replace(changed) if changed else text


def _number(column: pl.Series, scale: float) -> pl.Series:
    if column.dtype == pl.String:
        column = column.str.strip_chars()
    try:
        values = column.cast(pl.Float64, strict=False)
    except pl.exceptions.PolarsError:
        values = pl.repeat(None, column.len(), dtype=pl.Float64, eager=True)
    if scale == 1.0:
        return values.alias(column.name)
    # NumPy divides, and the quotient is the nearest double; polars would multiply by 1/scale, which rounds twice.
    quotients = pl.Series(column.name, values.fill_null(0.0).to_numpy() / scale)
    return quotients.set(values.is_null() | (values == UNDEFINED).fill_null(value=False), None)


def _unreadable(table: pl.DataFrame, numbers: list[pl.Series]) -> pl.Series:
    """The first number of each row that could not be read, as `name 'text'`; null where all could."""
    found = pl.repeat(None, table.height, dtype=pl.String, eager=True)
    for name, values in zip(NUMBERS, numbers, strict=True):
        if values.null_count():
            text = pl.format(f"{name} '{{}}'", table[name].cast(pl.String, strict=False).fill_null(""))
            here = pl.select(pl.when(values.is_null()).then(text)).to_series()
            found = pl.select(pl.coalesce(found, here)).to_series()
    return found
