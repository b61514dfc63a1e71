"""Scanners: what the user's classes select of a session's symbols, from what is known at the times they are asked.

A scanner is given one row per symbol, made of the session's rows up to that instant and of nothing after it.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from datetime import datetime, time, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pyarrow as pa

from backtester.arrays import Bool, Float64, Int64, frozen
from backtester.config.strategy import Scanner as Section
from backtester.config.strategy import scan_time
from backtester.data.calendar import Session
from backtester.data.columns import dictionary, empty, instants, text
from backtester.errors import StrategyError
from backtester.features.rows import Rows, Selected
from backtester.schema import SELECTIONS
from backtester.strategy.columns import bars_frame, indicators_frame
from backtester.strategy.loading import Loaded, where_raised

ACTIONS = ("selected", "dropped")
# The columns of `now` that are the same whether a symbol has a bar or not.
OF_SESSION = ("symbol", "session_open", "session_close")


class Scanner(NamedTuple):
    """A scanner as the config has it, and as it was made."""

    section: Section
    loaded: Loaded


def fresh(section: Section, loaded: Loaded) -> Scanner:
    """A session's own scanner, as it was made: it can keep nothing of another session, which a resumed run lacks."""
    try:
        own = copy.deepcopy(loaded.strategy)
    except Exception as error:
        raise StrategyError(
            f"scanner {loaded.use} cannot be copied, and each session has a copy: {type(error).__name__}: {error}"
        ) from error
    return Scanner(section, dataclasses.replace(loaded, strategy=own))


class _Change(NamedTuple):
    """Symbols that a scan selected or dropped."""

    at: int
    scanner: int
    symbols: Int64
    actions: Int64  # places in ACTIONS
    reasons: list[str | None]


def scanned(
    scanners: list[Scanner],
    rows: Rows,
    columns: Mapping[str, Float64],
    before: Mapping[str, Float64],
    *,
    wider: Callable[[int], Mapping[str, Float64]],
    zone: ZoneInfo,
) -> tuple[Rows, pa.Table]:
    """The rows with what is selected by each of them, and SELECTIONS.

    columns  indicators and historical values by key, one a row
    before   by key, one per symbol, as known before its first bar; a key that is absent has no value then
    wider    indicators of wider intervals by key, one per symbol, as known at an instant: a bar of theirs can end long
             after the symbol's latest bar
    """
    bars = bars_frame(rows)
    held = [np.zeros(len(rows.symbols), dtype=np.bool_) for _ in scanners]
    due = sorted(
        {(at, k) for k, each in enumerate(scanners) for at in scan_instants(each.section.at, rows.session, zone)}
    )
    times, masks, changes = [], [], []
    for at, k in due:
        now = now_frame(bars, rows, columns, before, at, wider=wider(at))
        chosen, reasons = _asked(scanners[k].loaded, now, f"session {rows.session.date}, {np.datetime64(at, 'us')} UTC")
        after = held[k] | chosen if scanners[k].section.keep else chosen
        changed = np.flatnonzero(after != held[k])
        actions = held[k][changed].astype(np.int64)
        changes.append(_Change(at, k, changed, actions, [reasons[symbol] for symbol in changed.tolist()]))
        held[k] = after
        times.append(at)
        masks.append(np.logical_or.reduce(held))
    if not times:
        # No time of a short session: nothing is ever selected in it.
        times, masks = [rows.session.open_at], [np.zeros(len(rows.symbols), dtype=np.bool_)]
    selected = Selected(frozen(np.array(times, dtype=np.int64)), frozen(np.array(masks)))
    return rows._replace(selected=selected), _table(changes, [each.section.title for each in scanners], rows)


def scan_instants(at: list[str], session: Session, zone: ZoneInfo) -> list[int]:
    """When a scanner is asked in a session, UTC microseconds; times at or after its close are left out."""
    found = set()
    for word in at:
        edge, away = scan_time(word) or ("", 0)
        if edge == "open":
            found.add(session.open_at + away)
        elif edge == "close":
            found.add(max(session.close_at - away, session.open_at))
        else:
            found.add(_on_the_clock(away, session, zone))
    return sorted(instant for instant in found if instant < session.close_at)


def _on_the_clock(since_midnight: int, session: Session, zone: ZoneInfo) -> int:
    """That time inside the session, whichever day it begins on; else on the session's own date."""
    own = datetime.combine(session.date, time(), zone)
    times = []
    for days in (0, -1, 1):
        # Arithmetic on a zone's own time is that of its clocks.
        local = own + timedelta(days=days, microseconds=since_midnight)
        times.append(int(local.timestamp()) * 1_000_000)
    return next((each for each in times if session.open_at <= each < session.close_at), times[0])


def now_frame(
    bars: pl.DataFrame,
    rows: Rows,
    columns: Mapping[str, Float64],
    before: Mapping[str, Float64],
    at: int,
    *,
    wider: Mapping[str, Float64],
) -> pl.DataFrame:
    """What is known at an instant, a row per symbol: its latest bar as `signals` is given it, and values by key."""
    count = int(np.searchsorted(rows.known_at, at, side="right"))
    latest = np.full(len(rows.symbols), -1, dtype=np.int64)
    latest[rows.codes[:count]] = np.arange(count)
    places = pl.Series([None if row < 0 else row for row in latest.tolist()], dtype=pl.UInt32)
    # One row more than there are, so that a session without a bar yet has something to take nothing from.
    known = bars.head(count) if count else pl.DataFrame(schema=bars.schema).clear(1)
    symbols = len(rows.symbols)
    of_session = pl.DataFrame(
        pa.table(
            {
                "symbol": dictionary(np.arange(symbols, dtype=np.int32), rows.symbols),
                "session_open": instants(np.full(symbols, rows.session.open_at)),
                "session_close": instants(np.full(symbols, rows.session.close_at)),
                "now": instants(np.full(symbols, at)),
            }
        )
    )
    own = known.select(pl.exclude(*OF_SESSION).gather(pl.lit(places)))
    values = {}
    for key in {**columns, **before}:
        value = wider.get(key, before.get(key, np.full(symbols, np.nan))).astype(np.float64)
        if key in columns and key not in wider:
            value[latest >= 0] = columns[key][latest[latest >= 0]]
        values[key] = value
    return of_session.hstack(own).hstack(indicators_frame(values, symbols))


def _asked(scanner: Loaded, now: pl.DataFrame, where: str) -> tuple[Bool, list[str | None]]:
    """Which symbols it selects, and what it says of each."""
    where = f"scanner {scanner.use}, {where}"
    try:
        answer: Any = scanner.strategy.select(now)
    except (Exception, SystemExit) as error:  # sys.exit() would end the run without a word
        raise StrategyError(f"{where}: {where_raised(error)}") from error
    if isinstance(answer, pl.Series):
        answer = answer.to_frame("selected")
    if not isinstance(answer, pl.DataFrame):
        raise StrategyError(f"{where}: select gave {type(answer).__name__}; expected a series or a frame of Polars")
    if "selected" not in answer.columns:
        raise StrategyError(f"{where}: select gave {', '.join(answer.columns) or 'no column'}; it needs `selected`")
    if answer.height != now.height:
        raise StrategyError(f"{where}: select gave {answer.height} rows for {now.height} symbols; expected one each")
    if "symbol" in answer.columns:
        if not answer["symbol"].cast(pl.String).equals(now["symbol"].cast(pl.String)):
            raise StrategyError(
                f"{where}: select gave its symbols in another order than `now` has them; keep that order"
            )
        answer = answer.drop("symbol")
    claims = answer["selected"]
    if claims.dtype not in (pl.Boolean, pl.Null):
        raise StrategyError(f"{where}: selected is {claims.dtype}; expected true or false")
    chosen: Bool = claims.cast(pl.Boolean).fill_null(False).to_numpy()
    return chosen, [_reason(row) for row in answer.drop("selected").iter_rows(named=True)]


def _reason(row: Mapping[str, object]) -> str | None:
    said = [str(value) if name == "reason" else f"{name} {value}" for name, value in row.items() if value is not None]
    return ", ".join(said) or None


def _table(changes: list[_Change], titles: list[str], rows: Rows) -> pa.Table:
    counts = [len(change.symbols) for change in changes]
    if not sum(counts):
        return empty(SELECTIONS)
    arrays = [
        instants(np.repeat(np.array([change.at for change in changes], dtype=np.int64), counts)),
        dictionary(np.concatenate([change.symbols for change in changes]).astype(np.int32), rows.symbols),
        dictionary(np.repeat(np.array([change.scanner for change in changes], dtype=np.int32), counts), text(titles)),
        dictionary(np.concatenate([change.actions for change in changes]).astype(np.int32), text(ACTIONS)),
        pa.array([reason for change in changes for reason in change.reasons], pa.string()),
    ]
    return pa.Table.from_arrays(arrays, schema=SELECTIONS)
