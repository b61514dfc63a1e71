"""What continuous indicators carry from one session to the next, as the table INDICATOR_STATE.

A key holds a list of numbers for each symbol. Symbols that a session does not know (their bars are damaged) keep what
they had, but for the run of unbroken bars.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa

from backtester.arrays import Float64, Int32, Int64
from backtester.data.columns import codes_of, dictionary, numbers, symbols_of, text, view_of
from backtester.schema import INDICATOR_STATE

# Keys of the bars carried begin with it; their lists with how many bars in a row were not broken by a missing one.
ROWS = "rows:"


class Lists(NamedTuple):
    """A list of numbers per symbol: list s is values offsets[s] to offsets[s + 1] - 1."""

    offsets: Int64
    values: Float64


State = dict[str, Lists]


def empty_lists(symbols: int) -> Lists:
    """A list without numbers for each symbol."""
    return Lists(np.zeros(symbols + 1, dtype=np.int64), np.empty(0))


def read_state(table: pa.Table | None, symbols: pa.StringArray) -> State:
    """The lists of each key in the order of `symbols`, empty for those without."""
    if table is None or not table.num_rows:
        return {}
    table = table.combine_chunks()
    keys, key_codes = table.column("key").chunk(0).dictionary.to_pylist(), _key_codes(table)
    place = {name: s for s, name in enumerate(symbols.to_pylist())}
    held = np.array([place.get(name, -1) for name in symbols_of(table).to_pylist()], dtype=np.int64)
    symbol = held[codes_of(table)] if len(held) else np.empty(0, dtype=np.int64)
    offsets, values = _list_parts(table)
    state = {}
    for code, key in enumerate(keys):
        rows = np.flatnonzero((key_codes == code) & (symbol >= 0))
        at = np.full(len(symbols), -1, dtype=np.int64)
        at[symbol[rows]] = rows
        lengths = np.where(at >= 0, offsets[at + 1] - offsets[at], 0)
        state[key] = Lists(_starts(lengths), values[spread(offsets[at], lengths)])
    return state


def write_state(state: State, symbols: pa.StringArray, before: pa.Table | None) -> pa.Table:
    """INDICATOR_STATE of these lists, and of `before` for symbols that are not among them."""
    names = symbols.to_pylist()
    gone = _of_others(before, set(names))
    universe = sorted({*names, *(symbol for symbol, _ in gone)})
    rank = {name: s for s, name in enumerate(universe)}
    keys = sorted({*state, *(key for _, key in gone)})
    own = np.array([rank[name] for name in names], dtype=np.int64)
    codes, owners, lengths, flat = [], [], [], []
    for k, key in enumerate(keys):
        lists = state.get(key, empty_lists(len(names)))
        others = {rank[symbol]: values for (symbol, of), values in gone.items() if of == key}
        counts = np.zeros(len(universe), dtype=np.int64)
        counts[own] = np.diff(lists.offsets)
        for symbol, values in others.items():
            counts[symbol] = len(values)
        starts = _starts(counts)
        merged = np.empty(int(starts[-1]))
        merged[spread(starts[own], counts[own])] = lists.values
        for symbol, values in others.items():
            merged[starts[symbol] : starts[symbol + 1]] = values
        filled = np.flatnonzero(counts)
        codes.append(np.full(len(filled), k, dtype=np.int32))
        owners.append(filled.astype(np.int32))
        lengths.append(counts[filled])
        flat.append(merged)
    offsets = _starts(np.concatenate([np.empty(0, dtype=np.int64), *lengths])).astype(np.int32)
    none = np.empty(0, dtype=np.int32)
    kind = INDICATOR_STATE.field("values").type
    arrays = [
        dictionary(np.concatenate([none, *owners]), text(universe)),
        dictionary(np.concatenate([none, *codes]), text(keys)),
        pa.Array.from_buffers(
            kind,
            len(offsets) - 1,
            [None, pa.py_buffer(offsets)],
            children=[numbers(np.concatenate([np.empty(0), *flat]))],
        ),
    ]
    return pa.Table.from_arrays(arrays, schema=INDICATOR_STATE)


def spread(starts: Int64, lengths: Int64) -> Int64:
    """The places starts[s], starts[s] + 1, ... of every list, lengths[s] each, one list after another."""
    total = _starts(lengths)
    places: Int64 = np.repeat(starts - total[:-1], lengths) + np.arange(total[-1])
    return places


def square(lists: Lists, size: int) -> Float64:
    """[symbols, size], zeros where a symbol has no list."""
    out = np.zeros((len(lists.offsets) - 1, size))
    lengths = np.diff(lists.offsets)
    assert np.all((lengths == size) | (lengths == 0))
    out[lengths == size] = lists.values.reshape(-1, size) if size else 0.0
    return out


def rows_of(values: Float64, keep: Int64) -> Lists:
    """A list per row of [symbols, size], empty for symbols that are not in `keep`."""
    lengths = np.zeros(len(values), dtype=np.int64)
    lengths[keep] = values.shape[1]
    return Lists(_starts(lengths), np.ascontiguousarray(values[keep]).ravel())


def _starts(lengths: Int64) -> Int64:
    starts = np.zeros(len(lengths) + 1, dtype=np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts


def _key_codes(table: pa.Table) -> Int32:
    codes: Int32 = view_of(table.column("key").chunk(0).indices)
    return codes


def _list_parts(table: pa.Table) -> tuple[Int64, Float64]:
    lists = table.column("values").chunk(0)
    return view_of(lists.offsets).astype(np.int64), view_of(lists.values)


def _of_others(before: pa.Table | None, names: set[str]) -> dict[tuple[str, str], Float64]:
    if before is None or not before.num_rows:
        return {}
    before = before.combine_chunks()
    held = symbols_of(before).to_pylist()
    if names.issuperset(held):
        return {}
    keys, key_codes = before.column("key").chunk(0).dictionary.to_pylist(), _key_codes(before)
    offsets, values = _list_parts(before)
    found = {}
    for row, symbol in enumerate(codes_of(before).tolist()):
        if held[symbol] not in names:
            key, own = keys[key_codes[row]], values[offsets[row] : offsets[row + 1]]
            # All the session's bars of a symbol that it does not know are missing: the run of unbroken ones ends.
            found[held[symbol], key] = np.concatenate([[0.0], own[1:]]) if key.startswith(ROWS) else own
    return found
