"""What an audit computes again and again: a sampled session from the strategy's frames on, and from its bars on."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa

from backtester.arrays import Float64, Int64, frozen
from backtester.data.columns import bars_of, codes_of, dictionary, instants, symbols_of, text, timestamps_of, view_of
from backtester.data.session_file import bars_table
from backtester.errors import StrategyError
from backtester.features.grid import interval_windows, session_grid
from backtester.features.rows import Rows, rows_of
from backtester.run.commit import Carry, carried
from backtester.run.indicating import warmed
from backtester.run.loading import Loaded, Loader
from backtester.run.plan import Plan
from backtester.run.session import Prepared, columns_of, complete, continued, decided, prepare, scan
from backtester.strategy.audit import Compute
from backtester.strategy.columns import bars_frame, indicators_frame
from backtester.strategy.futures import KEYS, NAN, POISONS, Frames
from backtester.strategy.loading import Loaded as Code

# A bar's fill is told with the bar; that the bar after it is missing is not known then, and said to be so.
NOT_OF_THE_MOMENT = {"fills": ("gap_adjacent",)}
# What a session's tables tell of each moment, and the column where the label or, without one, the moment stands.
MOMENTS = {
    "derived_bars": "timestamp",
    "indicators": "timestamp",
    "selections": "known_at",
    "signals": "timestamp",
    "orders": "timestamp",
    "order_events": "timestamp",
    "fills": "timestamp",
    "equity": "timestamp",
}


class At(NamedTuple):
    """A sampled session with what it takes over."""

    plan: Plan  # its strategy as it was before the session
    loaded: Loaded
    carry: Carry


class Level(NamedTuple):
    """Something to compute from frames, and the frames as they are."""

    compute: Compute
    inputs: Frames
    poisons: tuple[str, ...]  # how the future is changed


def sampled(plan: Plan, chosen: list[int]) -> Iterator[At]:
    """The chosen sessions; those between them are computed where each takes over from the one before."""
    loader, carry = Loader(plan), first_carry(plan)
    for number, session in enumerate(plan.sessions[: chosen[-1] + 1]):
        if number not in chosen and not plan.is_chained and not plan.historical:
            continue
        loaded = loader.load(session)
        if number in chosen:
            yield At(copied(plan), loaded, carry)
        if plan.is_chained and number < chosen[-1]:
            carry = carried(complete(plan, prepare(plan, loaded), carry).tables)


def copied(plan: Plan) -> Plan:
    """The plan with a strategy of its own, as it is now; StrategyError if it cannot be copied.

    Scanners keep nothing: each session has copies of them as they were made.
    """
    return plan if plan.strategy is None else dataclasses.replace(plan, strategy=_copied(plan.strategy))


def _copied(code: Code) -> Code:
    try:
        return dataclasses.replace(code, strategy=copy.deepcopy(code.strategy))
    except Exception as error:
        raise StrategyError(
            f"strategy {code.use} cannot be copied ({type(error).__name__}: {error}), so no session can be "
            f"computed twice; keep what cannot be copied out of the object"
        ) from error


def first_carry(plan: Plan) -> Carry:
    """What the run's first session takes over."""
    state = warmed(plan) if plan.is_chained else None
    return carried({} if state is None else {"indicator_state": state})


def tables_at(at: At, *, bars: pa.Table | None = None, plan: Plan | None = None) -> dict[str, pa.Table]:
    """The session's tables, of other bars if given, by a strategy as it was before the session.

    plan  another way to run the same
    """
    own = copied(at.plan if plan is None else plan)
    loaded = at.loaded if bars is None else dataclasses.replace(at.loaded, bars=bars)
    return complete(own, prepare(own, loaded), at.carry).tables


def turned(at: At) -> dict[str, pa.Table]:
    """The session's tables with its symbols in reverse order, by whatever goes by their order."""
    bars = at.loaded.bars
    names: list[str] = symbols_of(bars).to_pylist()
    codes = (len(names) - 1 - codes_of(bars)).astype(np.int32)
    order = np.lexsort((codes, timestamps_of(bars)))
    values = [column[order] for column in bars_of(bars)]
    other = bars_table(timestamps_of(bars)[order], codes[order], names[::-1], values)
    return tables_at(at, bars=other, plan=dataclasses.replace(at.plan, is_turned=True))


def own_code(at: At) -> Level | None:
    """The code of a strategy of columns on its frames; None for strategies that are called bar by bar."""
    strategy = at.plan.strategy
    if strategy is None or strategy.kind != "columns":
        return None
    deciding = _deciding(at)
    bars = bars_frame(deciding.rows)
    read = indicators_frame(deciding.columns, bars.height)

    def compute(frames: Frames) -> dict[str, pl.DataFrame]:
        made = copy.deepcopy(strategy.strategy)
        wishes = made.signals(frames["bars"], frames["indicators"].drop(KEYS))
        wishes = wishes.collect() if isinstance(wishes, pl.LazyFrame) else pl.DataFrame(wishes)
        return {"signals": frames["bars"].select(KEYS).hstack(wishes.drop(KEYS, strict=False))}

    return Level(compute, {"bars": bars, "indicators": bars.select(KEYS).hstack(read)}, POISONS)


def own_rows(at: At, strategy: Code) -> Level:
    """A strategy that is called bar by bar, and what it reads beside the bar: running values, quality, indicators.

    Not the bar's own prices, which are the ledger's too: there is no bar without a price.
    """
    deciding = _deciding(at)
    rows, columns = deciding.rows, deciding.columns
    running = {name: getattr(rows.running, name) for name in ("volume", "high", "low", "vwap")}
    beside = {**{f"running_{name}": column for name, column in running.items()}, "quality_pct": rows.quality_pct}
    frame = bars_frame(rows).select(KEYS).with_columns(pl.Series(n, c) for n, c in {**beside, **columns}.items())

    def compute(frames: Frames) -> dict[str, pa.Table]:
        given = {name: frames["rows"][name].to_numpy() for name in (*beside, *columns)}
        other = rows._replace(
            running=rows.running._replace(**{name: frozen(given[f"running_{name}"]) for name in running}),
            quality_pct=frozen(given["quality_pct"]),
        )
        values = {name: frozen(given[name]) for name in columns}
        prepared = deciding.prepared
        return moments(decided(at.plan, _copied(strategy), prepared, other, values, prepared.tables, at.carry))

    return Level(compute, {"rows": frame}, (NAN,))


class _Deciding(NamedTuple):
    """A session as far as its strategy: the rows it decides on, and what it reads beside them, by key."""

    prepared: Prepared
    rows: Rows
    columns: dict[str, Float64]


def _deciding(at: At) -> _Deciding:
    plan = copied(at.plan)
    prepared = prepare(plan, at.loaded)
    rows = rows_of(prepared.done, at.loaded.session, plan.derived, plan.config.interval)
    indicated = continued(plan, prepared, at.carry)
    columns = columns_of(plan, prepared, indicated, rows)
    if plan.scanners:
        rows, _ = scan(plan, prepared, indicated, rows, columns)
    return _Deciding(prepared, rows, columns)


def levels_of(at: At) -> Iterator[Level]:
    """What an audit looks at: together, the strategy and every indicator with the future changed in all ways.

    From the bars on no future is NaN where there is a ledger, which has no price then; the strategy's own level and
    that of the indicators alone have it.
    """
    plan = at.plan
    alone = at._replace(plan=dataclasses.replace(plan, strategy=None, scanners=[]))
    if plan.strategy is None:
        yield pipeline(at, POISONS)
        return
    yield own_code(at) or own_rows(at, plan.strategy)
    yield pipeline(at, tuple(poison for poison in POISONS if poison != NAN))
    if plan.indicators:
        yield pipeline(alone, (NAN,))


def pipeline(at: At, poisons: tuple[str, ...]) -> Level:
    """Everything from the source bars on: derived bars, indicators, selections, signals, orders, fills, equity."""
    bars = at.loaded.bars
    names: list[str] = symbols_of(bars).to_pylist()
    frame = pl.DataFrame(bars).with_columns(pl.col("symbol").cast(pl.Enum(names)))
    stamps = frame["timestamp"].to_physical().to_numpy()
    known = pl.Series("known_at", _known_at(at, stamps)).cast(pl.Datetime("us", "UTC"))

    def compute(frames: Frames) -> dict[str, pa.Table]:
        changed = frames["bars"]
        codes = changed["symbol"].to_physical().to_numpy().astype(np.int32)
        values = [changed[name].to_numpy() for name in ("open", "high", "low", "close", "volume")]
        labels = changed["timestamp"].to_physical().to_numpy()
        return moments(tables_at(at, bars=bars_table(labels, codes, names, values)))

    return Level(compute, {"bars": frame.with_columns(known)}, poisons)


def _known_at(at: At, labels: Int64) -> Int64:
    """When each source bar is known in this run."""
    plan, session = at.plan, at.loaded.session
    grid = session_grid(session, plan.source, labels, hours="extended")
    windows = interval_windows(session, grid, plan.source)
    known: Int64 = windows.known_at[windows.of_label][np.searchsorted(grid.labels, labels)]
    if plan.config.run.hours == "regular":
        known = np.where(labels < session.close_at, np.minimum(known, session.close_at), known)
    return known


def moments(tables: Mapping[str, pa.Table]) -> dict[str, pa.Table]:
    """The tables that tell of moments, each row with its label, when it is known, and a symbol."""
    labels: Int64 = np.empty(0, dtype=np.int64)
    known = labels
    if "equity" in tables and tables["equity"].num_rows:
        labels, known = (_instants(tables["equity"], name) for name in ("timestamp", "known_at"))
    found = {}
    for name, moment in MOMENTS.items():
        if name not in tables:
            continue
        table, left_out = tables[name], NOT_OF_THE_MOMENT.get(name, ())
        table = table.select([column for column in table.column_names if column not in left_out])
        stamps = _instants(table, moment)
        if "timestamp" not in table.column_names:
            table = table.append_column("timestamp", instants(stamps))
        if "known_at" not in table.column_names:
            table = table.append_column("known_at", instants(known[np.searchsorted(labels, stamps)]))
        if "symbol" not in table.column_names:
            table = table.append_column("symbol", _symbols(table, tables.get("orders")))
        found[name] = table
    return found


def _instants(table: pa.Table, name: str) -> Int64:
    values: Int64 = view_of(table.column(name).combine_chunks().view(pa.int64()))
    return values


def _symbols(table: pa.Table, orders: pa.Table | None) -> pa.Array:
    """Whose each row is: that of its order, where it has one of this session; else null."""
    rows = table.num_rows
    if orders is None or "order_id" not in table.column_names or not orders.num_rows:
        return dictionary(np.zeros(rows, dtype=np.int32), text([""]), null=np.ones(rows, dtype=np.bool_))
    own, wanted = (view_of(each.column("order_id").combine_chunks()) for each in (orders, table))
    place = np.minimum(np.searchsorted(own, wanted), len(own) - 1)
    return dictionary(codes_of(orders)[place], symbols_of(orders), null=own[place] != wanted)
