"""Outputs compared bit by bit: what was known by an instant, of one computation and of another."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import polars as pl
import pyarrow as pa

from backtester.arrays import Bool, Int64
from backtester.data.columns import view_of
from backtester.strategy.futures import KEYS

Output: TypeAlias = pl.DataFrame | pa.Table  # with KEYS


class Told:
    """One output: its columns as Arrow arrays, floats as the integers of their bits, so that equal means equal bits."""

    def __init__(self, columns: dict[str, pa.Array]) -> None:
        """`columns` as of `told`."""
        self.columns = columns
        self.rows = len(columns["known_at"])

    @property
    def values(self) -> list[str]:
        """The columns that are no keys."""
        return [name for name in self.columns if name not in KEYS]

    def instants(self, name: str) -> Int64:
        """A key's instants in UTC microseconds."""
        values: Int64 = view_of(self.columns[name])
        return values

    def symbol(self, row: int) -> str:
        """Whose row it is, empty where it is nobody's."""
        return str(self.columns["symbol"][row].as_py() or "")

    def by(self, cut: int) -> Told:
        """The rows known by then, in their order."""
        is_known = self.instants("known_at") <= cut
        count = int(np.count_nonzero(is_known))
        if is_known[:count].all():
            return Told({name: column.slice(0, count) for name, column in self.columns.items()})
        return self._taken(np.flatnonzero(is_known))

    def in_order(self) -> Told:
        """The rows by label and symbol; those of one of each as they were."""
        words = np.array([word or "" for word in _plain(self.columns["symbol"]).to_pylist()], dtype=np.str_)
        return self._taken(np.lexsort((words, self.instants("timestamp"))))

    def _taken(self, places: Int64) -> Told:
        chosen = pa.Array.from_buffers(pa.int64(), len(places), [None, pa.py_buffer(places)])
        return Told({name: column.take(chosen) for name, column in self.columns.items()})


def told(output: Output) -> Told:
    """An output ready to be compared."""
    table = output.to_arrow() if isinstance(output, pl.DataFrame) else output
    return Told({name: _bits(_whole(table.column(name))) for name in table.column_names})


def nothing_of(other: Told) -> Told:
    """An output like another, without a row."""
    return Told({name: column.slice(0, 0) for name, column in other.columns.items()})


def moved(before: Told, after: Told) -> int | None:
    """The first row whose keys differ, or that one of them has not; None where all rows are the same ones."""
    same = min(before.rows, after.rows)
    differing = np.zeros(same, dtype=np.bool_)
    for key in KEYS:
        differing |= different(before.columns[key].slice(0, same), after.columns[key].slice(0, same))
    if differing.any():
        return int(np.argmax(differing))
    return same if before.rows != after.rows else None


def first_different(before: Told, after: Told) -> dict[str, int]:
    """Of outputs with the same rows: each column that differs, and where it first does; an absent one is all null."""
    found = {}
    for name in dict.fromkeys([*before.values, *after.values]):
        none = pa.nulls(before.rows)
        left, right = before.columns.get(name, none), after.columns.get(name, none)
        if not left.equals(right):
            differing = different(left, right)
            if differing.any():
                found[name] = int(np.argmax(differing))
    return found


def different(before: pa.Array, after: pa.Array) -> Bool:
    """True where two columns of `told` differ; null is the same as null alone."""
    if before.equals(after):
        return np.zeros(len(before), dtype=np.bool_)
    pair = [_plain(column) for column in (before, after)]
    # A column without a value left has no type of its own: it holds nulls.
    if pa.null() in (pair[0].type, pair[1].type):
        wanted = pair[1].type if pair[0].type == pa.null() else pair[0].type
        pair = [column.cast(wanted) for column in pair]
    if pair[0].type != pair[1].type:
        return np.ones(len(before), dtype=np.bool_)
    same: Bool = pl.Series(pair[0]).eq_missing(pl.Series(pair[1])).to_numpy()
    return ~same


def _whole(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    whole = column.combine_chunks()
    return pa.concat_arrays(whole.chunks) if isinstance(whole, pa.ChunkedArray) else whole


def _bits(column: pa.Array) -> pa.Array:
    if column.type == pa.float64() or pa.types.is_timestamp(column.type):
        return column.view(pa.int64())
    return column.view(pa.int32()) if column.type == pa.float32() else column


def _plain(column: pa.Array) -> pa.Array:
    """Words as text: dictionaries may hold the same words in another order."""
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    return column.cast(pa.string()) if pa.types.is_large_string(column.type) else column
