"""Parquet tables: any column names and types, footers that lie, pages that rot."""

from __future__ import annotations

import datetime as dt
import io
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtester.data.importers import parquet
from backtester.data.importers.layout import Layout, parse_columns
from backtester.data.placing import Placing, place
from backtester.errors import InputError
from backtester.interval import Interval
from tests.data.vendor_bars import new_york, real_bars

AT = [dt.datetime(2024, 1, 2, 14, 30, tzinfo=dt.UTC), dt.datetime(2024, 1, 2, 14, 31, tzinfo=dt.UTC)]
EXPECTED = ["2024-01-02 14:30:00", "2024-01-02 14:31:00"]


def table(**columns: Any) -> pa.Table:
    base = {"t": pa.array(AT), "o": [1.0, 2.0], "h": [3.0, 3.0], "l": [1.0, 1.0], "c": [2.0, 2.0], "v": [10.0, 20.0]}
    return pa.table(base | {"symbol": pa.array(["NA", "007"])} | columns)


def encoded(content: pa.Table, **settings: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(content, sink, **settings)
    return sink.getvalue()


def rows_of(content: pa.Table | bytes, layout: Layout | None = None, *, symbol: str | None = None) -> pl.DataFrame:
    raw = content if isinstance(content, bytes) else encoded(content)
    return parquet.table_to_rows(raw, layout or Layout(), symbol=symbol, place="vendor.parquet")


def starts(rows: pl.DataFrame, zone: str | None = None) -> list[str]:
    placed, _ = place(rows, Placing(Interval.parse("1m"), zone=zone), place="vendor.parquet")
    return placed["timestamp"].dt.strftime("%Y-%m-%d %H:%M:%S").to_list()


@pytest.mark.parametrize(
    "dtype",
    [
        pa.string(),
        pa.large_string(),
        pa.string_view(),
        pa.dictionary(pa.int8(), pa.string()),
        pa.dictionary(pa.int32(), pa.large_string()),
    ],
)
def test_symbols_are_read_from_any_text_type(dtype):
    symbols = pa.array(["NA", "007"]).cast(dtype)

    assert rows_of(table(symbol=symbols))["symbol"].to_list() == ["NA", "007"]


@pytest.mark.parametrize(
    "dtype", [pa.int32(), pa.int64(), pa.float16(), pa.float32(), pa.decimal128(12, 4), pa.string()]
)
def test_prices_are_read_from_any_number_type(dtype):
    prices = pa.array([1.0, 2.0]).cast(dtype)

    assert rows_of(table(o=prices))["open"].to_list() == [1.0, 2.0]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_zoned_timestamps_of_every_unit_are_instants(unit, zone):
    times = pa.array(AT).cast(pa.timestamp(unit, zone))

    assert starts(rows_of(table(t=times))) == EXPECTED


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_naive_timestamps_are_the_declared_clock(unit):
    times = pa.array([at.replace(tzinfo=None) - dt.timedelta(hours=5) for at in AT]).cast(pa.timestamp(unit))

    assert starts(rows_of(table(t=times)), "America/New_York") == EXPECTED


@pytest.mark.parametrize("scale", [1, 1000, 10**6, 10**9])
def test_integer_times_are_counts_since_1970(scale):
    counts = pa.array([int(at.timestamp()) * scale for at in AT])

    assert starts(rows_of(table(t=counts))) == EXPECTED


def test_columns_are_mapped_like_those_of_text():
    content = table().rename_columns(["when", "first", "h", "l", "c", "v", "symbol"])

    rows = rows_of(content, Layout(columns=parse_columns("timestamp=when,open=first"), price_scale=2.0))

    assert (rows["open"].to_list(), rows["volume"].to_list()) == ([0.5, 1.0], [10.0, 20.0])


def test_nulls_are_unreadable_and_nan_is_kept():
    rows = rows_of(table(o=[None, float("nan")]))

    assert rows["unreadable"].to_list() == ["open ''", None]
    assert rows["open"].is_nan().to_list() == [None, True]


@pytest.mark.parametrize(
    ("column", "values"),
    [("o", pa.array([[1.0], [2.0]])), ("o", pa.array([b"1", b"2"])), ("t", pa.array([{"x": 1}, {"x": 2}]))],
)
def test_columns_that_hold_no_numbers_or_text_are_refused(column, values):
    with pytest.raises(InputError, match=rf"vendor\.parquet: column '{column}' is"):
        rows_of(table(**{column: values}))


def test_a_repeated_column_is_refused():
    with pytest.raises(InputError, match="2 columns are named 'o'"):
        rows_of(table(x=[1.0, 2.0]).rename_columns(["t", "o", "h", "l", "c", "v", "symbol", "O"]))


@pytest.mark.parametrize(
    ("limit", "value", "message"),
    [("MAX_ROWS", 1, "2 rows in one file"), ("MAX_COLUMNS", 3, "7 columns"), ("MAX_DECODED_BYTES", 9, "would decode")],
)
def test_a_footer_that_promises_too_much_is_refused(monkeypatch, limit, value, message):
    monkeypatch.setattr(parquet, limit, value)

    with pytest.raises(InputError, match=message):
        rows_of(table())


def test_an_empty_table_is_refused():
    with pytest.raises(InputError, match="no row of data"):
        rows_of(table().slice(0, 0))


@pytest.mark.parametrize("raw", [b"", b"PAR1", b"PAR1" * 100, b"t,o,h,l,c,v\n1,1,1,1,1,1\n"])
def test_what_is_no_parquet_is_refused(raw):
    with pytest.raises(InputError, match=r"vendor\.parquet: not a Parquet file"):
        rows_of(raw)


def test_every_truncation_is_refused():
    raw = encoded(table())

    for cut in range(0, len(raw), max(1, len(raw) // 40)):
        with pytest.raises(InputError):
            rows_of(raw[:cut])


def test_a_flipped_bit_in_a_page_with_a_checksum_is_refused():
    raw = bytearray(encoded(table(), write_page_checksum=True, compression="none", use_dictionary=False))
    at = raw.index(bytes(pa.array([10.0, 20.0]).buffers()[1])[:16])
    raw[at] ^= 1

    with pytest.raises(InputError, match="not a Parquet file that can be read"):
        rows_of(bytes(raw))


def test_real_pandas_files_are_read_as_they_are():
    bars = real_bars("parquet").filter(pl.col("symbol") == "SPGI")

    assert new_york(bars["timestamp"].head(1)) == ["2025-11-12 09:30"]
    assert bars.select("open", "volume").row(0) == (497.760009765625, 19426.0)
