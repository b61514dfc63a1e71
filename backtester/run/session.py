"""One session, start to commit: the six phases on one screen."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from backtester.data.calendar import Session
from backtester.data.columns import dates, dictionary, dictionary_of, numbers, symbols_of, text, view_of
from backtester.data.expected import expected_labels
from backtester.data.run_dir import RunDir
from backtester.data.session_file import bars_table
from backtester.errors import BacktestError
from backtester.features.intraday import Pass, derived_table, gaps_table, run_pass, running_table, summary_table
from backtester.run.flow import Flow
from backtester.run.plan import STREAM_KINDS, Plan, streams_table
from backtester.schema import FAILURES, TRAILING

EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Loaded:
    """A session's bars, read ahead; `failures` are (symbol, reason) of those that could not be read."""

    session: Session
    bars: pa.Table
    failures: list[tuple[str, str]]
    started_at: int
    seconds: float


@dataclass(frozen=True)
class Done:
    """What a committed session counts for: bars processed, failed symbols, and its SESSION_FLOW lines."""

    session: str
    bars: int
    failed: int
    lines: list[str]


def load_session(plan: Plan, session: Session) -> Loaded:
    """Read a session's bars; damage to one symbol leaves the others."""
    started_at, begun = time.time_ns() // 1000, time.perf_counter()
    universe = plan.universe(session.date)
    failures = [(symbol, f"no {plan.source} bars in the store; import them") for symbol in plan.unknown]
    bars, damaged = _read(plan, session, universe)
    return Loaded(session, bars, [*failures, *damaged], started_at, time.perf_counter() - begun)


def run_session(plan: Plan, loaded: Loaded, run_dir: RunDir) -> Done:
    """Phases 1 to 6 of one session; when this returns its tables are committed."""
    session, name = loaded.session, loaded.session.date.isoformat()
    zone = ZoneInfo(plan.calendar.zone)
    flow = Flow(name)
    tables: dict[str, pa.Table] = {}

    with flow.step("1.1") as step:
        tables["streams"] = streams_table(plan, session.date)
        step.rows = tables["streams"].num_rows
        step.detail = f"Marked {_counted(tables['streams'])}"
    with flow.step("1.4") as step:
        step.detail = f"Current session date: {name}, time: {_clock(session.open_at, zone)}"

    with flow.step("2.1") as step:
        tables["trailing"] = _trailing_table(plan, session)
        step.rows = int(view_of(tables["trailing"].column("bars").chunk(0)).sum())
        step.detail = f"Complete - {step.rows} bars in {len(plan.trailing(session.date))} trailing sessions"
    with flow.step("2.3") as step:
        step.rows = tables["trailing"].num_rows
        step.detail = f"Historical quality/gaps: {_average_quality(tables['trailing'])}"

    bars = loaded.bars.num_rows
    universe = symbols_of(loaded.bars)
    queues = f"Complete - Loaded {bars} bars across {len(universe)} streams"
    flow.add("3.2", loaded.started_at, loaded.seconds, bars, queues)

    with flow.step("4.1") as step:
        tables["failures"] = _failures_table(loaded.failures)
        step.rows = len(universe)
        step.detail = f"Complete - Session active, {len(loaded.failures)} symbols failed"

    with flow.step("5.1") as step:
        hours = plan.config.run.hours
        step.detail = f"Market hours: {_clock(session.open_at, zone)} to {_clock(session.close_at, zone)} ({hours})"
    with flow.step("5.3") as step:
        done = run_pass(loaded.bars, session, interval=plan.source, derived=plan.derived, hours=hours)
        step.rows = _processed(done)
        step.detail = f"Processed {step.rows} bars, dropped {bars - step.rows} bars outside trading hours"
    processed = step.rows
    with flow.step("5.SUMMARY") as step:
        step.rows = processed
        iterations = int(np.count_nonzero(done.grid.grid.ends > done.grid.grid.starts))
        close = _clock(session.close_at, zone)
        step.detail = f"{iterations} iterations, {processed} bars, final time = {close}"

    with flow.step("6.1") as step:
        tables |= _pass_tables(plan, done, session)
        step.rows = sum(table.num_rows for table in tables.values())
        step.detail = f"Complete - {step.rows} rows in {len(tables)} tables"
    flow_rows = flow.table()
    run_dir.write_flow(name, _parquet(flow_rows))
    failed = len(loaded.failures)
    content = {table: (rows.num_rows, _parquet(rows)) for table, rows in tables.items() if rows.num_rows}
    run_dir.commit(name, bars=processed, failed=failed, tables=content)
    return Done(name, processed, failed, flow.lines())


def _pass_tables(plan: Plan, done: Pass, session: Session) -> dict[str, pa.Table]:
    tables = {
        "derived_bars": derived_table(done, plan.derived),
        "gaps": gaps_table(done),
        "session_summary": summary_table(done, session),
    }
    if "running" in plan.config.run.tables:
        tables["running"] = running_table(done)
    return tables


def _read(plan: Plan, session: Session, universe: list[str]) -> tuple[pa.Table, list[tuple[str, str]]]:
    entry = plan.entry(session.date)
    if entry is None or not universe:
        none = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int32)
        return bars_table(*none, universe, [np.empty(0)] * 5), []
    try:
        return plan.store.load(entry, universe), []
    except BacktestError:
        whole, failures = [], []
        for symbol in universe:
            try:
                plan.store.load_partial(entry, [symbol])
                whole.append(symbol)
            except BacktestError as error:
                failures.append((symbol, str(error)))
        return plan.store.load_partial(entry, whole), failures


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
    return pa.concat_tables(tables).combine_chunks() if tables else TRAILING.empty_table()


def _failures_table(failures: list[tuple[str, str]]) -> pa.Table:
    symbols, reasons = [symbol for symbol, _ in failures], [reason for _, reason in failures]
    arrays = [dictionary_of(symbols), dictionary_of(["load"] * len(symbols)), text(reasons)]
    return pa.Table.from_arrays(arrays, schema=FAILURES)


def _parquet(table: pa.Table) -> memoryview:
    # Uncompressed and without statistics, which nothing reads: a third of zstd's time (bench/bench_run.py).
    keys = [field.name for field in table.schema if pa.types.is_dictionary(field.type)]
    sink = pa.BufferOutputStream()
    pq.write_table(
        table, sink, compression="none", use_dictionary=keys, write_statistics=False, write_page_checksum=True
    )
    return memoryview(sink.getvalue()).cast("B")


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
