"""A session played back in a terminal: what is known at the clock, line by line; keys move the clock.

The session is computed first, as a run computes it. Shown is what each moment knew: SessionData at the clock, and
orders, fills and equity up to it.
"""

from __future__ import annotations

import dataclasses
from bisect import bisect_right
from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa

from backtester.errors import UsageError
from backtester.features.rows import rows_of
from backtester.run.levels import sampled
from backtester.run.plan import Plan
from backtester.run.replaying import Seen, session_data
from backtester.run.session import columns_of, complete, continued, prepare, scan
from backtester.strategy.session_data import SessionData

SPEEDS = (1, 2, 5, 10, 30, 60, 120)  # labels a second
HELP = "space play/pause  n/b step  ]/[ ten  f fill  g gap  e end  0 open  s/S symbol  +/- speed  q quit"
WIDTHS = (8, 10, 13, 10, 10, 10, 6, 8, 10, 10)
COLUMNS = ("symbol", "close", "volume", "high", "low", "vwap", "bars", "quality", "position", "last fill")


class Told(NamedTuple):
    """One line of what happened, and when it was known."""

    known_at: int
    text: str
    is_fill: bool


class Player:
    """A session and where its clock stands."""

    def __init__(self, plan: Plan, day: date) -> None:
        """StrategyError and others as in a run; UsageError if the run has no such session."""
        numbers = [number for number, session in enumerate(plan.sessions) if session.date == day]
        if not numbers:
            raise UsageError(f"{day} is no session of the run ({plan.sessions[0].date} to {plan.sessions[-1].date})")
        at = next(sampled(plan, numbers))
        prepared = prepare(plan, at.loaded)
        indicated = continued(plan, prepared, at.carry)
        self._plan = plan
        rows = rows_of(prepared.done, at.loaded.session, plan.derived, plan.config.interval)
        columns = columns_of(plan, prepared, indicated, rows)
        if plan.scanners:
            rows, _ = scan(plan, prepared, indicated, rows, columns)
        tables = complete(plan, dataclasses.replace(prepared), at.carry).tables
        self._seen = Seen(prepared.done, rows, columns, tables)
        self._zone = ZoneInfo(plan.calendar.zone)
        self.session = at.loaded.session
        self.known_at: list[int] = rows.label_known_at.tolist()
        self.symbols: list[str] = rows.symbols.to_pylist()
        self.told = _told(tables, rows.grid.labels.tolist(), self.known_at, self._zone)
        self._fills = sorted({told.known_at for told in self.told if told.is_fill})
        self._gaps = self._gap_starts()
        self._equity = _column(tables, "equity", "known_at", "equity", "cash")
        self._positions = _positions(tables, dict(zip(rows.grid.labels.tolist(), self.known_at, strict=True)))
        self.label = -1  # before the first bar
        self.symbol = 0  # the first one shown
        self.is_playing = False
        self.speed = 3
        self._data: SessionData = session_data(plan, self._seen)

    @property
    def data(self) -> SessionData:
        """The session at the clock."""
        now = self.now
        if self._data.clock > now:
            self._data = session_data(self._plan, self._seen)
        self._data.advance(max(now, self._data.clock))
        return self._data

    @property
    def now(self) -> int:
        """The clock, UTC microseconds."""
        return self.known_at[self.label] if self.label >= 0 else self.session.open_at

    @property
    def is_over(self) -> bool:
        """True at the last label."""
        return self.label >= len(self.known_at) - 1

    def press(self, key: str) -> bool:
        """Do what a key says; False to quit. Keys without a meaning do nothing."""
        steps = {"n": 1, "b": -1, "]": 10, "[": -10}
        if key == "q":
            return False
        if key == " ":
            self.is_playing = not self.is_playing
        elif key in steps:
            self.step(steps[key])
        elif key in ("f", "g"):
            self._jump(self._fills if key == "f" else self._gaps)
        elif key in ("e", "0"):
            self.label = len(self.known_at) - 1 if key == "e" else -1
        elif key in ("s", "S"):
            self.symbol = (self.symbol + (1 if key == "s" else -1)) % max(len(self.symbols), 1)
        elif key in ("+", "-"):
            self.speed = min(max(self.speed + (1 if key == "+" else -1), 0), len(SPEEDS) - 1)
        return True

    def step(self, labels: int) -> None:
        """Move the clock by labels, not beyond the session's ends."""
        self.label = min(max(self.label + labels, -1), len(self.known_at) - 1)

    def lines(self, width: int = 100, height: int = 30) -> list[str]:
        """The screen: exactly `height` lines of at most `width` characters."""
        room = max((height - 7) // 2, 1)
        shown = [self.symbols[(self.symbol + k) % len(self.symbols)] for k in range(min(room, len(self.symbols)))]
        table = ["".join(f"{name:>{wide}}" for name, wide in zip(COLUMNS, WIDTHS, strict=True))]
        table += [self._symbol_line(symbol) for symbol in shown]
        happened = [told.text for told in self.told if told.known_at <= self.now]
        left = height - 4 - len(table)
        body = [self._head(), self._money(), *table, "", *happened[max(len(happened) - left, 0) :]]
        body = [*body, *[""] * (height - 1 - len(body)), HELP]
        return [line[:width] for line in body]

    def _head(self) -> str:
        clock = datetime.fromtimestamp(self.now / 1e6, UTC).astimezone(self._zone)
        state = "playing" if self.is_playing else "paused"
        bar = f"label {self.label + 1}/{len(self.known_at)}"
        name = self._plan.config.run.name
        return f"{name}  {self.session.date}  {clock:%H:%M:%S}  {bar}  {state} at {SPEEDS[self.speed]}/s"

    def _money(self) -> str:
        place = bisect_right(self._equity[0], self.now) - 1
        if place < 0:
            return "no account yet" if self._plan.strategy is not None else "no strategy"
        return f"equity {self._equity[1][place]:,.2f}  cash {self._equity[2][place]:,.2f}"

    def _symbol_line(self, symbol: str) -> str:
        own = self.data.get_symbol_data(symbol)
        metrics = None if own is None else own.metrics()
        if own is None or metrics is None:
            return f"{symbol:>{WIDTHS[0]}}"
        position, price = self._position(symbol)
        prices = (own.close, metrics.session_volume, metrics.session_high, metrics.session_low, metrics.session_vwap)
        cells = [symbol[: WIDTHS[0] - 1], *(_number(price) for price in prices), str(metrics.bars)]
        cells += [f"{metrics.quality_pct:.1f}", f"{position:g}", _number(price)]
        return "".join(f"{cell:>{wide}}" for cell, wide in zip(cells, WIDTHS, strict=True))

    def _position(self, symbol: str) -> tuple[float, float | None]:
        instants, held = self._positions.get(symbol, ([], []))
        place = bisect_right(instants, self.now) - 1
        return held[place] if place >= 0 else (0.0, None)

    def _jump(self, instants: list[int]) -> None:
        place = bisect_right(instants, self.now)
        if place < len(instants):
            self.label = bisect_right(self.known_at, instants[place]) - 1

    def _gap_starts(self) -> list[int]:
        """When the first bar of each gap is known to be missing."""
        whole = session_data(self._plan, self._seen)
        whole.advance(max([self.session.open_at, *self.known_at]))
        labels = self._seen.rows.grid.labels.tolist()
        known = dict(zip(labels, self.known_at, strict=True))
        return sorted({known[gap.first_missing] for symbol in self.symbols for gap in whole.get_gaps(symbol)})


def _told(tables: dict[str, pa.Table], labels: list[int], known_at: list[int], zone: ZoneInfo) -> list[Told]:
    """Orders' events in order, as lines."""
    if "orders" not in tables:
        return []
    known = dict(zip(labels, known_at, strict=True))
    orders = {row["order_id"]: row for row in tables["orders"].to_pylist()}
    told = []
    for row in tables["order_events"].to_pylist():
        order = orders.get(row["order_id"], {})
        at = _us(row["timestamp"])
        what = f"{order.get('symbol', '')} {'buy' if order.get('side', 1) > 0 else 'sell'} {order.get('role', 'order')}"
        filled = f" {row['quantity']:g} at {row['price']:.6g}" if row["quantity"] is not None else ""
        why = f" ({row['reason']})" if row["reason"] else ""
        clock = f"{row['happened_at'].astimezone(zone):%H:%M:%S}"
        is_fill = row["quantity"] is not None
        if row["event"] != "accepted":
            line = f"{clock}  #{row['order_id']} {what} {row['event']}{filled}{why}"
            told.append(Told(known.get(at, at), line, is_fill))
    return sorted(told, key=lambda each: each.known_at)


def _positions(tables: dict[str, pa.Table], known: dict[int, int]) -> dict[str, tuple[list[int], list[Any]]]:
    """By symbol: when its position changed, and to what (units, price of the last fill)."""
    found: dict[str, tuple[list[int], list[Any]]] = {}
    for row in tables["fills"].to_pylist() if "fills" in tables else []:
        instants, held = found.setdefault(row["symbol"], ([], []))
        instants.append(known[_us(row["timestamp"])])
        held.append((row["position_after"], row["price"]))
    return found


def _column(tables: dict[str, pa.Table], table: str, *names: str) -> list[list[Any]]:
    if table not in tables:
        return [[] for _ in names]
    instants = [_us(value) for value in tables[table][names[0]].to_pylist()]
    return [instants, *(tables[table][name].to_pylist() for name in names[1:])]


def _us(instant: datetime) -> int:
    return round((instant - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds() * 1e6)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}" if value >= 100_000 else f"{value:,.4f}".rstrip("0").rstrip(".")
