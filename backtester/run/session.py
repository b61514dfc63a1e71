"""One session: its phases on one screen, split where the session before it comes in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from backtester.arrays import Float64, Int64
from backtester.data.calendar import Session
from backtester.data.columns import dates, dictionary, dictionary_of, empty, numbers, symbols_of, text, view_of
from backtester.data.expected import expected_labels
from backtester.features.intraday import Pass, derived_table, gaps_table, run_pass, running_table, summary_table
from backtester.features.rows import Rows, rows_of
from backtester.run import indicating
from backtester.run.commit import Carry, Completed
from backtester.run.flow import Flow
from backtester.run.indicating import Indicated
from backtester.run.loading import Failure, Loaded
from backtester.run.plan import STREAM_KINDS, Plan
from backtester.schema import FAILURES, TRAILING
from backtester.strategy.loading import Loaded as Strategy

EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Prepared:
    """A session as far as it goes without the one before it; phases 1 to 5 have left their steps in `flow`.

    tables  what is settled already; `complete` adds to a copy
    """

    loaded: Loaded
    flow: Flow
    done: Pass
    processed: int  # bars inside the run's hours
    indicated: Indicated
    tables: dict[str, pa.Table]


def prepare(plan: Plan, loaded: Loaded) -> Prepared:
    """Phases 1 to 5 of one session as far as they need nothing of another; any worker may do it at any time."""
    flow = Flow(loaded.session.date.isoformat())
    tables = _initialized(plan, loaded.session, flow) | _history(plan, loaded, flow)
    tables |= _activated(loaded, flow)
    done, processed = _passed(plan, loaded, flow)
    indicated = indicating.begin(plan, done, loaded.session)
    uses = [use for use in plan.indicators if not use.is_chained]
    if uses:
        indicated = indicating.indicate(plan, indicated, loaded.session, flow, uses=uses)
    return Prepared(loaded, flow, done, processed, indicated, tables)


def complete(plan: Plan, prepared: Prepared, carry: Carry) -> Completed:
    """Phases 5 and 6 up to the commit; in session order, with the carry of the session before, if plan.is_chained.

    carry  empty for the first session of a run, and for every session of a run that is not chained
    """
    flow, session = prepared.flow, prepared.loaded.session
    tables = dict(prepared.tables)
    indicated = continued(plan, prepared, carry)
    if indicated.state is not None:
        tables["indicator_state"] = indicated.state
    rows = rows_of(prepared.done, session, plan.derived, plan.config.interval) if _needs_rows(plan) else None
    if "indicators" in plan.config.run.tables:
        more = _ratios(plan, prepared.loaded, rows)
        tables["indicators"] = indicating.indicators_table(plan, indicated, more)
    if plan.strategy is not None and rows is not None:
        tables |= _traded(plan, plan.strategy, prepared, indicated, rows, tables, carry)
    with flow.step("5.SUMMARY") as step:
        step.rows = prepared.processed
        grid = prepared.done.grid.grid
        iterations = int(np.count_nonzero(grid.ends > grid.starts))
        close = _clock(session.close_at, ZoneInfo(plan.calendar.zone))
        step.detail = f"{iterations} iterations, {step.rows} bars, final time = {close}"
    with flow.step("6.1") as step:
        tables |= _pass_tables(plan, prepared.done, session)
        step.rows = sum(table.num_rows for table in tables.values())
        step.detail = f"Complete - {step.rows} rows in {len(tables)} tables"
    return Completed(flow, prepared.processed, len(prepared.loaded.failures), tables)


def _traded(
    plan: Plan,
    strategy: Strategy,
    prepared: Prepared,
    indicated: Indicated,
    rows: Rows,
    tables: dict[str, pa.Table],
    carry: Carry,
) -> dict[str, pa.Table]:
    """What a strategy asked for and what became of it."""
    columns, selections = columns_of(plan, prepared, indicated, rows), {}
    if plan.scanners:
        rows, selections["selections"] = scan(plan, prepared, indicated, rows, columns)
    return selections | decided(plan, strategy, prepared, rows, columns, tables, carry)


def decided(
    plan: Plan,
    strategy: Strategy,
    prepared: Prepared,
    rows: Rows,
    columns: dict[str, Float64],
    tables: dict[str, pa.Table],
    carry: Carry,
) -> dict[str, pa.Table]:
    """What the strategy asks on these rows, and what becomes of it; `tables` as the session has them so far."""
    # Here and not above: they bring Polars, a quarter of a second that a run without a strategy has no use for.
    from backtester.run import replaying, trading

    if strategy.kind == "event":
        seen = replaying.Seen(prepared.done, rows, columns, tables)
        return replaying.tell(plan, strategy, seen, carry, prepared.flow)
    if strategy.kind == "step":
        from backtester.run import stepping

        return stepping.step_through(plan, strategy, rows, columns, carry, prepared.flow)
    made = trading.decide(strategy, rows, columns, prepared.flow)
    return made.tables | trading.trade(plan, made, carry, prepared.flow)


def columns_of(plan: Plan, prepared: Prepared, indicated: Indicated, rows: Rows) -> dict[str, Float64]:
    """What a strategy reads beside the bars, by key: indicators and historical values, one value a row."""
    columns = indicated.on_rows(plan)
    if prepared.loaded.past is not None:
        from backtester.features.trailing_rows import on_rows

        columns |= on_rows(prepared.loaded.past, rows, _places(plan, rows.symbols.to_pylist()))
    return columns


def scan(
    plan: Plan, prepared: Prepared, indicated: Indicated, rows: Rows, columns: dict[str, Float64]
) -> tuple[Rows, pa.Table]:
    """The rows with what the scanners have selected by each of them, and SELECTIONS."""
    from backtester.strategy import scanning  # brings Polars

    before = dict(indicated.before)
    if prepared.loaded.past is not None:
        from backtester.features.trailing_rows import by_symbol

        before |= by_symbol(prepared.loaded.past, _places(plan, rows.symbols.to_pylist()))
    scanners = [scanning.fresh(*each) for each in zip(plan.config.scanners, plan.scanners, strict=True)]

    def wider(instant: int) -> dict[str, Float64]:
        return indicated.wider_by(plan, instant)

    with prepared.flow.step("5.4a") as step:
        scanned = scanning.scanned(scanners, rows, columns, before, wider=wider, zone=ZoneInfo(plan.calendar.zone))
        step.rows = scanned[1].num_rows
        step.detail = f"{len(scanners)} scanners changed what is selected {step.rows} times"
    return scanned


def continued(plan: Plan, prepared: Prepared, carry: Carry) -> Indicated:
    """The indicators with those that go on overnight."""
    uses = [use for use in plan.indicators if use.is_chained]
    if not uses:
        return prepared.indicated
    session, state = prepared.loaded.session, carry.get("indicator_state")
    return indicating.indicate(plan, prepared.indicated, session, prepared.flow, uses=uses, state=state)


def _ratios(plan: Plan, loaded: Loaded, rows: Rows | None) -> dict[str, Float64]:
    """What the table of indicators has of the past, on the rows of the run's interval."""
    if loaded.past is None or rows is None:
        return {}
    from backtester.features.trailing_rows import ratios

    return ratios(loaded.past, rows, _places(plan, rows.symbols.to_pylist()))


def _needs_rows(plan: Plan) -> bool:
    return plan.strategy is not None or ("indicators" in plan.config.run.tables and bool(plan.historical))


def _places(plan: Plan, symbols: list[str]) -> Int64:
    """Where symbols are among those that historical values are kept for."""
    places: Int64 = np.searchsorted(plan.columns, symbols)
    return places


def _initialized(plan: Plan, session: Session, flow: Flow) -> dict[str, pa.Table]:
    with flow.step("1.1") as step:
        streams = plan.streams(session.date)
        step.rows = streams.num_rows
        step.detail = f"Marked {_counted(streams)}"
    with flow.step("1.4") as step:
        clock = _clock(session.open_at, ZoneInfo(plan.calendar.zone))
        step.detail = f"Current session date: {flow.session}, time: {clock}"
    return {"streams": streams}


def _history(plan: Plan, loaded: Loaded, flow: Flow) -> dict[str, pa.Table]:
    session = loaded.session
    with flow.step("2.1") as step:
        trailing = _trailing_table(plan, session)
        step.rows = int(view_of(trailing.column("bars").chunk(0)).sum())
        step.detail = f"Complete - {step.rows} bars in {len(plan.trailing(session.date))} trailing sessions"
    tables = {"trailing": trailing} | _historical(plan, loaded, flow)
    with flow.step("2.3") as step:
        step.rows = trailing.num_rows
        step.detail = f"Historical quality/gaps: {_average_quality(trailing)}"
    return tables


def _historical(plan: Plan, loaded: Loaded, flow: Flow) -> dict[str, pa.Table]:
    past = loaded.past
    if past is None:
        return {}
    from backtester.features.trailing_tables import historical_table, profile_table

    universe = plan.universe(loaded.session.date)
    columns = _places(plan, universe)
    tables = {"historical_indicators": historical_table(past, universe, columns)}
    if "historical_profiles" in plan.config.run.tables:
        tables["historical_profiles"] = profile_table(past, universe, columns)
    values = len(past.rows) + len(past.profiles)
    flow.add(
        "2.2",
        loaded.started_at - int(loaded.past_seconds * 1e6),
        loaded.past_seconds,
        sum(table.num_rows for table in tables.values()),
        f"Complete - {values} historical indicators for {len(universe)} symbols",
    )
    return tables


def _activated(loaded: Loaded, flow: Flow) -> dict[str, pa.Table]:
    bars, universe = loaded.bars.num_rows, symbols_of(loaded.bars)
    queues = f"Complete - Loaded {bars} bars across {len(universe)} streams"
    flow.add("3.2", loaded.started_at, loaded.seconds, bars, queues)
    with flow.step("4.1") as step:
        failures = _failures_table(loaded.failures)
        step.rows = len(universe)
        step.detail = f"Complete - Session active, {len(loaded.failures)} symbols failed"
    return {"failures": failures}


def _passed(plan: Plan, loaded: Loaded, flow: Flow) -> tuple[Pass, int]:
    session, hours, zone = loaded.session, plan.config.run.hours, ZoneInfo(plan.calendar.zone)
    with flow.step("5.1") as step:
        step.detail = f"Market hours: {_clock(session.open_at, zone)} to {_clock(session.close_at, zone)} ({hours})"
    with flow.step("5.3") as step:
        done = run_pass(loaded.bars, session, interval=plan.source, derived=plan.derived, hours=hours)
        step.rows = _processed(done)
        dropped = loaded.bars.num_rows - step.rows
        step.detail = f"Processed {step.rows} bars, dropped {dropped} bars outside trading hours"
    return done, step.rows


def _pass_tables(plan: Plan, done: Pass, session: Session) -> dict[str, pa.Table]:
    tables = {
        "derived_bars": derived_table(done, plan.derived),
        "gaps": gaps_table(done),
        "session_summary": summary_table(done, session),
    }
    if "running" in plan.config.run.tables:
        tables["running"] = running_table(done)
    return tables


def _trailing_table(plan: Plan, session: Session) -> pa.Table:
    universe = plan.universe(session.date)
    tables = []
    for past in plan.trailing(session.date):
        entry = plan.entry(past.date)
        expected = expected_labels(past, plan.source)
        bars = np.zeros(len(universe), dtype=np.int32)
        if entry is not None:
            bars = plan.store.count_bars(entry, universe, expected)
        quality = 100.0 * bars / max(len(expected), 1)
        arrays = [
            dates(np.full(len(universe), (past.date - EPOCH).days, dtype=np.int32)),
            dictionary(np.arange(len(universe), dtype=np.int32), text(universe)),
            numbers(bars),
            numbers(np.full(len(universe), len(expected), dtype=np.int32)),
            numbers(quality),
        ]
        tables.append(pa.Table.from_arrays(arrays, schema=TRAILING))
    # Every part has the universe as its dictionary, so chunks join without being unified.
    return pa.concat_tables(tables).combine_chunks() if tables else empty(TRAILING)


def _failures_table(failures: list[Failure]) -> pa.Table:
    symbols, phases, reasons = zip(*failures, strict=True) if failures else ((), (), ())
    return pa.Table.from_arrays([dictionary_of(symbols), dictionary_of(phases), text(reasons)], schema=FAILURES)


def _processed(done: Pass) -> int:
    return int((done.grid.grid.ends - done.grid.grid.starts).sum())


def _average_quality(trailing: pa.Table) -> str:
    quality = view_of(trailing.column("quality_pct").chunk(0))
    if not len(quality):
        return "none asked for"
    return f"{quality.mean():.1f}% average across {len(quality)} symbol-sessions"


def _counted(streams: pa.Table) -> str:
    column = streams.column("stream").chunk(0)
    counts = np.bincount(view_of(column.indices), minlength=len(STREAM_KINDS)).tolist()
    return ", ".join(f"{count} {kind}" for count, kind in zip(counts, STREAM_KINDS, strict=True))


def _clock(instant: int, zone: ZoneInfo) -> str:
    return f"{datetime.fromtimestamp(instant / 1e6, UTC).astimezone(zone):%H:%M:%S}"
