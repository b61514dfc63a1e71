"""A small run, worked out in slow plain Python: two sessions of 30 minutes, derived 5m and 20m, gaps of every kind."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtester.data.durable import sha256_of, write_whole
from backtester.data.run_dir import RunDir
from backtester.results.collected import Collected
from backtester.results.facts import Terms
from backtester.results.formulas import DEFAULTS
from backtester.results.metrics import compute
from backtester.schema import FLOW, SESSION_TABLES, indicators_schema
from tests.results.book import Book

MINUTE = timedelta(minutes=1)
LABELS = 30
CAPITAL = 50_000.0
SESSIONS_PER_YEAR = 250.0
OWN = [metric.id for metric in DEFAULTS]
SESSIONS = [date(2025, 7, 2), date(2025, 7, 3)]
INTERVALS = {"5m": 5, "20m": 20}
# Minutes without a bar: BBB has an opening, an inside and a closing gap, CCC has no bar at all.
MISSING = {"AAA": set(), "BBB": {0, 1, 12, 13, 14, 29}, "CCC": set(range(LABELS))}

Tables = dict[str, pa.Table]
Rows = list[dict[str, Any]]

CONFIG = """\
[run]
name = "small"
exchange = "XNYS"
start = "2025-07-02"
end = "2025-07-03"
symbols = ["AAA", "BBB", "CCC", "DDD"]
interval = "1m"
derived = ["5m", "20m"]
hours = "regular"
tables = ["running"]

[execution]
capital = 50000.0
fill_bar = "next"
arm = "entry_bar"
limit_price = "limit_or_open"
stop_price = "stop_or_open"
volume_frac = 0.1
volume_rest = "carry"
slippage_bps = 10.0
slippage_ticks = 0.0
spread_bps = 0.0
spread_on = "both"
share_impact = 0.0
share_cap = 1.0
round_fills = false
tick = 0.01

[limits]
restricted = ["CCC"]

[metrics]
benchmark = "AAA"
"""


def source_bars(session: date, symbol: str) -> Rows:
    """The bars of one symbol: AAA trades whole volumes, BBB fractional ones."""
    opened = _open(session)
    base = {"AAA": 100.0, "BBB": 7.5, "CCC": 1.0}[symbol] + session.day
    unit = 0.1 if symbol == "BBB" else 1.0
    return [
        {
            "minute": i,
            "timestamp": opened + i * MINUTE,
            "open": base + 0.05 * i,
            "high": base + 0.05 * i + 0.75,
            "low": base + 0.05 * i - 0.5,
            "close": base + 0.05 * i + 0.25,
            "volume": unit * (1000 + 50 * i),
        }
        for i in range(LABELS)
        if i not in MISSING[symbol]
    ]


def _open(session: date) -> datetime:
    return datetime(session.year, session.month, session.day, 13, 30, tzinfo=UTC)


def _ohlcv(bars: Rows) -> dict[str, float]:
    return {
        "open": bars[0]["open"],
        "high": max(bar["high"] for bar in bars),
        "low": min(bar["low"] for bar in bars),
        "close": bars[-1]["close"],
        "volume": sum((bar["volume"] for bar in bars), 0.0),
    }


def _vwap(bars: Rows) -> float | None:
    volume = sum((bar["volume"] for bar in bars), 0.0)
    traded = sum(((bar["high"] + bar["low"] + bar["close"]) / 3.0 * bar["volume"] for bar in bars), 0.0)
    return traded / volume if volume else None


def _gaps(session: date, symbol: str) -> Rows:
    found: list[list[int]] = []
    for minute in sorted(MISSING[symbol]):
        if found and found[-1][-1] == minute - 1:
            found[-1].append(minute)
        else:
            found.append([minute])
    opened = _open(session)
    return [
        {
            "symbol": symbol,
            "kind": "opening" if run[0] == 0 else "closing" if run[-1] == LABELS - 1 else "inside",
            "first_missing": opened + run[0] * MINUTE,
            "last_missing": opened + run[-1] * MINUTE,
            "missing_bars": len(run),
        }
        for run in found
    ]


def _derived(session: date, interval: str) -> Rows:
    opened, width = _open(session), INTERVALS[interval]
    rows = []
    for first in range(0, LABELS, width):
        for symbol in MISSING:
            bars = [bar for bar in source_bars(session, symbol) if first <= bar["minute"] < first + width]
            end = min(first + width, LABELS)
            if bars:
                rows.append(
                    {
                        "interval": interval,
                        "timestamp": opened + first * MINUTE,
                        "symbol": symbol,
                        **_ohlcv(bars),
                        "bars": len(bars),
                        "expected_bars": end - first,
                        "is_partial": end - first < width,
                        "known_at": opened + end * MINUTE,
                    }
                )
    return rows


def _running(session: date, symbol: str) -> Rows:
    bars = source_bars(session, symbol)
    rows = []
    for count in range(1, len(bars) + 1):
        so_far = _ohlcv(bars[:count])
        vwap = _vwap(bars[:count])
        rows.append(
            {
                "timestamp": bars[count - 1]["timestamp"],
                "symbol": symbol,
                "running_volume": so_far["volume"],
                "running_high": so_far["high"],
                "running_low": so_far["low"],
                "running_vwap": math.nan if vwap is None else vwap,
                "running_bars": count,
            }
        )
    return rows


def _summary(session: date, symbol: str) -> dict[str, Any]:
    bars, gaps = source_bars(session, symbol), _gaps(session, symbol)
    prices = _ohlcv(bars) if bars else {"volume": 0.0}
    return {
        "symbol": symbol,
        **prices,
        "vwap": _vwap(bars),
        "bars": len(bars),
        "expected_bars": LABELS,
        "missing_bars": LABELS - len(bars),
        "longest_gap_bars": max((gap["missing_bars"] for gap in gaps), default=0),
        "quality_pct": 100.0 * len(bars) / LABELS,
        "first_bar": bars[0]["timestamp"] if bars else None,
        "last_bar": bars[-1]["timestamp"] if bars else None,
        "pre_bars": 0,
        "post_bars": 1 if symbol == "AAA" else 0,
        "post_volume": 12.0 if symbol == "AAA" else 0.0,
        "session_open": _open(session),
        "session_close": _open(session) + LABELS * MINUTE,
    }


def _streams() -> Rows:
    source = {"1m": ("STREAMED", "1m"), "5m": ("GENERATED", "1m"), "20m": ("GENERATED", "5m")}
    rows: Rows = [
        {"symbol": symbol, "interval": interval, "stream": stream, "source": read, "reason": None}
        for symbol in MISSING
        for interval, (stream, read) in source.items()
    ]
    ignored = {"symbol": "DDD", "stream": "IGNORED", "source": None, "reason": "not in the store"}
    return rows + [{"interval": interval, **ignored} for interval in source]


def _historical(session: date) -> Rows:
    """The mean volume of the session before, which the first session of the run has no bars of."""
    past = [earlier for earlier in SESSIONS if earlier < session]
    before = {"unit": "sessions", "window_periods": 1, "source": "1m", "sessions": 1}
    return [
        {
            "key": "avg_volume_1",
            "indicator": "avg_volume",
            "symbol": symbol,
            "value": _ohlcv(source_bars(past[0], symbol))["volume"] if past and source_bars(past[0], symbol) else None,
            **before,
            **dict.fromkeys(("first_session", "last_session"), past[0] if past else date(2025, 7, 1)),
            **dict.fromkeys(("used", "sessions_used"), int(bool(past and source_bars(past[0], symbol)))),
            "sessions_with_gaps": int(bool(past and symbol == "BBB")),
        }
        for symbol in MISSING
    ]


def _profile(session: date) -> Rows:
    past = [earlier for earlier in SESSIONS if earlier < session]
    rows = []
    for minute in range(LABELS):
        for symbol in MISSING:
            held = [bar["volume"] for day in past for bar in source_bars(day, symbol) if bar["minute"] == minute]
            label = {"timestamp": _open(session) + minute * MINUTE, "session_minute": minute, "symbol": symbol}
            value = held[0] if held else None
            rows.append({"key": "volume_profile_1", **label, "value": value, "sessions_used": len(held)})
    return rows


def session_tables(session: date) -> Tables:
    """Every table of one session in schema order, carried ones empty; the second session looks back on the first."""
    rows: dict[str, Rows] = {
        "running": sorted(
            (row for symbol in MISSING for row in _running(session, symbol)),
            key=lambda row: (row["timestamp"], row["symbol"]),
        ),
        "derived_bars": [row for interval in INTERVALS for row in _derived(session, interval)],
        "gaps": sorted(
            (gap for symbol in MISSING for gap in _gaps(session, symbol)),
            key=lambda row: (row["first_missing"], row["symbol"]),
        ),
        "session_summary": [_summary(session, symbol) for symbol in MISSING],
        "streams": _streams(),
        "trailing": [
            {"trailing_session": earlier, **{key: _summary(earlier, symbol)[key] for key in TRAILING_COLUMNS}}
            for earlier in SESSIONS
            for symbol in MISSING
            if earlier < session
        ],
        "indicators": [
            {"interval": "1m", "timestamp": bar["timestamp"], "symbol": symbol, "known_at": bar["timestamp"] + MINUTE}
            | {"close_1": bar["close"]}
            for minute in range(LABELS)
            for symbol in MISSING
            for bar in source_bars(session, symbol)
            if bar["minute"] == minute
        ],
        "historical_indicators": _historical(session),
        "historical_profiles": _profile(session),
        "selections": [
            {"known_at": _open(session), "symbol": symbol, "scanner": "Gap", "action": "selected", "reason": "gap 0.03"}
            for symbol in ("AAA", "BBB")
        ],
        "failures": [{"symbol": "DDD", "phase": "streaming", "reason": "bars out of order"}],
        **_ledger_rows()[session],
    }
    schemas = SESSION_TABLES | {"indicators": indicators_schema(["close_1"])}
    return {table: pa.Table.from_pylist(rows.get(table, []), schema=schema) for table, schema in schemas.items()}


def _ledger_rows() -> dict[date, dict[str, Rows]]:
    """Two sessions of trading: entries, a reversal, partial fills, legs, a refusal, positions held overnight."""
    bars = {(session, symbol): source_bars(session, symbol) for session in SESSIONS for symbol in MISSING}
    book = Book(bars, {session: _open(session) for session in SESSIONS}, LABELS, capital=CAPITAL)
    return dict(zip(SESSIONS, (_first_session(book), _second_session(book)), strict=True))


def _first_session(book: Book) -> dict[str, Rows]:
    """AAA: long 100, 40 sold at a limit, reversed to 80 short. BBB: long 30 in two fills, its stop loss waiting."""
    book.begin(SESSIONS[0])
    book.signal(2, "AAA", "enter", side=1)
    entry = book.order(2, "AAA", 1, 100.0, role="entry")
    book.fill(entry, 3, 100.0, 102.15, "market_open", symbol="AAA", side=1, price=102.15 * 1.001)
    book.signal(4, "AAA", "order", side=-1, unit="units", amount=40.0, order_type="limit", limit_price=103.12)
    limit = book.order(4, "AAA", -1, 40.0, order_type="limit", limit_price=103.12)
    book.fill(limit, 8, 40.0, 103.12, "limit", symbol="AAA", side=-1)
    stop = book.order(9, "AAA", -1, 60.0, order_type="stop", stop_price=90.0)
    book.event(stop, 10, book.at(11), "cancelled", reason="replaced")
    book.signal(10, "AAA", "target", unit="units", amount=-80.0)
    target = book.order(10, "AAA", -1, 140.0, role="target")
    book.fill(target, 11, 140.0, 102.55, "market_open", symbol="AAA", side=-1, price=102.55 * 0.999, commission=2.0)
    entry = book.order(11, "BBB", 1, 30.0, role="entry")
    book.fill(entry, 15, 17.0, 10.25, "market_open", symbol="BBB", side=1, ends=False, gap_adjacent=True)
    leg = {"order_type": "stop", "stop_price": 9.0, "role": "stop_loss", "parent_id": entry}
    book.order(15, "BBB", -1, None, submitted_at=book.at(15), **leg)
    book.fill(entry, 16, 13.0, 10.3, "market_open", symbol="BBB", side=1)
    book.order(18, "CCC", 1, 5.0, role="entry", reason="restricted")
    return book.finish(is_last=False)


def _second_session(book: Book) -> dict[str, Rows]:
    """AAA: the short closed, then bought at a limit and stopped out in the same bar. BBB is still held at the end."""
    book.begin(SESSIONS[1], interest=0.5, borrow=0.25)
    book.signal(4, "AAA", "exit")
    out = book.order(4, "AAA", 1, None, role="exit")
    book.fill(out, 5, 80.0, 103.25, "market_open", symbol="AAA", side=1, price=103.25 * 1.001, is_stale=True)
    entry = book.order(8, "AAA", 1, 50.0, order_type="limit", limit_price=103.0, role="entry")
    doubt = {"ambiguous": True, "worst_price": 103.02, "best_price": 103.0}
    book.fill(entry, 9, 50.0, 103.0, "limit", symbol="AAA", side=1, **doubt)
    leg = {"order_type": "stop", "stop_price": 102.98, "role": "stop_loss", "parent_id": entry}
    leg = book.order(9, "AAA", -1, None, submitted_at=book.at(10), **leg)
    book.fill(leg, 9, 50.0, 102.98, "stop", symbol="AAA", side=-1, price=102.98 * 0.9995)
    return book.finish(is_last=True)


TRAILING_COLUMNS = ("symbol", "bars", "expected_bars", "quality_pct")


def parquet(table: pa.Table) -> bytes:
    """A table as the bytes of a Parquet file with page checksums."""
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", write_page_checksum=True)
    return sink.getvalue()


def write_run(root: Path, sessions: Iterable[tuple[date, Tables]], *, finished: bool = True) -> RunDir:
    """Commit the tables as a run whose every digest is right, whatever the tables say."""
    run = RunDir(root)
    collected = Collected(benchmark="AAA")
    write_whole(run.config_path, CONFIG.encode(), sync=False)
    totals: dict[str, int] = {}
    digests, bars, failed = {}, 0, 0
    for session, tables in sessions:
        day = session.isoformat()
        session_bars = sum(tables["session_summary"]["bars"].to_pylist())
        contents = {name: (table.num_rows, parquet(table)) for name, table in tables.items() if table.num_rows}
        run.commit(day, bars=session_bars, failed=tables["failures"].num_rows, tables=contents)
        write_whole(run.flow_path(day), parquet(_flow(session)), sync=False)
        digests[day] = sha256_of(run.record_path(day))
        collected.add(day, tables)
        bars, failed = bars + session_bars, failed + tables["failures"].num_rows
        for name, (rows, _) in contents.items():
            totals[name] = totals.get(name, 0) + rows
    manifest = {
        "format": 1,
        "run_id": root.name,
        "name": "small",
        "exchange": "XNYS",
        "interval": "1m",
        "start": "2025-07-02",
        "end": "2025-07-03",
        "symbols": 4,
        "bars": bars,
        "failed": failed,
        "versions": {"python": "3.11"},
        "code": "0" * 16,
        "config": sha256_of(run.config_path),
        "sessions": digests,
        "inputs": dict.fromkeys(digests, "1" * 64),
        "tables": totals,
    }
    if finished:
        terms = Terms(CAPITAL, SESSIONS_PER_YEAR, risk_free_frac=0.01)
        metrics = compute(collected.tables(), terms, benchmark=collected.benchmark_returns(), ids=OWN)
        run_tables = {"metrics": run.write_run_table("metrics", metrics.num_rows, parquet(metrics))}
        run.finish(manifest | {"run_tables": run_tables})
    return run


def _flow(session: date) -> pa.Table:
    steps = [(phase, step) for phase in range(1, 7) for step in ("begin", "end")]
    return pa.Table.from_pylist(
        [
            {"phase": phase, "step": step, "started_at": _open(session), "seconds": 0.25, "rows": phase, "detail": ""}
            for phase, step in steps
        ],
        schema=FLOW,
    )


def edited(table: pa.Table, where: dict[str, object], *, nth: int = 0, **values: object) -> pa.Table:
    """The table with some values of one row replaced: the nth whose columns equal `where`."""
    rows = table.to_pylist()
    matches = [row for row in rows if all(row[column] == value for column, value in where.items())]
    matches[nth].update(values)
    return pa.Table.from_pylist(rows, schema=table.schema)


def appended(table: pa.Table, where: dict[str, object], **values: object) -> pa.Table:
    """The table with one more row: the first whose columns equal `where`, with some values replaced."""
    rows = table.to_pylist()
    found = next(row for row in rows if all(row[column] == value for column, value in where.items()))
    return pa.Table.from_pylist([*rows, found | values], schema=table.schema)


@pytest.fixture
def small_tables() -> dict[date, Tables]:
    """The tables of the small run, by session."""
    return {session: session_tables(session) for session in SESSIONS}


@pytest.fixture
def build_run(tmp_path: Path) -> Callable[..., RunDir]:
    """Commit tables as a run in a fresh directory."""
    return lambda tables, **options: write_run(tmp_path / "run-0123abcd", tables.items(), **options)


@pytest.fixture
def edit() -> Callable[..., pa.Table]:
    """Replace values of one row of a table."""
    return edited


@pytest.fixture
def append() -> Callable[..., pa.Table]:
    """Add a row to a table."""
    return appended


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """The small run, shared: read it, do not change it."""
    root = tmp_path_factory.mktemp("runs") / "run-0123abcd"
    return write_run(root, [(session, session_tables(session)) for session in SESSIONS])
