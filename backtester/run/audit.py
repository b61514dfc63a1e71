"""The audit of a config: on sampled sessions, does anything look ahead, and do fast and slow agree, bit for bit?"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from backtester.config.whole import Config
from backtester.data.columns import symbols_of
from backtester.data.durable import canonical_json, sha256
from backtester.data.session_file import bars_table
from backtester.features.grid import interval_windows, session_grid
from backtester.features.rows import rows_of
from backtester.kernels import jit
from backtester.run.commit import Carry, carried
from backtester.run.indicating import warmed
from backtester.run.loading import Loaded, Loader
from backtester.run.plan import Plan
from backtester.run.session import Prepared, columns_of, complete, continued, prepare
from backtester.strategy import audit
from backtester.strategy.columns import bars_frame, indicators_frame

# A bar's fill is told with the bar; that the bar after it is missing is not known then, and said to be so.
NOT_OF_THE_MOMENT = {"fills": ("gap_adjacent",)}
# What a session's tables tell of each moment, and where the moment stands.
MOMENTS = {
    "derived_bars": "known_at",
    "indicators": "known_at",
    "signals": "known_at",
    "fills": "timestamp",
    "order_events": "timestamp",
    "equity": "timestamp",
}
PIPELINE_POISONS = (audit.TRUNCATED, audit.SCALED, audit.RANDOM)  # no bar of a store is NaN


class At(NamedTuple):
    """A sampled session with what it takes over."""

    loaded: Loaded
    carry: Carry
    strategy: Any  # as the strategy was before the session


class Audit(NamedTuple):
    """What an audit found; violations are sentences, one each."""

    sessions: list[str]
    checks: int
    leaks: list[dict[str, Any]]
    parity: list[str]
    order: dict[str, int]  # column -> rows that depend on the order of symbols at one label
    warm_up: dict[
        str, int | None
    ]  # column -> sessions of history until nothing changes any more, None beyond those tried
    failures: dict[str, int]
    compared: list[str]  # which ways of running were compared

    @property
    def violations(self) -> int:
        """How many there are; order and warm-up are told, and are none."""
        return len(self.leaks) + len(self.parity)

    @property
    def digest(self) -> str:
        """SHA-256 of everything it says."""
        return sha256(canonical_json(self._asdict()))


def run_audit(plan: Plan, *, sessions: int = 2, every: int = 13, full: bool = False) -> Audit:
    """Audit `sessions` of the plan's sessions, evenly spread, at every `every`-th bar, at all with `full`."""
    plan = _telling(plan)
    chosen = sorted({round(k) for k in np.linspace(0, len(plan.sessions) - 1, min(sessions, len(plan.sessions)))})
    found = Audit([], 0, [], [], {}, {}, {}, [])
    for at in sampled(plan, chosen):
        day = at.loaded.session.date.isoformat()
        checks, step = found.checks, 1 if full else every
        for level in (_own_code(plan, at), pipeline(plan, at)):
            if level is None:
                continue
            compute, inputs, poisons, known = level
            cuts = audit.instants_of(known, every=step)
            report = audit.look_ahead(compute, inputs, cuts=cuts, poisons=poisons)
            checks += report.checks
            fresh = [{"session": day, **leak._asdict()} for leak in report.leaks]
            told = {(leak["output"], leak["column"]) for leak in found.leaks}
            found.leaks.extend(leak for leak in fresh if (leak["output"], leak["column"]) not in told)
            for text, count in report.failures.items():
                found.failures[text] = found.failures.get(text, 0) + count
            if poisons == audit.POISONS:
                for (_, column), count in audit.order_sensitive(compute, inputs).items():
                    found.order[column] = found.order.get(column, 0) + count
        _compare(plan, at, found)
        found = found._replace(checks=checks, sessions=[*found.sessions, day])
    if chosen:
        found = found._replace(warm_up=_warm_up(plan, plan.sessions[chosen[-1]].date.isoformat()))
    return found


def _telling(plan: Plan) -> Plan:
    """The plan with the indicators table among its tables: an audit looks at every value."""
    run = plan.config.run
    tables = sorted({*run.tables, *(["indicators"] if plan.indicators or plan.historical else [])})
    config: Config = plan.config.model_copy(update={"run": run.model_copy(update={"tables": tables})})
    return dataclasses.replace(plan, config=config)


def sampled(plan: Plan, chosen: list[int]) -> Iterator[At]:
    """The chosen sessions; those between them are computed where each takes over from the one before."""
    loader, carry = Loader(plan), first_carry(plan)
    for number, session in enumerate(plan.sessions[: chosen[-1] + 1]):
        if number not in chosen and not plan.is_chained and not plan.historical:
            continue
        loaded = loader.load(session)
        if number in chosen:
            kept = None if plan.strategy is None else copy.deepcopy(plan.strategy.strategy)
            yield At(loaded, carry, kept)
        if plan.is_chained and number < chosen[-1]:
            carry = carried(complete(plan, prepare(plan, loaded), carry).tables)


def first_carry(plan: Plan) -> Carry:
    """What the run's first session takes over."""
    state = warmed(plan) if plan.is_chained else None
    return carried({} if state is None else {"indicator_state": state})


def _tables(plan: Plan, at: At, bars: pa.Table | None = None) -> dict[str, pa.Table]:
    """The session's tables, of other bars if given, by a strategy as it was before the session."""
    if plan.strategy is not None:
        own = dataclasses.replace(plan.strategy, strategy=copy.deepcopy(at.strategy))
        plan = dataclasses.replace(plan, strategy=own)
    loaded = at.loaded if bars is None else dataclasses.replace(at.loaded, bars=bars)
    return complete(plan, prepare(plan, loaded), at.carry).tables


Level = tuple[audit.Compute, audit.Frames, tuple[str, ...], audit.Frames]


def _own_code(plan: Plan, at: At) -> Level | None:
    """The strategy's own code on its frames; None for strategies that are called bar by bar."""
    strategy = plan.strategy
    if strategy is None or strategy.kind != "columns":
        return None
    prepared: Prepared = prepare(plan, at.loaded)
    session = at.loaded.session
    rows = rows_of(prepared.done, session, plan.derived, plan.config.interval)
    columns = columns_of(plan, prepared, continued(plan, prepared, at.carry), rows)
    bars = bars_frame(rows)
    inputs = {"bars": bars, "indicators": bars.select(audit.KEYS).hstack(indicators_frame(columns, bars.height))}

    def compute(frames: audit.Frames) -> audit.Frames:
        made = copy.deepcopy(at.strategy)
        wishes = made.signals(frames["bars"], frames["indicators"].drop(audit.KEYS))
        wishes = wishes.collect() if isinstance(wishes, pl.LazyFrame) else pl.DataFrame(wishes)
        return {"signals": frames["bars"].select(audit.KEYS).hstack(wishes.drop(audit.KEYS, strict=False))}

    return compute, inputs, audit.POISONS, inputs


def pipeline(plan: Plan, at: At) -> Level:
    """Everything from the source bars on: derived bars, indicators, signals, fills, equity."""
    session, bars = at.loaded.session, at.loaded.bars
    names: list[str] = symbols_of(bars).to_pylist()
    frame = pl.DataFrame(bars).with_columns(pl.col("symbol").cast(pl.String))
    stamps = frame["timestamp"].to_physical().to_numpy()
    grid = session_grid(session, plan.source, stamps, hours="extended")
    windows = interval_windows(session, grid, plan.source)
    known = windows.known_at[windows.of_label][np.searchsorted(grid.labels, stamps)]
    if plan.config.run.hours == "regular":
        known = np.where(stamps < session.close_at, np.minimum(known, session.close_at), known)
    kind = pl.Datetime("us", "UTC")
    inputs = {"bars": frame.with_columns(pl.Series("known_at", known).cast(kind))}

    def compute(frames: audit.Frames) -> audit.Frames:
        changed = frames["bars"]
        codes = changed["symbol"].cast(pl.Enum(names)).to_physical().to_numpy().astype(np.int32)
        values = [changed[name].to_numpy() for name in ("open", "high", "low", "close", "volume")]
        labels = changed["timestamp"].to_physical().to_numpy()
        return moments(_tables(plan, at, bars_table(labels, codes, names, values)))

    return compute, inputs, PIPELINE_POISONS, inputs


def moments(tables: Mapping[str, pa.Table]) -> dict[str, pl.DataFrame]:
    """The tables that tell of moments, each row with the instant at which its label is known."""
    known = None
    if "equity" in tables:
        equity = pl.DataFrame(tables["equity"])
        known = equity.select("timestamp", "known_at")
    found = {}
    for name, moment in MOMENTS.items():
        if name not in tables:
            continue
        frame = pl.DataFrame(tables[name])
        texts = [column for column in frame.columns if frame[column].dtype in (pl.Categorical, pl.Enum)]
        frame = frame.with_columns(pl.col(column).cast(pl.String) for column in texts)
        if moment == "timestamp" and "known_at" not in frame.columns and known is not None:
            frame = frame.join(known, on="timestamp", how="left", maintain_order="left")
        if "symbol" not in frame.columns:
            frame = frame.with_columns(symbol=pl.lit(""))
        found[name] = frame.drop(NOT_OF_THE_MOMENT.get(name, ()), strict=False)
    return found


def _compare(plan: Plan, at: At, found: Audit) -> None:
    """Fast against slow: what differs is a line of found.parity."""
    whole = _tables(plan, at)
    ways: dict[str, dict[str, pa.Table]] = {}
    if plan.strategy is not None and plan.strategy.kind != "event":
        ways["replay"] = _tables(dataclasses.replace(plan, is_replayed=not plan.is_replayed), at)
    # Plain Python takes a hundred times as long: the first sampled session stands for all.
    if jit.is_compiled() and not found.sessions:
        with jit.interpreted():
            ways["interpreted"] = _tables(plan, at)
    for way, tables in ways.items():
        if way not in found.compared:
            found.compared.append(way)
        for name in sorted({*whole, *tables}):
            if name not in whole or name not in tables or not whole[name].equals(tables[name]):
                found.parity.append(f"{at.loaded.session.date}: table {name} differs when run {way}")


def _warm_up(plan: Plan, day: str) -> dict[str, int | None]:
    """Of indicators that go on overnight, how many sessions of history change nothing of `day` any more."""
    uses = [use for use in plan.indicators if use.is_chained]
    if not uses:
        return {}
    number = next(k for k, session in enumerate(plan.sessions) if session.date.isoformat() == day)
    bare = dataclasses.replace(plan, strategy=None)
    whole = _indicators(bare, number, number)
    found: dict[str, int | None] = {}
    for back in (0, 1, 2, 5, 10, 20):
        if back >= number:
            break
        shorter = _indicators(bare, number, back)
        for use in uses:
            for column in use.columns:
                if found.get(column) is None and shorter[column].equals(whole[column], null_equal=True):
                    found[column] = back
    return {column: found.get(column) for use in uses for column in use.columns}


def _indicators(plan: Plan, number: int, back: int) -> pl.DataFrame:
    """A session's indicators with `back` sessions of history before it."""
    loader = Loader(plan)
    carry = first_carry(plan) if back == number else {}
    tables: dict[str, pa.Table] = {}
    for session in plan.sessions[number - back : number + 1]:
        tables = complete(plan, prepare(plan, loader.load(session)), carry).tables
        carry = carried(tables)
    return pl.DataFrame(tables["indicators"])
