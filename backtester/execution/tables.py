"""What a simulation left, as tables: orders, their events, fills, trades, positions and the account."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from backtester.arrays import Float64, Int64
from backtester.data.columns import dictionary, empty, flags, instants, numbers, text
from backtester.execution.simulate import Simulation
from backtester.kernels import codes
from backtester.kernels import state as layout
from backtester.schema import LEDGER_TABLES

WORDS = {
    name: text(words)
    for name, words in (
        *(("type", codes.ORDER_TYPES), ("tif", codes.TIFS), ("role", codes.ROLES), ("event", codes.EVENTS)),
        *(("reason", codes.REASONS), ("rule", codes.FILL_RULES)),
    )
}


def ledger_tables(done: Simulation, symbols: Sequence[str], *, is_last: bool) -> dict[str, pa.Table]:
    """The tables of schema/ledger.py but `signals`, of a simulation of one session; an empty one has no row.

    symbols  by code
    is_last  the run ends here: trades that are still open are rows too
    """
    names = text(symbols)
    return {
        "orders": _orders(done, names),
        "order_events": _events(done),
        "fills": _fills(done, names),
        "trades": _trades(done, names, is_last=is_last),
        "positions": _positions(done, names),
        "equity": _equity(done),
        "session_equity": _made("session_equity", [numbers(column) for column in _columns(done.sessions)]),
    }


def _orders(done: Simulation, names: pa.StringArray) -> pa.Table:
    facts, amounts = _columns(done.written.order_facts), _columns(done.written.order_amounts)
    quantity, limit, stop, trail = amounts
    parent, group, until = facts[layout.LOGGED_PARENT], facts[layout.LOGGED_GROUP], facts[layout.LOGGED_UNTIL]
    tif = facts[layout.LOGGED_TIF]
    arrays = [
        numbers(facts[layout.LOGGED_ID]),
        instants(_label(done, facts[layout.LOGGED_LABEL])),
        instants(facts[layout.LOGGED_AT]),
        _named(facts[layout.LOGGED_SYMBOL], names),
        numbers(facts[layout.LOGGED_SIDE].astype(np.int8)),
        _named(facts[layout.LOGGED_TYPE], WORDS["type"]),
        _named(tif, WORDS["tif"]),
        instants(until, null=tif != codes.GTD),
        *(numbers(column, null=np.isnan(column)) for column in (quantity, limit, stop, trail)),
        flags(facts[layout.LOGGED_FRACTIONS] & codes.TRAIL_FRAC != 0),
        _named(facts[layout.LOGGED_ROLE], WORDS["role"]),
        numbers(parent, null=parent < 0),
        numbers(group, null=group < 0),
    ]
    return _made("orders", arrays)


def _events(done: Simulation) -> pa.Table:
    written = done.written
    order = np.lexsort((written.events[:, layout.EVENT_SEQ], written.events[:, layout.EVENT_ORDER]))
    facts, (quantity, price) = _columns(written.events[order]), _columns(written.event_amounts[order])
    reason, kind = facts[layout.EVENT_REASON], facts[layout.EVENT_KIND]
    is_fill = (kind == codes.FILLED) | (kind == codes.PARTIALLY_FILLED)
    arrays = [
        numbers(facts[layout.EVENT_ORDER]),
        numbers(facts[layout.EVENT_SEQ].astype(np.int32)),
        instants(_label(done, facts[layout.EVENT_LABEL])),
        instants(facts[layout.EVENT_AT]),
        _named(kind, WORDS["event"]),
        *(numbers(column, null=~is_fill | np.isnan(column)) for column in (quantity, price)),
        dictionary(np.maximum(reason, 0).astype(np.int32), WORDS["reason"], null=reason < 0),
    ]
    return _made("order_events", arrays)


def _fills(done: Simulation, names: pa.StringArray) -> pa.Table:
    facts, amounts = _columns(done.written.fills), _columns(done.written.fill_amounts)
    row = facts[layout.FILL_ROW]
    none, at = row < 0, np.maximum(row, 0)
    market = done.market
    bits = np.broadcast_to(market.flags, len(market.close))[at] if len(market.close) else np.zeros(len(at), np.uint8)
    bits = np.where(none, 0, bits)
    side, quantity, price = facts[layout.FILL_SIDE], amounts[layout.F_QUANTITY], amounts[layout.F_PRICE]
    reference = amounts[layout.F_REFERENCE]
    bars = [getattr(market, name) for name in ("open", "high", "low", "close", "volume")]
    arrays = [
        *(numbers(facts[place]) for place in (layout.FILL_ID, layout.FILL_ORDER, layout.FILL_TRADE)),
        _named(facts[layout.FILL_SYMBOL], names),
        instants(_label(done, facts[layout.FILL_LABEL])),
        instants(facts[layout.FILL_AT]),
        numbers(side.astype(np.int8)),
        *(numbers(column) for column in (quantity, price, reference, amounts[layout.F_COMMISSION])),
        numbers(side * quantity * (price - reference) + 0.0),  # adding 0 makes -0 a 0
        _named(facts[layout.FILL_RULE], WORDS["rule"]),
        flags(facts[layout.FILL_IS_AMBIGUOUS] != 0),
        *(numbers(amounts[place]) for place in (layout.F_WORST, layout.F_BEST)),
        flags(bits & (codes.GAP_BEFORE | codes.GAP_AFTER) != 0),
        flags(facts[layout.FILL_IS_STALE] != 0),
        flags(bits & codes.DEFECTIVE != 0),
        *(numbers(amounts[place] + 0.0) for place in (layout.F_REALIZED, layout.F_POSITION, layout.F_CASH)),
        *(numbers(column[at] if len(column) else np.zeros(len(at)), null=none) for column in bars),
    ]
    return _made("fills", arrays)


def _trades(done: Simulation, names: pa.StringArray, *, is_last: bool) -> pa.Table:
    facts, amounts = done.written.trades, done.written.trade_amounts
    ended = len(facts)
    if is_last:
        still = _open_trades(done)
        facts, amounts = np.concatenate([facts, still[0]]), np.concatenate([amounts, still[1]])
    order = np.argsort(facts[:, layout.TRADE_ID], kind="stable")
    is_open = (np.arange(len(facts)) >= ended)[order]
    fact, amount = _columns(facts[order]), _columns(amounts[order])
    entry_value, exit_units = amount[layout.T_ENTRY_VALUE], amount[layout.T_EXIT_UNITS]
    never = exit_units == 0.0
    exit_price = np.divide(amount[layout.T_EXIT_VALUE], exit_units, out=np.zeros(len(never)), where=~never)
    pnl = amount[layout.T_FLOWS] - amount[layout.T_PAID]
    arrays = [
        numbers(fact[layout.TRADE_ID]),
        _named(fact[layout.TRADE_SYMBOL], names),
        numbers(fact[layout.TRADE_SIDE].astype(np.int8)),
        instants(fact[layout.TRADE_SINCE]),
        instants(fact[layout.TRADE_UNTIL], null=is_open),
        numbers(amount[layout.T_MOST]),
        numbers(entry_value / amount[layout.T_ENTRY_UNITS]),
        numbers(exit_price, null=never),
        numbers(amount[layout.T_PAID]),
        numbers(pnl),
        numbers(pnl / entry_value),
        *(numbers(amount[place]) for place in (layout.T_WORST, layout.T_BEST)),
        *(numbers(fact[p].astype(np.int32)) for p in (layout.TRADE_BARS, layout.TRADE_ENTRIES, layout.TRADE_EXITS)),
        flags(is_open),
    ]
    return _made("trades", arrays)


def _open_trades(done: Simulation) -> tuple[Int64, Float64]:
    """The trades of positions that are still held, at their mark, as rows of a log."""
    held = _held(done)
    book, fact = done.state.book[held], done.state.facts[held]
    facts = np.zeros((len(held), layout.TRADE_COLUMNS), dtype=np.int64)
    facts[:, layout.TRADE_SYMBOL] = held
    facts[:, layout.TRADE_SIDE] = np.sign(book[:, layout.POSITION])
    for place, source in (
        *((layout.TRADE_ID, layout.TRADE), (layout.TRADE_SINCE, layout.SINCE), (layout.TRADE_BARS, layout.BARS_HELD)),
        *((layout.TRADE_ENTRIES, layout.ENTRY_FILLS), (layout.TRADE_EXITS, layout.EXIT_FILLS)),
    ):
        facts[:, place] = fact[:, source]
    amounts = np.zeros((len(held), layout.TRADE_AMOUNTS))
    for place, source in (
        *((layout.T_MOST, layout.MOST), (layout.T_ENTRY_UNITS, layout.ENTRY_UNITS), (layout.T_PAID, layout.PAID)),
        *((layout.T_ENTRY_VALUE, layout.ENTRY_VALUE), (layout.T_EXIT_UNITS, layout.EXIT_UNITS)),
        *((layout.T_EXIT_VALUE, layout.EXIT_VALUE), (layout.T_WORST, layout.WORST), (layout.T_BEST, layout.BEST)),
    ):
        amounts[:, place] = book[:, source]
    amounts[:, layout.T_FLOWS] = book[:, layout.FLOWS] + book[:, layout.POSITION] * book[:, layout.MARK]
    return facts, amounts


def _positions(done: Simulation, names: pa.StringArray) -> pa.Table:
    held = _held(done)
    book, facts = _columns(done.state.book[held]), _columns(done.state.facts[held])
    quantity, average, mark = book[layout.POSITION], book[layout.AVERAGE], book[layout.MARK]
    arrays = [
        _named(held, names),
        *(numbers(column) for column in (quantity, average, mark, quantity * mark, quantity * (mark - average))),
        numbers(facts[layout.TRADE]),
        instants(facts[layout.SINCE]),
    ]
    return _made("positions", arrays)


def _equity(done: Simulation) -> pa.Table:
    marks = done.marks
    if not marks.shape[1]:
        return empty(LEDGER_TABLES["equity"])
    arrays = [
        instants(done.clock.timestamp),
        instants(done.clock.known_at),
        numbers(marks[layout.E_CASH]),
        numbers(done.equity),
        numbers(marks[layout.E_GROSS]),
        numbers(marks[layout.E_NET]),
        numbers(marks[layout.E_OPEN].astype(np.int32)),
    ]
    return _made("equity", arrays)


def _held(done: Simulation) -> Int64:
    return done.state.held[: int(done.state.counters[layout.HELD])]


def _label(done: Simulation, labels: Int64) -> Int64:
    return done.clock.timestamp[labels - done.first_label]


def _columns(rows: Any) -> Any:
    return np.ascontiguousarray(rows.T)


def _named(values: Int64, words: pa.StringArray) -> pa.DictionaryArray:
    return dictionary(values.astype(np.int32), words)


def _made(name: str, arrays: list[pa.Array]) -> pa.Table:
    return pa.Table.from_arrays(arrays, schema=LEDGER_TABLES[name])
