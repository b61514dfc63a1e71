"""A session played back in a terminal: what is known at the clock; keys move the clock. run/screen.py draws it.

The session is computed first, as a run computes it. Shown is what each moment knew: SessionData at the clock, and
orders, fills and equity up to it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa

from backtester.errors import UsageError
from backtester.features.rows import rows_of
from backtester.kernels.codes import ROLES
from backtester.run import screen
from backtester.run.commit import Carry
from backtester.run.levels import sampled
from backtester.run.plan import Plan
from backtester.run.pool import choose_kernels
from backtester.run.replaying import Seen, session_data
from backtester.run.screen import SPEEDS, local
from backtester.run.session import columns_of, complete, continued, prepare, scan
from backtester.strategy.session_data import SessionData


class Told(NamedTuple):
    """One line of what happened, and when it was known."""

    known_at: int
    text: str
    is_fill: bool


class Player:
    """A session and where its clock stands."""

    def __init__(self, plan: Plan, day: date, tell: Callable[[str], None] = lambda _: None) -> None:
        """StrategyError and others as in a run; UsageError if the run has no such session.

        tell  is told what takes its time: the sessions before, which the account and some indicators come from
        """
        numbers = [number for number, session in enumerate(plan.sessions) if session.date == day]
        if not numbers:
            raise UsageError(f"{day} is no session of the run ({plan.sessions[0].date} to {plan.sessions[-1].date})")
        before = numbers[0] if plan.is_chained else 0
        choose_kernels(plan, plan.sessions[numbers[0] - before : numbers[0] + 1], tell)
        if before:
            tell(f"computing first what {day} takes over: {before} session{'s' if before > 1 else ''} of the run")
        at = next(sampled(plan, numbers))
        prepared = prepare(plan, at.loaded)
        indicated = continued(plan, prepared, at.carry)
        self._plan = plan
        rows = rows_of(prepared.done, at.loaded.session, plan.derived, plan.config.interval)
        columns = columns_of(plan, prepared, indicated, rows)
        if plan.scanners:
            rows, _ = scan(plan, prepared, indicated, rows, columns)
        tables = complete(plan, prepared, at.carry).tables
        self._seen = Seen(prepared.done, rows, columns, tables)
        self.zone = ZoneInfo(plan.calendar.zone)
        self.name = plan.config.run.name
        self.session = at.loaded.session
        self.labels: list[int] = rows.grid.labels.tolist()
        self.known_at: list[int] = rows.label_known_at.tolist()
        self.symbols: list[str] = rows.symbols.to_pylist()
        known = dict(zip(self.labels, self.known_at, strict=True))
        self.told = _told(tables, at.carry, known, self.zone)
        self._told_at = [told.known_at for told in self.told]
        self._fills = sorted({told.known_at for told in self.told if told.is_fill})
        self._missing = self._missing_bars(known)
        self._gaps = self._gap_starts(known)
        self.has_account = plan.strategy is not None
        self._equity = _column(tables, "equity", "known_at", "cash", "equity")
        self._start = _started(tables, at.carry, plan.config.execution.capital)
        self._positions = _positions(tables, at.carry, known, self.session.open_at)
        self.label = -1  # before the first bar
        self.symbol = 0  # the first one shown
        self.is_playing = self.is_explaining = False
        self.speed = 3
        self.note = ""  # what a key could not do
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
        return self.known_at[self.label] if self.label >= 0 else self._begins

    @property
    def _begins(self) -> int:
        """Before the first bar, which extended hours may have before the open."""
        return min(self.session.open_at, *self.labels[:1])

    @property
    def is_over(self) -> bool:
        """True at the last label."""
        return self.label >= len(self.known_at) - 1

    def press(self, key: str) -> bool:
        """Do what a key says; False to quit. Keys without a meaning do nothing."""
        steps = {"n": 1, "b": -1, "]": 10, "[": -10}
        self.note = ""
        if key == "q":
            return False
        if key == " ":
            self.is_playing = not self.is_playing and not self.is_over
        elif key == "?":
            self.is_explaining = not self.is_explaining
        elif key in steps:
            self.step(steps[key])
        elif key == "f":
            self._jump(self._fills, "fill")
        elif key == "g":
            self._jump(self._gaps, "gap")
        elif key in ("e", "0"):
            self.label = len(self.known_at) - 1 if key == "e" else -1
        elif key in ("s", "S"):
            self.symbol = (self.symbol + (1 if key == "s" else -1)) % max(len(self.symbols), 1)
        elif key in ("+", "-"):
            self.speed = min(max(self.speed + (1 if key == "+" else -1), 0), len(SPEEDS) - 1)
        return True

    def step(self, labels: int) -> None:
        """Move the clock by labels, not beyond the session's ends; playing ends with the session."""
        self.label = min(max(self.label + labels, -1), len(self.known_at) - 1)
        self.is_playing = self.is_playing and not self.is_over

    def lines(self, width: int = 100, height: int = 30) -> list[str]:
        """The screen: exactly `height` lines of at most `width` characters."""
        return screen.lines(self, width, height)

    def happened(self, count: int) -> list[str]:
        """The last lines of what happened up to now."""
        end = bisect_right(self._told_at, self.now)
        return [told.text for told in self.told[max(end - count, 0) : end]]

    def account(self) -> tuple[float, float]:
        """Cash and equity at the clock; before the first bar what the session took over."""
        place = bisect_right(self._equity[0], self.now) - 1
        return (self._equity[1][place], self._equity[2][place]) if place >= 0 else self._start

    def position(self, symbol: str) -> tuple[float, float | None]:
        """Units held at the clock, and the price of the session's last fill."""
        instants, held = self._positions.get(symbol, ([], []))
        place = bisect_right(instants, self.now) - 1
        return held[place] if place >= 0 else (0.0, None)

    def missing(self) -> list[str]:
        """The symbols whose bar of this label is missing, of those the calendar expects one of."""
        return self._missing.get(self.now, [])

    def _jump(self, instants: list[int], what: str) -> None:
        place = bisect_right(instants, self.now)
        if place < len(instants):
            self.label = bisect_right(self.known_at, instants[place]) - 1
        else:
            self.note = f"no {what} after this"

    def _whole(self) -> SessionData:
        whole = session_data(self._plan, self._seen)
        whole.advance(max([self._begins, *self.known_at]))
        return whole

    def _missing_bars(self, known: dict[int, int]) -> dict[int, list[str]]:
        """By instant, whose bars are missing then."""
        whole, step = self._whole(), self._plan.config.interval.us
        found: dict[int, list[str]] = {}
        for symbol in self.symbols:
            for gap in whole.get_gaps(symbol):
                for label in range(gap.first_missing, gap.last_missing + 1, step):
                    if label in known:
                        found.setdefault(known[label], []).append(symbol)
        return found

    def _gap_starts(self, known: dict[int, int]) -> list[int]:
        """When the first bar of each gap is known to be missing."""
        whole = self._whole()
        return sorted({known[gap.first_missing] for symbol in self.symbols for gap in whole.get_gaps(symbol)})


def _told(tables: dict[str, pa.Table], carry: Carry, known: dict[int, int], zone: ZoneInfo) -> list[Told]:
    """Orders' events in order, as lines."""
    if "orders" not in tables:
        return []
    orders = {row["order_id"]: row for row in [*_carried_orders(carry), *tables["orders"].to_pylist()]}
    told = []
    for row in tables["order_events"].to_pylist():
        order = orders.get(row["order_id"], {})
        at = _us(row["timestamp"])
        side = "buy" if order.get("side", 1) > 0 else "sell"
        filled = f" {row['quantity']:g} at {row['price']:.7g}" if row["quantity"] is not None else ""
        why = f" ({row['reason']})" if row["reason"] else ""
        is_fill = row["quantity"] is not None
        if row["event"] != "accepted":
            clock = f"{local(_us(row['happened_at']), zone):%H:%M:%S}"
            what = f"{order.get('symbol', '')} {side} {order.get('role', 'order')} {row['event']}{filled}{why}"
            told.append(Told(known.get(at, at), f"{clock} {what} #{row['order_id']}", is_fill))
    return sorted(told, key=lambda each: each.known_at)


def _carried_orders(carry: Carry) -> list[dict[str, Any]]:
    """The orders that were live when the session began, as the table of orders would have them."""
    if "open_orders" not in carry:
        return []
    held = carry["open_orders"].select(["order_id", "symbol", "side", "role"]).to_pylist()
    return [{**row, "role": ROLES[row["role"]]} for row in held]


def _started(tables: dict[str, pa.Table], carry: Carry, capital: float) -> tuple[float, float]:
    """Cash and equity as the session took them over."""
    equity = tables["session_equity"]["start_equity"].to_pylist() if "session_equity" in tables else []
    cash = carry["account"]["cash"].to_pylist() if "account" in carry else []
    return (cash or [capital])[0], (equity or [capital])[0]


def _positions(
    tables: dict[str, pa.Table], carry: Carry, known: dict[int, int], begins: int
) -> dict[str, tuple[list[int], list[Any]]]:
    """By symbol: when its position changed, and to what (units, price of the last fill)."""
    found: dict[str, tuple[list[int], list[Any]]] = {}
    for row in carry["book"].select(["symbol", "position"]).to_pylist() if "book" in carry else []:
        # From before any clock of the session.
        found[row["symbol"]] = ([min([begins, *known])], [(row["position"], None)])
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
