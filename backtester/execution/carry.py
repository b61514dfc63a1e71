"""The account overnight: the ledger's state as tables, and back, bit for bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from backtester.arrays import Float64, Int32, Int64
from backtester.data.columns import dictionary, floats_of, numbers, text, view_of
from backtester.kernels import state as layout
from backtester.kernels.state import State, new_state
from backtester.schema import carried


def tables_of(state: State, symbols: Sequence[str], *, fifo: bool) -> dict[str, pa.Table]:
    """The state as the carried tables of a session.

    symbols  by code
    fifo     lots are counted
    """
    names = text(symbols)
    if fifo:
        state = _compacted(state)
    known = np.flatnonzero(~np.isnan(state.book[:, layout.MARK]) | (state.facts[:, layout.TARGET_UNIT] >= 0))
    live = int(state.counters[layout.LIVE])
    orders = [
        dictionary(column.astype(np.int32), names) if name == "symbol" else numbers(column)
        for name, column in zip(carried.ORDER_COUNTS, state.orders[:live].T, strict=True)
    ]
    tables = {
        "account": _table(carried.ACCOUNT, [*_floats(state.account[None]), *_counts(state.counters[None])]),
        "book": _table(
            carried.BOOK,
            [
                dictionary(known.astype(np.int32), names),
                *_floats(state.book[known]),
                *_counts(state.facts[known]),
            ],
        ),
        "open_orders": _table(carried.OPEN_ORDERS, [*orders, *_floats(state.amounts[:live])]),
    }
    if fifo:
        tables["lots"] = _table(carried.LOTS, [*_floats(state.lots), numbers(state.next_lot)])
    return tables


def state_of(carry: Mapping[str, pa.Table], symbols: Sequence[str], capital: float) -> State:
    """The state of the session before, a new account where there is none.

    carry    as of tables_of, symbols as text; a table without a row may be missing
    symbols  by code
    """
    state = new_state(len(symbols), capital)
    if "account" not in carry:
        return state
    code_of = {symbol: code for code, symbol in enumerate(symbols)}
    state.account[:] = _read(carry["account"], carried.ACCOUNT_FLOATS)[0]
    state.counters[:] = _read_counts(carry["account"], carried.ACCOUNT_COUNTS)[0]
    if "book" in carry:
        rows = [code_of[symbol] for symbol in carry["book"]["symbol"].to_pylist()]
        state.book[rows] = _read(carry["book"], carried.BOOK_FLOATS)
        state.facts[rows] = _read_counts(carry["book"], carried.BOOK_COUNTS)
    held = np.flatnonzero(state.book[:, layout.POSITION])
    state.held[: len(held)] = held
    if "open_orders" in carry:
        state = _with_orders(state, carry["open_orders"], code_of)
    if "lots" in carry:
        state = _with_lots(state, carry["lots"])
    return state


def _compacted(state: State) -> State:
    """The same state with its lots one after the other, symbol by symbol, and none that is free."""
    facts, counters = state.facts.copy(), state.counters.copy()
    used: list[int] = []
    next_lot: list[int] = []
    facts[:, layout.LAST_LOT] = -1
    for symbol in np.flatnonzero(state.facts[:, layout.FIRST_LOT] >= 0).tolist():
        lot = int(state.facts[symbol, layout.FIRST_LOT])
        facts[symbol, layout.FIRST_LOT] = len(used)
        while lot >= 0:
            used.append(lot)
            next_lot.append(len(used))
            lot = int(state.next_lot[lot])
        next_lot[-1] = -1
        facts[symbol, layout.LAST_LOT] = len(used) - 1
    counters[layout.FREE_LOT] = len(used)
    lots = state.lots[used] if used else state.lots[:0]
    return state._replace(facts=facts, counters=counters, lots=lots, next_lot=np.array(next_lot, dtype=np.int64))


def _with_lots(state: State, table: pa.Table) -> State:
    """The state with the lots of a table, and room for as many again."""
    used = table.num_rows
    room = 64 + 2 * used
    lots = np.zeros((room, 2))
    lots[:used] = _read(table, ("quantity", "price"))
    next_lot = np.arange(1, room + 1, dtype=np.int64)
    next_lot[:used] = _read_counts(table, ("next_lot",))[:, 0]
    next_lot[-1] = -1
    return state._replace(lots=lots, next_lot=next_lot)


def _with_orders(state: State, table: pa.Table, code_of: Mapping[str, int]) -> State:
    room = len(state.queue)
    while room < table.num_rows:
        room *= 2
    codes = np.array([code_of[symbol] for symbol in table["symbol"].to_pylist()], dtype=np.int64)
    table = table.set_column(table.column_names.index("symbol"), "symbol", numbers(codes))
    amounts = np.zeros((room, layout.AMOUNT_COLUMNS))
    orders = np.zeros((room, layout.ORDER_COLUMNS), dtype=np.int64)
    amounts[: table.num_rows] = _read(table, carried.ORDER_FLOATS)
    orders[: table.num_rows] = _read_counts(table, carried.ORDER_COUNTS)
    queue, keys = np.zeros(room, dtype=np.int64), np.zeros((room, layout.KEY_COLUMNS))
    return state._replace(amounts=amounts, orders=orders, queue=queue, keys=keys)


def _table(schema: pa.Schema, arrays: list[pa.Array]) -> pa.Table:
    return pa.Table.from_arrays(arrays, schema=schema)


def _floats(rows: Float64) -> list[pa.Array]:
    return [numbers(column, null=np.isnan(column)) for column in np.ascontiguousarray(rows.T)]


def _counts(rows: npt.NDArray[np.int64] | Int32) -> list[pa.Array]:
    return [numbers(column) for column in np.ascontiguousarray(rows.T)]


def _read(table: pa.Table, names: Sequence[str]) -> Float64:
    columns = [floats_of(table[name]) for name in names]
    return np.ascontiguousarray(np.array(columns, dtype=np.float64).T)


def _read_counts(table: pa.Table, names: Sequence[str]) -> Int64:
    columns = [np.concatenate([view_of(chunk) for chunk in table[name].chunks]) for name in names]
    return np.ascontiguousarray(np.array(columns, dtype=np.int64).T)
