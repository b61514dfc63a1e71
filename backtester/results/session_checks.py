"""The ledger's invariants over one session, before its commit: what sql/checks/ says of its tables, in NumPy for speed.

Each function holds the checks of the same names; a test plants the same damage for both. What only several sessions can
show beyond `Before` (an order's or a trade's earlier life) is left to `verify`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from backtester.arrays import Bool, Float64, Int64
from backtester.config.execution import Execution, Limits
from backtester.data.columns import empty, values_of
from backtester.schema import LEDGER_TABLES

ENDINGS = ("filled", "cancelled", "expired", "rejected", "replaced")
FILLING = ("partially_filled", "filled")
EVENTS = ("submitted", "accepted", "triggered", *FILLING, *ENDINGS)
AT_OPEN = ("market_open", "market_on_open", "limit_at_open", "stop_at_open", "touched_at_open", "end_open")
AT_CLOSE = ("market_close", "market_on_close", "same_close", "stop_at_close", "end_close", "flat_by")
AT_MARK = ("flat_by", "end_close", "end_open")

EMPTY = {name: empty(schema) for name, schema in LEDGER_TABLES.items()}

Array = npt.NDArray[Any]
Hold = Callable[[str, Array], None]


class Before(NamedTuple):
    """The account at the end of the session before; of a run's first session, the capital and nothing else."""

    cash: float
    equity: float
    positions: dict[str, float]
    unrealized: float = 0.0


class Terms(NamedTuple):
    """What a session's tables are held against."""

    execution: Execution
    limits: Limits
    open_at: int
    close_at: int


def before_of(tables: Mapping[str, pa.Table]) -> Before:
    """What the next session is held against, from a session's tables."""
    last = tables["session_equity"].to_pylist()[0]
    held = tables.get("positions", EMPTY["positions"])
    quantities = zip(held["symbol"].to_pylist(), held["quantity"].to_pylist(), strict=True)
    return Before(last["cash"], last["equity"], dict(quantities), sum(held["unrealized_pnl"].to_pylist()))


def session_faults(tables: Mapping[str, pa.Table], before: Before, terms: Terms) -> list[str]:
    """What the tables of one session contradict, check by check, in words; empty if nothing.

    tables  by name, of LEDGER_TABLES; one that is absent counts as empty
    """
    read = {name: _Columns(tables.get(name, empty)) for name, empty in EMPTY.items()}
    found: list[str] = []

    def hold(name: str, wrong: Array) -> None:
        count = int(np.count_nonzero(wrong))
        if count and not any(text.startswith(f"{name}:") for text in found):
            found.append(f"{name}: {count} rows, the first of them row {int(np.argmax(wrong))}")

    with np.errstate(all="ignore"):  # a damaged number may be anything
        _equity(read, before, hold)
        _positions(read, before, hold)
        _totals(read, before, hold)
        if read["fills"].rows:
            _fills(read["fills"], terms.execution, hold)
        _fill_limits(read, terms, hold)
        _orders(read, terms.execution, hold)
        _events(read, hold)
        _trades(read, hold)
    return found


class _Columns:
    """A table's columns as arrays, each taken out when first asked for: null as NaN, instants as int64."""

    def __init__(self, table: pa.Table) -> None:
        self.rows = table.num_rows
        self._table = table
        self._taken: dict[str, Array] = {}
        self._coded: dict[str, tuple[Array, list[Any]]] = {}

    def __getitem__(self, name: str) -> Array:
        if name not in self._taken:
            column = self._table.column(name)
            self._taken[name] = values_of(column.chunk(0) if column.num_chunks == 1 else column.combine_chunks())
        return self._taken[name]

    def codes(self, name: str) -> tuple[Array, list[Any]]:
        """A column of words as numbers, -1 for null, and the words by number."""
        if name not in self._coded:
            self._coded[name] = self._codes(name)
        return self._coded[name]

    def _codes(self, name: str) -> tuple[Array, list[Any]]:
        column = self._table.column(name)
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        if column.num_chunks != 1:
            column = pa.chunked_array([column.unify_dictionaries().combine_chunks()])
        chunk = column.chunk(0)
        codes = values_of(chunk.indices)  # NaN for null
        return np.nan_to_num(codes, nan=-1.0).astype(np.int64), chunk.dictionary.to_pylist()

    def among(self, name: str, words: Collection[str]) -> Bool:
        """Per row: is its word one of these?"""
        codes, known = self.codes(name)
        wanted = np.array([*(word in words for word in known), False], dtype=np.bool_)  # the last for null
        found: Bool = wanted[codes]
        return found


def _off(found: Array, expected: Array, allowed: Array) -> Bool:
    """Further apart than allowed; NaN is."""
    wrong: Bool = ~(np.abs(found - expected) <= allowed)
    return wrong


def _equity(read: Mapping[str, _Columns], before: Before, hold: Hold) -> None:
    equity, fills, stated = read["equity"], read["fills"], read["session_equity"]
    cash, worth, net, gross, held = (
        equity[name] for name in ("cash", "equity", "net_exposure", "gross_exposure", "open_positions")
    )
    wrong = _off(worth, cash + net, 1e-12 * (np.abs(cash) + gross)) | ~(gross >= np.abs(net) * (1.0 - 1e-12))
    wrong |= (held < 0) | (held == 0) & (gross != 0.0) | ~np.isfinite(cash + gross)
    hold("equity_adds_up", wrong | (equity["known_at"] <= equity["timestamp"]))
    after, change = fills["cash_after"], -fills["side"] * fills["quantity"] * fills["price"] - fills["commission"]
    place = np.searchsorted(equity["timestamp"], fills["timestamp"])
    on_label = place < equity.rows
    on_label[on_label] = equity["timestamp"][place[on_label]] == fills["timestamp"][on_label]
    expected = np.concatenate((cash[:1], cash[:-1]))
    expected[place[on_label]] = after[on_label]  # of several fills at a label the last stays
    rises = equity["timestamp"][1:] > equity["timestamp"][:-1]
    hold("equity_cash", np.concatenate((expected != cash, ~on_label, ~rises)))
    moved = fills["quantity"] * fills["price"] + np.abs(change)
    hold("cash_moves", _off(after[1:], after[:-1] + change[1:], 1e-12 * (np.abs(after[:-1]) + moved[1:])))
    if stated.rows and equity.rows:
        opening = before.cash + stated["interest"] - stated["borrow"]
        first = after[:1] - change[:1] if fills.rows else cash[:1]
        scale = moved[:1] if fills.rows else 0.0
        hold("cash_carried", _off(first, opening, 1e-12 * (np.abs(opening) + scale)))
        hold("equity_carried", stated["start_equity"] != before.equity)


def _positions(read: Mapping[str, _Columns], before: Before, hold: Hold) -> None:
    fills, held, equity = read["fills"], read["positions"], read["equity"]
    codes, names = fills.codes("symbol")
    order, follows = _by_symbol(codes)
    change, after = (fills["side"] * fills["quantity"])[order], fills["position_after"][order]
    known = np.array([before.positions.get(name, 0.0) for name in names])[codes[order]] if fills.rows else after
    start = np.where(follows, np.concatenate((after[:1], after[:-1])), known)
    wrong = _off(after, start + change, 1e-9 * (np.abs(start) + np.abs(change)))
    hold("fills_position", wrong & follows)
    held_codes, held_names = held.codes("symbol")
    found = {held_names[code]: quantity for code, quantity in zip(held_codes, held["quantity"].tolist(), strict=True)}
    is_last = np.concatenate((~follows[1:], np.ones(min(fills.rows, 1), np.bool_)))
    left = {names[code]: units for code, units in zip(codes[order][is_last], after[is_last].tolist(), strict=True)}
    hold("positions_end", np.array([units != found.get(symbol, 0.0) for symbol, units in left.items()], np.bool_))
    others = (set(before.positions) | set(found)) - set(left)
    changed = [before.positions.get(symbol, 0.0) != found.get(symbol, 0.0) for symbol in others]
    hold("positions_carried", np.concatenate((wrong & ~follows, np.array(changed, np.bool_))))
    quantity, mark, average = held["quantity"], held["mark_price"], held["average_price"]
    value, size = held["value"], np.abs(quantity) * (mark + average)
    wrong = _off(value, quantity * mark, 1e-12 * np.abs(value)) | ~(average > 0.0) | ~(mark > 0.0) | (quantity == 0.0)
    hold("positions_values", wrong | _off(held["unrealized_pnl"], quantity * (mark - average), 1e-9 * size))
    if equity.rows:
        cash, worth, net, gross = (equity[name][-1:] for name in ("cash", "equity", "net_exposure", "gross_exposure"))
        wrong = (equity["open_positions"][-1:] != held.rows) | _off(value.sum(), net, 1e-12 * gross)
        wrong |= _off(np.abs(value).sum(), gross, 1e-12 * gross)
        hold("positions_equity", wrong | _off(worth, cash + value.sum(), 1e-12 * (np.abs(cash) + gross)))


def _by_symbol(codes: Array) -> tuple[Int64, Bool]:
    """The fills of each symbol together, in their order; and which of those follow another of their symbol."""
    order = np.argsort(codes, kind="stable")
    ordered = codes[order]
    follows = np.zeros(codes.size, np.bool_)
    follows[1:] = ordered[1:] == ordered[:-1]
    return order, follows


def _totals(read: Mapping[str, _Columns], before: Before, hold: Hold) -> None:
    stated, equity, fills, held = read["session_equity"], read["equity"], read["fills"], read["positions"]
    if not stated.rows or not equity.rows:
        hold("session_totals", np.array([stated.rows != min(equity.rows, 1)]))
        return
    realized = fills["realized_pnl"]
    sums = {
        "fees": (fills["commission"].sum(), np.abs(stated["fees"])),
        "turnover": ((fills["quantity"] * fills["price"]).sum(), stated["turnover"]),
        "realized_pnl": (realized.sum(), np.abs(stated["realized_pnl"]) + np.abs(realized).sum()),
    }
    wrong = (stated["equity"] != equity["equity"][-1]) | (stated["cash"] != equity["cash"][-1])
    for name, (total, scale) in sums.items():
        wrong |= _off(stated[name], total, 1e-9 * scale)
    hold("session_totals", wrong)
    booked = stated["realized_pnl"] - stated["fees"] + stated["interest"] - stated["borrow"]
    booked = booked + (held["unrealized_pnl"].sum() - before.unrealized)
    scale = np.abs(stated["start_equity"]) + stated["turnover"] + np.abs(held["value"]).sum()
    hold("equity_explained", _off(stated["equity"] - stated["start_equity"], booked, 1e-9 * scale))


def _opened(fills: _Columns) -> Float64:
    """The units of each fill that open or grow a position."""
    after = fills["position_after"]
    opened: Float64 = np.where(np.sign(after) == fills["side"], np.minimum(fills["quantity"], np.abs(after)), 0.0)
    return opened


def _fills(fills: _Columns, execution: Execution, hold: Hold) -> None:
    side, quantity, price, reference = (fills[name] for name in ("side", "quantity", "price", "reference_price"))
    worst, best, ambiguous = fills["worst_price"], fills["best_price"], fills["ambiguous"]
    lost = side * (price - reference)
    wrong = ~np.isfinite(quantity + price + reference + fills["commission"]) | ~(quantity > 0.0) | ~(price > 0.0)
    wrong |= (np.abs(side) != 1) | (fills["filled_at"] < fills["timestamp"])
    wrong |= ~(side * worst >= np.minimum(side * price, side * reference) - 1e-12 * price)
    wrong |= ~(side * best <= np.maximum(side * price, side * reference) + 1e-12 * price)
    wrong |= ~ambiguous & ((worst != price) | (best != price))
    wrong |= _off(fills["slippage"], quantity * lost, 1e-12 * quantity * (price + reference))
    hold("fills_values", wrong | (fills["realized_pnl"] != 0.0) & (_opened(fills) == quantity))
    opens, high, low, close = (fills[f"bar_{name}"] for name in ("open", "high", "low", "close"))
    rest = fills.among("rule", ("remainder",)) * execution.tick
    outside = (high < np.maximum(opens, close)) | (low > np.minimum(opens, close))
    outside |= (reference > high * (1.0 + 1e-12) + rest) | (reference < low * (1.0 - 1e-12) - rest)
    outside &= ~(fills.among("rule", ("limit",)) & (execution.limit_price == "limit"))
    hold("fills_in_bar", outside & ~(fills.among("rule", ("stop",)) & (execution.stop_price == "stop")))
    loose = rest + (execution.tick / 2.0 if execution.round_fills else 0.0) + 1e-12 * reference
    spread = execution.spread_bps / (10_000.0 if execution.spread_on == "entry" else 20_000.0)
    most = reference * (1.0 + execution.slippage_bps / 10_000.0) + execution.slippage_ticks * execution.tick
    most = most * (1.0 + spread) * (1.0 + execution.share_impact * execution.share_cap**2)
    hold("fills_slippage", ~(lost >= -loose) | ~(lost <= most - reference + loose))
    wrong = fills.among("rule", AT_OPEN) & (reference != opens) & ~np.isnan(opens)
    wrong |= fills.among("rule", AT_CLOSE) & (reference != close) & ~np.isnan(close)
    middle = fills.among("rule", ("market_mid",)) & ~np.isnan(high)
    hold("fills_rule", wrong | middle & _off(reference, (high + low) / 2.0, 1e-12 * high))


def _fill_limits(read: Mapping[str, _Columns], terms: Terms, hold: Hold) -> None:
    fills, execution, limits = read["fills"], terms.execution, terms.limits
    opens = _opened(fills) > 0.0
    if limits.restricted:
        hold("fills_restricted", opens & fills.among("symbol", limits.restricted))
    if limits.flat_by_us is not None:
        late = opens & (fills["timestamp"] >= terms.close_at - limits.flat_by_us)
        late &= fills["timestamp"] > terms.open_at
        hold("positions_flat", np.concatenate((late, np.ones(read["positions"].rows, np.bool_))))
    if execution.volume_frac > 0.0 and execution.volume_rest != "next_tick" and fills.rows:
        counted = ~fills.among("rule", AT_MARK)
        order, follows = _by_symbol(fills.codes("symbol")[0])
        labels = fills["timestamp"][order]
        follows[1:] &= labels[1:] == labels[:-1]
        group = np.cumsum(~follows) - 1
        total = np.empty(fills.rows)
        total[order] = np.bincount(group, np.where(counted, fills["quantity"], 0.0)[order])[group]
        most = execution.volume_frac * fills["bar_volume"] * (1.0 + 1e-9) + 1e-9
        hold("fills_volume", counted & (total > most))


def _orders(read: Mapping[str, _Columns], execution: Execution, hold: Hold) -> None:
    orders, events, fills = read["orders"], read["order_events"], read["fills"]
    first = events["seq"] == 0
    ids, began = events["order_id"][first], events["happened_at"][first]
    began = began[np.argsort(ids, kind="stable")]
    if ids.size == orders.rows and (np.sort(ids) == orders["order_id"]).all():
        wrong = (began != orders["submitted_at"]) | ~events.among("event", ("submitted",))[first]
    else:
        wrong = np.ones(1, np.bool_)
    hold("orders_submitted", wrong)
    wrong = (np.abs(orders["side"]) != 1) | (orders["submitted_at"] < orders["timestamp"])
    hold("orders_values", wrong | (orders.among("tif", ("gtd",)) == np.isnan(orders["until"].astype(np.float64))))
    place = np.searchsorted(orders["order_id"], fills["order_id"])
    known = place < orders.rows
    known[known] = orders["order_id"][place[known]] == fills["order_id"][known]
    place = place[known]
    asked = orders["quantity"][place]
    filled = np.bincount(place, fills["quantity"][known], minlength=orders.rows)[place] if place.size else asked
    side = orders["side"][place] != fills["side"][known]
    hold("orders_filled", (filled > asked * (1.0 + 1e-9)) | side)
    decided, label = orders["timestamp"][place], fills["timestamp"][known]
    is_leg = ~np.isnan(orders["parent_id"].astype(np.float64))[place]
    early = (fills["filled_at"][known] < orders["submitted_at"][place]) & ~is_leg
    early &= ~fills.among("rule", ("end_open",))[known]
    same = (label == decided) & ~fills.among("rule", ("same_close", *AT_MARK))[known]
    same &= ~(fills.among("rule", ("remainder",))[known] & (execution.fill_bar == "same"))
    same &= ~(is_leg & (execution.arm == "entry_bar"))
    hold("fills_accepted", (label < decided) | early | same)


def _events(read: Mapping[str, _Columns], hold: Hold) -> None:
    events, fills = read["order_events"], read["fills"]
    order, seq, at = events["order_id"], events["seq"], events["happened_at"]
    ends, fills_it, begins = (events.among("event", words) for words in (ENDINGS, FILLING, ("submitted",)))
    acts = fills_it | events.among("event", ("triggered",))
    wrong = (seq < 0) | ((seq == 0) != begins) | (at < events["timestamp"]) | ~events.among("event", EVENTS)
    follows = order[1:] == order[:-1]
    wrong[1:] |= follows & ((seq[1:] != seq[:-1] + 1) | (at[1:] < at[:-1]) | ends[:-1] | begins[:-1] & acts[1:])
    hold("events_ordered", wrong)
    quantity, price = events["quantity"], events["price"]
    unsaid = events.codes("reason")[0] < 0
    ends_unfilled = ends & ~fills_it
    hold("events_reasons", (fills_it == np.isnan(quantity)) | (fills_it == np.isnan(price)) | (ends_unfilled == unsaid))
    by_order = np.argsort(fills["order_id"], kind="stable")
    if np.count_nonzero(fills_it) != fills.rows:
        hold("events_fills", np.ones(1, np.bool_))
        return
    pairs = ("order_id", "order_id"), ("quantity", "quantity"), ("price", "price"), ("timestamp", "timestamp")
    wrong = np.zeros(fills.rows, np.bool_)
    for mine, theirs in (*pairs, ("filled_at", "happened_at")):
        wrong |= fills[mine][by_order] != events[theirs][fills_it]
    hold("events_fills", wrong)


def _trades(read: Mapping[str, _Columns], hold: Hold) -> None:
    trades, fills, held = read["trades"], read["fills"], read["positions"]
    ended = ~trades["is_open"]
    unknown = np.isnan(trades["exited_at"].astype(np.float64))
    wrong = (np.abs(trades["side"]) != 1) | ~(trades["quantity"] > 0.0) | ~(trades["entry_price"] > 0.0)
    wrong |= ~np.isfinite(trades["pnl"] + trades["return_frac"]) | (ended == unknown)
    wrong |= trades["exited_at"] < trades["entered_at"]
    wrong |= ended & ((trades["exit_fills"] == 0) | np.isnan(trades["exit_price"])) | (trades["entry_fills"] < 1)
    hold("trades_values", wrong | (trades["mae"] > 0.0) | (trades["mfe"] < 0.0) | (trades["bars_held"] < 0))
    known = np.concatenate((trades["trade_id"], held["trade_id"]))
    hold("trades_cover", ~np.isin(fills["trade_id"], known))
    _earned(trades, fills, hold)


def _earned(trades: _Columns, fills: _Columns, hold: Hold) -> None:
    """trades_pnl, for trades whose fills are all of this session."""
    opened, quantity, paid = _opened(fills), fills["quantity"], fills["commission"]
    reverses = (opened > 0.0) & (opened < quantity)
    order, follows = _by_symbol(fills.codes("symbol")[0])
    ids = fills["trade_id"][order]
    previous = np.empty(fills.rows, np.int64)
    previous[order] = np.where(follows, np.concatenate((ids[:1], ids[:-1])), -1)
    kept = np.where(reverses, paid * (opened / quantity), paid)
    trade = np.concatenate((fills["trade_id"], previous[reverses]))
    realized = np.concatenate((np.where(reverses, 0.0, fills["realized_pnl"]), fills["realized_pnl"][reverses]))
    cost = np.concatenate((kept, (paid - kept)[reverses]))
    value = np.concatenate((quantity * fills["price"], (quantity * fills["price"])[reverses]))
    by_id = np.argsort(trades["trade_id"], kind="stable")
    place = np.searchsorted(trades["trade_id"], trade, sorter=by_id)
    found = place < trades.rows
    found[found] = trades["trade_id"][by_id][place[found]] == trade[found]
    where = by_id[place[found]]
    count, sums, costs, sizes = (
        np.bincount(where, weights, minlength=trades.rows)
        for weights in (np.ones(where.size), realized[found], cost[found], value[found])
    )
    whole = count == trades["entry_fills"] + trades["exit_fills"]
    wrong = _off(trades["commission"], costs, 1e-9 * (np.abs(costs) + 1e-3))
    wrong |= ~trades["is_open"] & _off(trades["pnl"], sums - costs, 1e-9 * sizes)
    begun = fills["timestamp"].min(initial=np.iinfo(np.int64).max) if fills.rows else 0
    hold("trades_pnl", whole & wrong | ~whole & (trades["entered_at"] >= begun) & (count > 0))
