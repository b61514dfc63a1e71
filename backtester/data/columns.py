"""A table's columns as kernels take them, and back: NumPy views and Arrow arrays over the same memory.

Not by `pa.array` and `to_numpy`: they ask whether pandas is installed by importing it, a third of a second.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from backtester.arrays import Bars, Bool, Float64, Int32, Int64, Scalar
from backtester.schema import INSTANT


def view_of(array: pa.Array) -> npt.NDArray[Any]:
    """An array of numbers without nulls, not copied."""
    return np.from_dlpack(array)


def floats_of(column: pa.ChunkedArray) -> Float64:
    """A column of float64, NaN where it is null; not by fill_null, whose module takes a third of a second to import."""
    parts = [_floats_of(chunk) for chunk in column.chunks]
    return parts[0] if len(parts) == 1 else np.concatenate([np.empty(0), *parts])


def _floats_of(array: pa.Array) -> Float64:
    if not array.null_count:
        values: Float64 = view_of(array)
        return values
    filled: Float64 = values_of(array)
    return filled


def values_of(array: pa.Array) -> npt.NDArray[Any]:
    """Numbers, instants and dates as they are, as float64 with NaN where one is null; booleans, false where null."""
    if pa.types.is_boolean(array.type):
        held = _unpacked(array.buffers()[1], array)
        return held & _is_valid(array) if array.null_count else held
    if pa.types.is_temporal(array.type):
        array = array.view(pa.int64() if array.type.bit_width == 64 else pa.int32())
    if not array.null_count:
        return view_of(array)
    _, data = array.buffers()
    kind = array.type.to_pandas_dtype()
    rows = np.frombuffer(data, dtype=kind)[array.offset : array.offset + len(array)]
    return np.where(_is_valid(array), rows, np.nan)


def _is_valid(array: pa.Array) -> Bool:
    return _unpacked(array.buffers()[0], array)


def _unpacked(bits: pa.Buffer, array: pa.Array) -> Bool:
    """The bits of an array's rows."""
    every = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), bitorder="little")
    return every[array.offset : array.offset + len(array)].view(np.bool_)


def timestamps_of(table: pa.Table) -> Int64:
    """The `timestamp` column in UTC microseconds; the table has one chunk a column."""
    view: Int64 = view_of(table.column("timestamp").chunk(0).view(pa.int64()))
    return view


def codes_of(table: pa.Table) -> Int32:
    """Each row's place in the dictionary of `symbol`."""
    view: Int32 = view_of(table.column("symbol").chunk(0).indices)
    return view


def symbols_of(table: pa.Table) -> pa.StringArray:
    """The dictionary of `symbol`: every symbol that could have a row."""
    return table.column("symbol").chunk(0).dictionary


def bars_of(table: pa.Table) -> Bars:
    """The price and volume columns."""
    return Bars(*(view_of(table.column(name).chunk(0)) for name in Bars._fields))


def room(rows: int, kind: type[Scalar]) -> npt.NDArray[Scalar]:
    """An uninitialised column from Arrow's pool, which hands out the last session's pages again.

    Fresh pages cost a fault each: 10 ns a row over the pass's outputs.
    """
    return np.frombuffer(pa.allocate_buffer(rows * np.dtype(kind).itemsize), dtype=kind)


def numbers(values: npt.NDArray[np.generic], *, null: Bool | None = None) -> pa.Array:
    """Numbers of any width, null where `null` is true."""
    return pa.Array.from_buffers(_kind(values.dtype), len(values), [_validity(null), _buffer(values)])


@functools.cache
def _kind(of: np.dtype[Any]) -> pa.DataType:
    return pa.from_numpy_dtype(of)


def instants(values: Int64, *, null: Bool | None = None) -> pa.Array:
    """UTC microseconds, null where `null` is true."""
    return pa.Array.from_buffers(INSTANT, len(values), [_validity(null), _buffer(values)])


def dates(days: Int32, *, null: Bool | None = None) -> pa.Array:
    """Days since 1970, null where `null` is true."""
    return pa.Array.from_buffers(pa.date32(), len(days), [_validity(null), _buffer(days)])


def flags(values: Bool) -> pa.Array:
    """Booleans."""
    return pa.Array.from_buffers(pa.bool_(), len(values), [None, _bits(values)])


def text(values: Sequence[str | None]) -> pa.Array:
    """Strings; None is null."""
    encoded = [(value or "").encode() for value in values]
    offsets = np.array([0, *itertools.accumulate(map(len, encoded))], dtype=np.int32)
    null = np.array([value is None for value in values], dtype=np.bool_) if None in values else None
    return pa.Array.from_buffers(
        pa.string(), len(values), [_validity(null), pa.py_buffer(offsets), pa.py_buffer(b"".join(encoded))]
    )


def dictionary(codes: Int32, names: pa.StringArray, *, null: Bool | None = None) -> pa.DictionaryArray:
    """A column of names, one code a row."""
    return pa.DictionaryArray.from_arrays(numbers(codes, null=null), names, safe=False)


def dictionary_of(values: Sequence[str | None]) -> pa.DictionaryArray:
    """A column of names given as text, its dictionary in order of first use; None is null."""
    names = list(dict.fromkeys(value for value in values if value is not None))
    position = {name: index for index, name in enumerate(names)}
    codes = np.array([0 if value is None else position[value] for value in values], dtype=np.int32)
    return dictionary(codes, text(names), null=np.array([value is None for value in values], dtype=np.bool_))


def empty(schema: pa.Schema) -> pa.Table:
    """A table without a row, one chunk a column; not by empty_table, which imports pandas."""
    return pa.Table.from_arrays([_nothing(field.type) for field in schema], schema=schema)


def _nothing(kind: pa.DataType) -> pa.Array:
    if pa.types.is_dictionary(kind):
        return dictionary(np.empty(0, dtype=np.int32), text([]))
    if pa.types.is_string(kind):
        return text([])
    if pa.types.is_list(kind):
        offsets = pa.py_buffer(np.zeros(1, dtype=np.int32))
        return pa.Array.from_buffers(kind, 0, [None, offsets], children=[_nothing(kind.value_type)])
    return pa.Array.from_buffers(kind, 0, [None, pa.py_buffer(b"")])


def _buffer(values: npt.NDArray[Any]) -> pa.Buffer:
    return pa.py_buffer(values if values.flags.c_contiguous else np.ascontiguousarray(values))


def _validity(null: Bool | None) -> pa.Buffer | None:
    return None if null is None or not null.any() else _bits(~null)


def _bits(values: Bool) -> pa.Buffer:
    return pa.py_buffer(np.packbits(values, bitorder="little"))
