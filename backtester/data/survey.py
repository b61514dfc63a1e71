"""What a store holds and how complete it is, counted on the calendar's grid."""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any, NamedTuple

from backtester.data import calendar
from backtester.data.calendar import Session
from backtester.data.expected import expected_labels
from backtester.data.store import Entry, Store
from backtester.errors import StoreError
from backtester.interval import Interval


class Holding(NamedTuple):
    """The bars of one exchange and interval."""

    exchange: str
    interval: str
    sessions: int
    first: date
    last: date
    symbols: int
    bars: int
    bytes: int


class SymbolHolding(NamedTuple):
    """The bars of one symbol."""

    symbol: str
    sessions: int
    first: date
    last: date
    bars: int


class SymbolQuality(NamedTuple):
    """One symbol from its first stored session on; `worst` is the session with the most missing bars."""

    symbol: str
    sessions: int
    bars: int  # on the calendar's grid
    expected_bars: int
    missing_bars: int
    quality_pct: float
    worst: date | None
    outside_bars: int  # stored outside regular hours


class Check(NamedTuple):
    """A store's bars held against their catalog and their calendar."""

    exchange: str
    interval: str
    sessions: int
    missing_sessions: int
    symbols: list[SymbolQuality]
    quarantined: dict[str, int]
    labels: list[str]
    damage: list[str]


def holdings(store: Store) -> list[Holding]:
    """Every exchange and interval, sorted."""
    found = []
    for exchange in store.exchanges():
        for interval in store.intervals(exchange):
            entries = _entries(store, exchange, interval)
            if not entries:
                continue
            names = {symbol for entry in entries for symbol in entry.layout.symbols}
            bars, size = sum(entry.layout.rows for entry in entries), sum(entry.size for entry in entries)
            first, last = entries[0].session, entries[-1].session
            found.append(Holding(exchange, str(interval), len(entries), first, last, len(names), bars, size))
    return found


def symbols(store: Store, exchange: str, interval: Interval) -> list[SymbolHolding]:
    """Every symbol of one exchange and interval, sorted; StoreError if nothing is stored."""
    held: dict[str, list[tuple[date, int]]] = {}
    for entry in _required(store, exchange, interval):
        for symbol, rows in zip(entry.layout.symbols, entry.layout.symbol_rows, strict=True):
            held.setdefault(symbol, []).append((entry.session, rows))
    return [
        SymbolHolding(symbol, len(parts), parts[0][0], parts[-1][0], sum(rows for _, rows in parts))
        for symbol, parts in sorted(held.items())
    ]


def sources(store: Store, exchange: str, interval: Interval) -> list[dict[str, Any]]:
    """Where the bars came from, each source once."""
    found: list[dict[str, Any]] = []
    for entry in _required(store, exchange, interval):
        found += [source for source in entry.sources if source not in found]
    return found


def check_bars(
    store: Store, exchange: str, interval: Interval, *, start: date | None = None, end: date | None = None
) -> Check:
    """Verify digests and count gaps from `start` to `end`, by default over all that is stored."""
    stored = _required(store, exchange, interval)
    first, last = start or stored[0].session, end or stored[-1].session
    sessions = calendar.load(exchange).sessions(first, last)
    entries = {entry.session: entry for entry in stored if first <= entry.session <= last}
    damage = [problem for entry in entries.values() for problem in store.damage(entry)]
    reasons = store.quarantined(exchange, interval).column("reason").to_pylist()
    labels = [text for origin in sources(store, exchange, interval) if (text := _label_evidence(origin))]
    return Check(
        exchange,
        str(interval),
        len(entries),
        len(sessions) - len(entries),
        _qualities(store, sessions, entries, interval),
        dict(Counter(reasons)),
        labels,
        damage,
    )


def _qualities(
    store: Store, sessions: list[Session], entries: dict[date, Entry], interval: Interval
) -> list[SymbolQuality]:
    totals: dict[str, list[int]] = {}  # symbol -> sessions, bars, expected, stored rows
    worst: dict[str, tuple[int, date]] = {}
    for session in sessions:
        entry = entries.get(session.date)
        labels = expected_labels(session, interval)
        stored = {}
        if entry is not None:
            stored = dict(zip(entry.layout.symbols, entry.layout.symbol_rows, strict=True))
        for symbol in stored:
            totals.setdefault(symbol, [0, 0, 0, 0])
        names = sorted(totals)
        bars = store.count_bars(entry, names, labels).tolist() if entry is not None else [0] * len(names)
        for symbol, present in zip(names, bars, strict=True):
            counts = (1, present, len(labels), stored.get(symbol, 0))
            totals[symbol] = [total + count for total, count in zip(totals[symbol], counts, strict=True)]
            missing = len(labels) - present
            if missing > worst.get(symbol, (0, session.date))[0]:
                worst[symbol] = (missing, session.date)
    return [
        SymbolQuality(
            symbol,
            count,
            bars,
            expected,
            expected - bars,
            100.0 * bars / expected if expected else 100.0,
            worst[symbol][1] if symbol in worst else None,
            rows - bars,
        )
        for symbol, (count, bars, expected, rows) in sorted(totals.items())
    ]


def _label_evidence(origin: dict[str, Any]) -> str:
    evidence = origin.get("label_evidence") or origin.get("evidence")
    return str(evidence) if evidence else ""


def _entries(store: Store, exchange: str, interval: Interval) -> list[Entry]:
    found = (store.entry(exchange, interval, session) for session in store.sessions(exchange, interval))
    return [entry for entry in found if entry is not None]


def _required(store: Store, exchange: str, interval: Interval) -> list[Entry]:
    entries = _entries(store, exchange, interval)
    if not entries:
        held = ", ".join(f"{each.exchange} {each.interval}" for each in holdings(store)) or "nothing"
        raise StoreError(f"{store.root}: no {interval} bars of {exchange}; it holds {held}")
    return entries
