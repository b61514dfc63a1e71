"""What a run will do, settled before it starts: sessions, symbols, streams, input digests and the run's own name."""

from __future__ import annotations

import functools
import hashlib
import json
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from backtester import __version__
from backtester import config as settings
from backtester.config import Config
from backtester.config.strict import nearest
from backtester.data import calendar
from backtester.data.calendar import Calendar, Session
from backtester.data.columns import dictionary, text
from backtester.data.durable import canonical_json, sha256
from backtester.data.store import Entry, Store
from backtester.errors import ConfigError, InputError
from backtester.execution.rules import rules_of
from backtester.features import catalog, trailing_catalog
from backtester.features.trailing_catalog import DAY
from backtester.interval import Interval
from backtester.kernels.state import Rules
from backtester.run.listed import first_sessions, narrowed, nothing_stored, source_of
from backtester.run.uses import foreign_digests, historical_uses, problems_of, session_uses, with_declared
from backtester.schema import STREAMS
from backtester.strategy import loading as strategies

PACKAGE = Path(__file__).parent.parent
STREAM_KINDS = ["STREAMED", "GENERATED", "IGNORED"]


class _Listings(NamedTuple):
    """What depends on nothing but which symbols are listed."""

    universe: list[str]
    streams: pa.Table


@dataclass(frozen=True)
class Plan:
    """A run, ready to go; nothing in it changes while it runs."""

    config: Config
    calendar: Calendar
    store: Store
    source: Interval  # what is read: run.interval, or the smallest stored interval it can be built from
    derived: list[Interval]  # what the pass builds from it, narrow to wide
    sessions: list[Session]
    listed: dict[str, date]  # each symbol's first stored session
    unknown: list[str]  # symbols the store has never held
    indicators: list[catalog.Use]
    historical: list[trailing_catalog.Use]
    reach: list[Session]  # those that historical indicators look back on, and the run's own, without holes
    inputs: dict[str, str]  # session -> digest of the bars it reads, those it looks back on included
    strategy: strategies.Loaded | None
    run_id: str
    scanners: list[strategies.Loaded] = field(default_factory=list)  # as config.scanners
    sources: dict[str, str] = field(default_factory=dict)  # module of the user's -> sha256 of its file
    is_replayed: bool = False  # row by row; the same bytes, so that it is no part of run_id
    is_turned: bool = False  # symbols in reverse order; for an audit alone, which asks what their order decides
    _known: dict[int, _Listings] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def symbols(self) -> list[str]:
        """Every symbol of the run, sorted, those the store lacks included."""
        return sorted([*self.listed, *self.unknown], reverse=self.is_turned)

    def universe(self, session: date) -> list[str]:
        """The symbols listed by then, sorted: those that should have bars."""
        return self._listings(session).universe

    def streams(self, session: date) -> pa.Table:
        """STREAMS of a session: where each symbol's requested intervals come from; one object while none is listed."""
        return self._listings(session).streams

    def _listings(self, session: date) -> _Listings:
        # Sessions between two listings are alike: sorting and encoding 500 symbols anew for each took 2 ms.
        listed = bisect_right(self._first_sessions, session)
        known = self._known.get(listed)
        if known is None:
            universe = sorted(symbol for symbol, first in self.listed.items() if first <= session)
            known = _Listings(universe, streams_table(self, session))
            if len(self._known) > 8:
                self._known.clear()
            self._known[listed] = known
        return known

    @cached_property
    def _first_sessions(self) -> list[date]:
        return sorted(self.listed.values())

    def entry(self, session: date) -> Entry | None:
        """The stored bars of a session, None where there are none."""
        return self.store.entry(self.calendar.exchange, self.source, session)

    @cached_property
    def columns(self) -> list[str]:
        """The symbols historical values are kept for, sorted: all that the store holds."""
        return sorted(self.listed)

    def trailing(self, session: date) -> list[Session]:
        """The sessions of its history, oldest first."""
        return self.calendar.trailing(session, self.config.history.trailing_sessions)

    @cached_property
    def warm_up(self) -> list[Session]:
        """The sessions that continuous indicators see before the run's first, oldest first."""
        if not any(use.is_chained for use in self.indicators):
            return []
        return self.calendar.trailing(self.sessions[0].date, self.config.history.warm_up_sessions)

    def rows(self, session: date) -> int:
        """How many bars the session will read."""
        return _rows(self.entry(session), set(self.listed))

    @property
    def is_chained(self) -> bool:
        """True if a session needs what the one before it hands over (schema.CARRIED): accounts and some indicators."""
        return self.strategy is not None or any(use.is_chained for use in self.indicators)

    @cached_property
    def rules(self) -> Rules:
        """The ledger's rule vector; ConfigError if a limit names a symbol that is not of the run."""
        config = self.config
        quality = config.quality.minimum_pct > 0.0 or config.quality.max_stale_bars is not None or bool(self.scanners)
        return rules_of(config.execution, config.limits, symbols=self.symbols, quality=quality)

    @cached_property
    def requested(self) -> list[Interval]:
        """The intervals the config and its indicators ask for, the source's own included."""
        read = (Interval.parse(use.interval) for use in self.indicators)
        return sorted({self.source, self.config.interval, *self.config.derived, *read})


def from_file(
    path: Path,
    store: Store,
    *,
    overrides: dict[str, Any] | None = None,
    tell: Callable[[str], None] = lambda _: None,
) -> Plan:
    """Settle the run that a config file describes; a strategy's module is looked for beside the file first.

    overrides  values of [run] given on the command line; symbols given there narrow what the config says of others
    tell       is told what they leave out
    """
    strategies.forget()
    config = settings.load(
        path,
        exchanges=calendar.exchanges(),
        overrides=overrides,
        strategy_problems=functools.partial(strategies.problems_of, folder=path.parent),
        scanner_problems=functools.partial(strategies.problems_of, folder=path.parent, role="scanner"),
        indicator_problems=functools.partial(problems_of, folder=path.parent),
    )
    if overrides and "symbols" in overrides:
        config = narrowed(config, store, tell)
    return from_config(config, store, folder=path.parent)


def from_config(config: Config, store: Store, *, folder: Path = Path()) -> Plan:
    """Settle a run; ConfigError or InputError says what is missing and what would do.

    folder  where the modules of a strategy and of indicators are looked for first
    """
    strategy, scanners = None, []
    if config.strategy is not None:
        strategy = strategies.load(config.strategy.use, config.strategy.params, folder=folder)
        config = with_declared(config, strategy, folder=folder)
        for each in config.scanners:
            scanners.append(strategies.load(each.use, each.params, folder=folder, role="scanner"))
            config = with_declared(config, scanners[-1], folder=folder)
    run = config.run
    known = calendar.load(run.exchange)
    sessions = _sessions(known, config)
    source = source_of(store, run.exchange, config.interval)
    wanted = None if run.symbols == "*" else set(run.symbols)
    listed = first_sessions(store, run.exchange, source, run.end, wanted)
    unknown = sorted((wanted or set()) - set(listed))
    if not listed:
        raise InputError(nothing_stored(store, config, source, unknown))
    indicators = session_uses(config, folder=folder)
    read = {Interval.parse(use.interval) for use in indicators}
    derived = sorted({config.interval, *config.derived, *read} - {source})
    historical = _historical(store, known, config, source, listed)
    _require_filled(config, indicators, historical)
    inputs = _inputs(store, known, config, source, listed, historical)
    loaded = [strategy, *scanners] if strategy else []
    foreign = foreign_digests(indicators, folder=folder)
    plan = Plan(
        config=config,
        calendar=known,
        store=store,
        source=source,
        derived=derived,
        sessions=sessions,
        listed=listed,
        unknown=unknown,
        indicators=indicators,
        historical=historical,
        reach=_reach(historical, known, run.start, run.end),
        inputs=inputs,
        strategy=strategy,
        scanners=scanners,
        sources=dict(sorted({name: digest for each in loaded for name, digest in each.sources.items()}.items()))
        | foreign,
        run_id=_run_id(config, inputs, listed, loaded, foreign),
    )
    if strategy is not None:
        _ = plan.rules  # refused here, before anything is written
        _require_benchmark(config.metrics.benchmark, plan.symbols)
    return plan


def _require_benchmark(benchmark: str | None, symbols: Sequence[str]) -> None:
    """ConfigError if alpha and beta would be null because nothing of the benchmark is read."""
    if benchmark is not None and benchmark not in symbols:
        raise ConfigError(f"metrics.benchmark: {benchmark} is no symbol of the run; {nearest(benchmark, symbols)}")


def streams_table(plan: Plan, session: date) -> pa.Table:
    """STREAMS of a session: where each symbol's requested intervals come from."""
    symbols, requested = plan.symbols, plan.requested
    first = [plan.listed.get(symbol) for symbol in symbols]
    unlisted = np.array([day is None or day > session for day in first], dtype=np.bool_)
    reasons = [f"no bars stored before {day}" if day else f"no {plan.source} bars stored; import them" for day in first]
    kinds = [STREAM_KINDS.index("STREAMED" if interval == plan.source else "GENERATED") for interval in requested]
    count = len(requested)
    ignored = np.repeat(unlisted, count)
    stream = np.where(ignored, STREAM_KINDS.index("IGNORED"), np.tile(kinds, len(symbols))).astype(np.int32)
    symbol = np.repeat(np.arange(len(symbols), dtype=np.int32), count)
    why = [reason for reason, is_unlisted in zip(reasons, unlisted.tolist(), strict=True) if is_unlisted]
    why_code = np.repeat(np.maximum(np.cumsum(unlisted, dtype=np.int32) - 1, 0), count)
    arrays = [
        dictionary(symbol, text(symbols)),
        dictionary(np.tile(np.arange(count, dtype=np.int32), len(symbols)), text([str(each) for each in requested])),
        dictionary(stream, text(STREAM_KINDS)),
        dictionary(np.zeros(len(stream), dtype=np.int32), text([str(plan.source)]), null=ignored),
        dictionary(why_code, text(why), null=~ignored),
    ]
    return pa.Table.from_arrays(arrays, schema=STREAMS)


def versions() -> dict[str, str]:
    """What the bytes depend on beside the code and the input; not Numba, whose code gives the same bits."""
    return {"backtester": __version__, "numpy": np.__version__, "pyarrow": pa.__version__}


def code_digest() -> str:
    """Sixteen hexadecimal digits that change with any source file of the package."""
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        digest.update(path.relative_to(PACKAGE).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def _sessions(known: Calendar, config: Config) -> list[Session]:
    run = config.run
    sessions = known.sessions(run.start, run.end)
    if not sessions:
        raise ConfigError(
            f"run.start to run.end: {run.exchange} has no session from {run.start} to {run.end}; widen it"
        )
    return sessions


def _historical(
    store: Store, known: Calendar, config: Config, source: Interval, listed: dict[str, date]
) -> list[trailing_catalog.Use]:
    """The historical uses; daily bars come from the store if it has any that a window could hold."""
    run = config.run
    uses = historical_uses(config, source=source, has_daily=False)
    for session in _reach(uses, known, run.start, run.end)[:-1] if uses else []:
        entry = store.entry(run.exchange, DAY, session.date)
        if entry is not None and not listed.keys().isdisjoint(entry.layout.symbols):
            return historical_uses(config, source=source, has_daily=True)
    return uses


def _reach(uses: list[trailing_catalog.Use], known: Calendar, first: date, last: date) -> list[Session]:
    if not uses:
        return known.sessions(first, last)
    from backtester.features.trailing import calendar_reach  # which runs without a history have no use for

    return calendar_reach(uses, known, first, last)


def _require_filled(config: Config, indicators: list[catalog.Use], historical: list[trailing_catalog.Use]) -> None:
    """ConfigError for a table that is asked for and that no indicator fills."""
    profiles = [use for use in historical if use.is_profile]
    fills = {
        "indicators": (indicators or profiles, "[[indicators]]"),
        "historical_profiles": (profiles, 'a profile, such as [[historical_indicators]] with name = "volume_profile"'),
    }
    for table, (filled, remedy) in fills.items():
        if table in config.run.tables and not filled:
            raise ConfigError(f"run.tables asks for {table}, which nothing fills; add {remedy}, or leave it out")


def _inputs(
    store: Store,
    known: Calendar,
    config: Config,
    source: Interval,
    listed: dict[str, date],
    historical: list[trailing_catalog.Use],
) -> dict[str, str]:
    """The digest of each session's bars, by symbol: what others share a session with does not matter.

    A session that is read in another interval than the run's too has a second digest, under `2025-07-02 1d`.
    """
    run = config.run
    digests = {}
    for interval in sorted({source, *(use.source for use in historical)}):
        uses = [use for use in historical if use.source == interval]
        read = {session.date for session in _reach(uses, known, run.start, run.end)} if uses else set()
        if interval == source:
            sessions = known.sessions(run.start, run.end)
            history = config.history
            before = known.trailing(sessions[0].date, max(history.trailing_sessions, history.warm_up_sessions))
            read |= {session.date for session in [*before, *sessions]}
        for day in sorted(read):
            entry = store.entry(run.exchange, interval, day)
            own = {} if entry is None else {s: d for s, d in entry.digest_of.items() if s in listed}
            key = day.isoformat() if interval == source else f"{day} {interval}"
            digests[key] = sha256(json.dumps(own, sort_keys=True).encode())
    return digests


def _run_id(
    config: Config,
    inputs: dict[str, str],
    listed: dict[str, date],
    loaded: list[strategies.Loaded],
    foreign: dict[str, str],
) -> str:
    question = {
        "config": config.model_dump(mode="json"),
        "inputs": inputs,
        "listed": {symbol: first.isoformat() for symbol, first in listed.items()},
        "code": code_digest(),
        "versions": versions(),
        **({"strategy": [each.digest for each in loaded]} if loaded else {}),
        **({"foreign": foreign} if foreign else {}),
    }
    return sha256(canonical_json(question))[:16]


def _rows(entry: Entry | None, symbols: set[str]) -> int:
    if entry is None:
        return 0
    layout = entry.layout
    return sum(rows for name, rows in zip(layout.symbols, layout.symbol_rows, strict=True) if name in symbols)
