"""One case, two ledgers: the package's and the exact one, and what each made of it in the same shape."""

from __future__ import annotations

import datetime as dt
import itertools
from dataclasses import dataclass, field
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from backtester.arrays import Bars, Grid
from backtester.config.execution import Execution, Limits
from backtester.execution import clock as clocks
from backtester.execution.requests import requests_of
from backtester.execution.rules import rules_of
from backtester.execution.simulate import simulate
from backtester.kernels import codes, state
from tests.exact import engine, types

MINUTE = 60_000_000
PRICES = ("limit", "stop", "trail", "stop_loss", "take_profit", "leg_trail")
FRACTIONS = {"stop_loss": 1, "take_profit": 2, "leg_trail": 4, "trail": 8}
WORDS = {"kind": codes.KINDS, "unit": codes.UNITS, "order_type": codes.ORDER_TYPES, "tif": codes.TIFS}


class Day(NamedTuple):
    """One session of a case: its date, its labels and its close."""

    date: dt.date
    labels: list
    close_at: int


@dataclass
class Case:
    """Bars, requests and settings.

    bars      {(number of the label, symbol): (open, high, low, close, volume)}
    requests  dicts of the columns of arrays.Requests in words; stop_loss, take_profit, leg_trail and trail are a price,
              or (fraction,)
    """

    days: list
    bars: dict
    requests: list
    execution: dict
    limits: dict = field(default_factory=dict)
    symbols: int = 1
    no_entry: set = field(default_factory=set)  # (label, symbol) below the quality asked for
    unselected: set = field(default_factory=set)  # and not selected by a scanner
    step: int = MINUTE

    @property
    def asks_entry(self):
        """True where entries ask the bar they are decided on."""
        return bool(self.no_entry or self.unselected)

    @property
    def names(self):
        """Symbols' names, in the order of their numbers."""
        return [f"S{k:02d}" for k in range(self.symbols)]


class Outcome(NamedTuple):
    """What both ledgers tell: fills, ends of orders and ended trades in order, and (cash, equity) by label."""

    fills: list
    ends: list
    equity: list
    trades: list


FILL = ("order", "symbol", "label", "side", "quantity", "price", "reference", "commission", "rule", "ambiguous")
FILL += ("worst", "best", "position", "cash", "trade", "realized")
# A trade's facts and amounts, as kernels.state lays them out.
TRADE_FACTS = ("id", "symbol", "side", "bars", "entries", "exits")
TRADE_AMOUNTS = ("most", "entry_units", "entry_value", "exit_units", "exit_value", "paid", "flows", "worst", "best")


def settings(case):
    """The case's sections, checked as a config is."""
    return Execution(**case.execution), Limits(**case.limits)


def real(case, *, session_cuts=(), label_cuts=()):
    """The package's ledger, in one go or in parts.

    session_cuts  numbers of sessions before which it stops, and goes on with a clock of its own
    label_cuts    numbers of labels before which it stops, and goes on with the rest of the same clock; not both
    """
    execution, limits = settings(case)
    rules = rules_of(execution, limits, symbols=case.names, quality=case.asks_entry)
    account = state.new_state(case.symbols, execution.capital)
    outcome, total = Outcome([], [], [], []), sum(len(day.labels) for day in case.days)
    for clock, market, first in _parts(case, limits, session_cuts, label_cuts):
        count = len(clock.timestamp)
        asked = [row for row in case.requests if first <= row["label"] < first + count]
        done = simulate(
            clock, market, _columns(asked, first), rules=rules, state=account, is_last=first + count == total
        )
        account = done.state
        _read(done, outcome)
    return outcome


def _parts(case, limits, session_cuts, label_cuts):
    """(clock, market, number of its first label) one after the other."""
    first, before = 0, None
    for start, stop in itertools.pairwise([0, *sorted(session_cuts), len(case.days)]):
        days = case.days[start:stop]
        if days:
            clock, market = _market(case, days, first, before, limits)
            for cut, end in itertools.pairwise([0, *sorted(label_cuts), len(clock.timestamp)]):
                if cut < end:
                    yield _piece(clock, cut, end), market, first + cut
            first, before = first + len(clock.timestamp), days[-1].date


def _piece(clock, start, stop):
    """Labels `start` to `stop` of a clock, as a clock."""
    labels = {name: getattr(clock, name)[start:stop] for name in ("timestamp", "known_at", "starts", "ends", "flags")}
    bounds = clock.session_starts
    kept = [k for k in range(len(bounds) - 1) if bounds[k] < stop and bounds[k + 1] > start]
    starts = np.clip([*(bounds[k] for k in kept), stop], start, stop) - start
    return clock._replace(
        **labels, session_starts=starts.astype(np.int64), days=clock.days[kept], month=clock.month[kept]
    )


def _market(case, days, first, before, limits):
    numbers = range(first, first + sum(len(day.labels) for day in days))
    keys = [(number, symbol) for number in numbers for symbol in range(case.symbols) if (number, symbol) in case.bars]
    columns = np.array([case.bars[key] for key in keys], dtype=np.float64).reshape(len(keys), 5).T
    barred = {codes.NO_ENTRY: case.no_entry, codes.UNSELECTED: case.unselected}
    flags = np.array([sum(bit for bit, held in barred.items() if key in held) for key in keys], dtype=np.uint8)
    bars = Bars(*(np.ascontiguousarray(column) for column in columns))
    market = clocks.market_of(bars, np.array([symbol for _, symbol in keys], dtype=np.int32), flags)
    sessions, number = [], first
    for day in days:
        counts = [
            sum((k, symbol) in case.bars for symbol in range(case.symbols))
            for k in range(number, number + len(day.labels))
        ]
        ends = np.cumsum(counts, dtype=np.int64)
        grid = Grid(ends - counts, ends, np.arange(len(counts), dtype=np.int32))
        labels = np.array(day.labels, dtype=np.int64)
        sessions.append(clocks.SessionLabels(day.date, labels, grid, day.close_at, case.step, int(sum(counts))))
        number += len(counts)
    return clocks.clock_of(sessions, before=before, flat_by_us=limits.flat_by_us), market


def _columns(rows, first):
    columns = {name: [] for name in ("label", "symbol", "kind", "unit", "amount", "side", "order_type", "tif")}
    columns |= {name: [] for name in (*PRICES, "fractions", "exit_after_bars", "until", "group", "rank")}
    for row in rows:
        bits = 0
        for name in PRICES:
            value = row.get(name)
            if isinstance(value, tuple):
                bits, value = bits | FRACTIONS[name], value[0]
            columns[name].append(np.nan if value is None else value)
        columns["fractions"].append(bits)
        columns["label"].append(row["label"] - first)
        unit = row.get("unit")
        columns["unit"].append(codes.CONFIGURED if unit is None else codes.UNITS.index(unit))
        columns["amount"].append(row.get("amount", np.nan))
        for name, default in (("kind", None), ("order_type", "market"), ("tif", "gtc")):
            columns[name].append(WORDS[name].index(row.get(name, default)))
        numbers = (("symbol", 0), ("side", 0), ("exit_after_bars", 0), ("until", 0), ("group", -1), ("rank", 0.0))
        for name, number in numbers:
            columns[name].append(row.get(name, number))
    return requests_of(**columns)


def _read(done, outcome):
    written = done.written
    for whole, part in zip(written.fills, written.fill_amounts, strict=True):
        outcome.fills.append(
            {
                "order": int(whole[state.FILL_ORDER]),
                "symbol": int(whole[state.FILL_SYMBOL]),
                "label": int(whole[state.FILL_LABEL]),
                "side": int(whole[state.FILL_SIDE]),
                "rule": codes.FILL_RULES[whole[state.FILL_RULE]],
                "ambiguous": bool(whole[state.FILL_IS_AMBIGUOUS]),
                "quantity": part[state.F_QUANTITY],
                "price": part[state.F_PRICE],
                "reference": part[state.F_REFERENCE],
                "commission": part[state.F_COMMISSION],
                "worst": part[state.F_WORST],
                "best": part[state.F_BEST],
                "position": part[state.F_POSITION],
                "cash": part[state.F_CASH],
                "trade": int(whole[state.FILL_TRADE]),
                "realized": part[state.F_REALIZED],
            }
        )
    for row in written.events:
        if row[state.EVENT_REASON] != codes.NO_REASON:
            end = (int(row[state.EVENT_ORDER]), int(row[state.EVENT_LABEL]), codes.REASONS[row[state.EVENT_REASON]])
            outcome.ends.append(end)
    places = {name: getattr(state, f"TRADE_{name.upper()}") for name in TRADE_FACTS}
    amounts = {name: getattr(state, f"T_{name.upper()}") for name in TRADE_AMOUNTS}
    for whole, part in zip(written.trades, written.trade_amounts, strict=True):
        trade = {name: int(whole[place]) for name, place in places.items()}
        outcome.trades.append(trade | {name: part[place] for name, place in amounts.items()})
    cash, worth = done.marks[state.E_CASH], done.equity
    outcome.equity.extend(zip(cash, worth, strict=True))


def exact(case):
    """The exact ledger."""
    book = engine.simulate(exact_rules(case), exact_labels(case), exact_requests(case))
    fills = [{name: getattr(fill, name) for name in FILL} for fill in book.fills]
    ends = [(event.order, event.label, event.reason) for event in book.events if event.reason]
    trades = [{name: getattr(trade, name) for name in (*TRADE_FACTS, *TRADE_AMOUNTS)} for trade in book.trades.ended]
    return Outcome(fills, ends, book.equity, trades)


def exact_rules(case):
    """The settings as the exact ledger takes them: every number a fraction."""
    execution, limits = settings(case)
    values = execution.model_dump()
    values.pop("profile")
    fees = values.pop("commission")
    fees.pop("model")
    rate = fees.pop("rate")
    if rate is not None:
        fees |= {"maker_rate": rate, "taker_rate": rate}
    fees["sell_cap"] = fees["sell_cap"] or None
    fees["tiers"] = tuple((_number(bound), _number(per)) for bound, per in fees["tiers"])
    commission = types.Commission(**{name: _number(value) for name, value in fees.items()})
    limited = limits.model_dump()
    limited.pop("flat_by")
    restricted = frozenset(case.names.index(name) for name in limited.pop("restricted"))
    whole = {name: _number(value) for name, value in (values | limited).items()}
    return types.Rules(
        **whole, commission=commission, restricted=restricted, quality=case.asks_entry, flat_by_us=limits.flat_by_us
    )


def _number(value):
    # As written: 0.1 is a tenth, not the double nearest to it.
    return Fraction(repr(float(value))) if isinstance(value, float) else value


def exact_labels(case):
    """The clock as the exact ledger takes it."""
    labels = []
    for session, day in enumerate(case.days):
        for k, at in enumerate(day.labels):
            number = len(labels)
            bars = {
                symbol: types.Bar(*map(_number, case.bars[number, symbol]))
                for symbol in range(case.symbols)
                if (number, symbol) in case.bars
            }
            over = at + case.step
            barred, unselected = (
                frozenset(symbol for at_label, symbol in held if at_label == number)
                for held in (case.no_entry, case.unselected)
            )
            labels.append(
                types.Label(
                    at,
                    min(over, day.close_at) if at < day.close_at else over,
                    session,
                    day.date.toordinal(),
                    day.date.year * 12 + day.date.month,
                    day.close_at,
                    k == 0,
                    k == len(day.labels) - 1,
                    bars,
                    barred,
                    unselected,
                )
            )
    return labels


def exact_requests(case):
    """{number of the label: its Requests}."""
    execution, _ = settings(case)
    asked = {}
    for row in case.requests:
        priced = {name: _level(row.get(name)) for name in PRICES}
        plain = {name: None if priced[name] is None else priced[name][0] for name in ("limit", "stop")}
        legs = types.Legs(
            priced["stop_loss"], priced["leg_trail"], priced["take_profit"], row.get("exit_after_bars", 0)
        )
        unit, amount = row.get("unit"), row.get("amount")
        if unit is None:
            unit = execution.size_unit
        if amount is None:
            amount = execution.size_amount
        side = row.get("side", 0)
        if side == 0 and row["kind"] == "order":
            side, amount = (1 if amount > 0 else -1), abs(amount)
        request = types.Request(
            row.get("symbol", 0),
            row["kind"],
            unit,
            _number(amount),
            side,
            row.get("order_type", "market"),
            row.get("tif", "gtc"),
            trail=priced["trail"],
            legs=legs,
            until=row.get("until", types.FOREVER),
            group=row.get("group", -1) + 1,
            rank=_number(row.get("rank", 0.0)),
            **plain,
        )
        asked.setdefault(row["label"], []).append(request)
    return asked


def _level(value):
    if value is None:
        return None
    return (_number(value[0]), True) if isinstance(value, tuple) else (_number(value), False)
