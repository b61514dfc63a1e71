"""A market of eight bars, small enough for paper, and the ledger run over it; the bars of the golden vectors."""

from datetime import date

import numpy as np

from backtester.arrays import Bars, Grid
from backtester.config.execution import Execution, Limits
from backtester.execution.clock import SessionLabels, clock_of, market_of
from backtester.execution.requests import requests_of
from backtester.execution.rules import rules_of
from backtester.execution.simulate import Ledger, simulate
from backtester.kernels import state as layout
from backtester.kernels.codes import EVENTS, FILL_RULES, KINDS, REASONS, ROLES, TIFS, UNITS

MINUTE = 60_000_000
DAY = 86_400_000_000
BARS = [
    (100, 100.5, 99.8, 100.4, 1000),
    (100.4, 101.2, 100.3, 101, 1200),
    (101, 101.5, 100.1, 100.3, 900),
    (100.2, 100.6, 99.7, 100, 800),
    (99, 99.6, 98.4, 98.5, 1500),
    (98, 104, 97, 103, 2000),
    (103, 103.8, 102.2, 102.4, 700),
    (102.5, 102.9, 101.8, 102, 600),
]


def session_of(day, rows, labels=None):
    """A session's labels from (label, ...) rows: as many labels as asked for, or as the rows have."""
    count = (max(rows) + 1 if rows else 0) if labels is None else labels
    at = np.arange(count, dtype=np.int64) * MINUTE + day * DAY
    starts = np.searchsorted(rows, np.arange(count), "left").astype(np.int64)
    ends = np.searchsorted(rows, np.arange(count), "right").astype(np.int64)
    grid = Grid(starts, ends, np.arange(count, dtype=np.int32))
    return SessionLabels(date.fromordinal(719_163 + day), at, grid, day * DAY + count * MINUTE, MINUTE, len(rows))


def market(sessions=None, *, flat_by=None):
    """(clock, market, symbols) of sessions: each a day and its rows (label, symbol, *bar), sorted."""
    sessions = sessions or [(20_000, [(t, 0, *bar) for t, bar in enumerate(BARS)], None)]
    rows = [row for _, part, _ in sessions for row in part]
    clock = clock_of(
        [session_of(day, [row[0] for row in part], labels) for day, part, labels in sessions], flat_by_us=flat_by
    )
    prices = np.array([row[2:7] for row in rows], dtype=np.float64).reshape(-1, 5)
    codes = np.array([row[1] for row in rows], dtype=np.int32)
    return clock, market_of(Bars(*prices.T), codes), int(codes.max(initial=0)) + 1


def settings(**rules):
    """Rules that add nothing of their own: ten units an entry, no volume cap."""
    return Execution(**{"volume_frac": 0.0, "size_unit": "units", "size_amount": 10.0, **rules})


def asked(*requests):
    """Requests from dicts: label, kind, and any column; symbol 0."""
    rows = [{"symbol": 0, **request} for request in requests]
    columns = {}
    for name in sorted({name for row in rows for name in row}):
        nothing = -1 if name in ("unit", "group") else 0 if name not in FLOATS else np.nan
        values = [row.get(name, nothing) for row in rows]
        words = {"kind": KINDS, "unit": UNITS, "tif": TIFS}.get(name, ())
        columns[name] = [words.index(value) if isinstance(value, str) else value for value in values]
    return requests_of(columns.pop("label"), columns.pop("symbol"), columns.pop("kind"), **columns)


FLOATS = ("amount", "limit", "stop", "trail", "stop_loss", "take_profit", "leg_trail")


def run(*requests, limits=None, where=None, is_last=False, capital=100_000.0, **rules):
    """The simulation of requests on a market."""
    limits = limits or Limits()
    clock, bars, symbols = where or market(flat_by=limits.flat_by_us)
    vector = rules_of(settings(**rules), limits, symbols=[f"S{k}" for k in range(symbols)])
    state = layout.new_state(symbols, capital)
    return simulate(clock, bars, asked(*requests), rules=vector, state=state, is_last=is_last)


def fills(simulation):
    """(label, side, quantity, price) of every fill."""
    facts, amounts = simulation.written.fills, simulation.written.fill_amounts
    return [
        (
            int(f[layout.FILL_LABEL]),
            int(f[layout.FILL_SIDE]),
            float(a[layout.F_QUANTITY]),
            round(float(a[layout.F_PRICE]), 9),
        )
        for f, a in zip(facts, amounts, strict=True)
    ]


def fill_rules(simulation):
    """The rule of every fill."""
    return [FILL_RULES[code] for code in simulation.written.fills[:, layout.FILL_RULE]]


def ends(simulation):
    """(order, event, reason) of every event that ends an order."""
    events = simulation.written.events
    return [
        (int(e[layout.EVENT_ORDER]), EVENTS[e[layout.EVENT_KIND]], REASONS[e[layout.EVENT_REASON]])
        for e in events
        if e[layout.EVENT_REASON] >= 0
    ]


def roles(simulation):
    """The role of every order."""
    return [ROLES[code] for code in simulation.written.order_facts[:, layout.LOGGED_ROLE]]


def same_bytes(one, other):
    """Are two simulations equal to the last bit?"""
    pairs = zip((*one.written, one.marks, one.sessions), (*other.written, other.marks, other.sessions), strict=True)
    return all(a.tobytes() == b.tobytes() for a, b in pairs)


__all__ = ["BARS", "Ledger", "Limits", "asked", "ends", "fill_rules", "fills", "market", "roles", "run", "same_bytes"]
