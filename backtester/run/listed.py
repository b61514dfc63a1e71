"""What the store holds of a run: the interval it is read in, its symbols, and a run narrowed to some of them."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from datetime import date
from typing import Any

from backtester.config import Config
from backtester.data.store import Store
from backtester.errors import InputError
from backtester.interval import Interval


def narrowed(config: Config, store: Store, tell: Callable[[str], None]) -> Config:
    """The config without restrictions and a benchmark that are stored symbols, but none of the run's.

    Any other name stays, to be refused as it would be in the config itself.
    """
    run, limits, benchmark = config.run, config.limits, config.metrics.benchmark
    if run.symbols == "*":
        return config
    others = {*limits.restricted, *([benchmark] if benchmark else [])} - set(run.symbols)
    gone = set(first_sessions(store, run.exchange, source_of(store, run.exchange, config.interval), date.max, others))
    sections: dict[str, Any] = {}
    if gone & set(limits.restricted):
        kept = [symbol for symbol in limits.restricted if symbol not in gone]
        tell(f"limits.restricted: {', '.join(sorted(gone & set(limits.restricted)))} left out, no symbol of this run")
        sections["limits"] = limits.model_copy(update={"restricted": kept})
    if benchmark in gone:
        tell(f"metrics.benchmark: {benchmark} is no symbol of this run; alpha and beta will be null")
        sections["metrics"] = config.metrics.model_copy(update={"benchmark": None})
    return config.model_copy(update=sections)


def source_of(store: Store, exchange: str, wanted: Interval) -> Interval:
    """The interval that is read: the one wanted or the smallest stored one it can be built from; else InputError."""
    stored = store.intervals(exchange) if store.exists() else []
    if wanted in stored:
        return wanted
    for interval in stored:
        if interval.divides(wanted):
            return interval
    held = ", ".join(map(str, stored)) or "nothing"
    raise InputError(
        f"{store.root}: no {wanted} bars of {exchange} and none they could be built from (it holds {held}); "
        f"import them, or name another --store"
    )


def first_sessions(
    store: Store, exchange: str, source: Interval, end: date, wanted: set[str] | None
) -> dict[str, date]:
    """Each symbol's first stored session up to `end`, of those wanted, of all where that is None."""
    found: dict[str, date] = {}
    for session in store.sessions(exchange, source):
        if session > end or (wanted is not None and len(found) == len(wanted)):
            break
        entry = store.entry(exchange, source, session)
        held = entry.layout.symbols if entry is not None else []
        for symbol in held:
            if symbol not in found and (wanted is None or symbol in wanted):
                found[symbol] = session
    return found


def nothing_stored(store: Store, config: Config, source: Interval, unknown: list[str]) -> str:
    """What to say of a run none of whose symbols are stored."""
    run = config.run
    held = sorted(first_sessions(store, run.exchange, source, date.max, None))
    near = {name: difflib.get_close_matches(name, held, n=1) for name in unknown}
    guesses = [f"{name}: did you mean {close[0]}?" for name, close in near.items() if close]
    what = ", ".join(unknown) or "any symbol"
    return (
        f"{store.root}: no {source} bars of {what} on {run.exchange} up to {run.end}; "
        f"{' '.join(guesses) or 'import them'} (stored: {', '.join(held[:20]) or 'nothing'})"
    )
