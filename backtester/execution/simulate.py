"""Simulating: requests in, fills, trades and equity out, resumable at any label."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from backtester.arrays import Clock, Float64, Int64, Market, Requests, Scalar
from backtester.data.columns import room
from backtester.errors import UsageError
from backtester.execution.requests import NOTHING
from backtester.kernels import state as layout
from backtester.kernels.codes import GTC, MARKET
from backtester.kernels.held import Held
from backtester.kernels.ledger import (
    CLOSING,
    OPENING,
    PLAIN,
    WHOLE,
    advance,
    asked_at,
    free_lots,
    needed,
    waiting,
)
from backtester.kernels.state import Log, Rules, State, Steps
from backtester.kernels.stepping import Stepper

NO_STEPS = Steps(0, np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(layout.MADE_COUNTS, dtype=np.int64))


class Written(NamedTuple):
    """The rows of a Log that are filled, copied: whole arrays, in order."""

    order_facts: Int64
    order_amounts: Float64
    events: Int64
    event_amounts: Float64
    fills: Int64
    fill_amounts: Float64
    trades: Int64
    trade_amounts: Float64


@dataclass(frozen=True)
class Simulation:
    """What a simulation left: the account as it stands, and what happened, as columns (kernels.state names them)."""

    clock: Clock
    market: Market
    rules: Rules
    state: State
    written: Written
    marks: Float64  # [EQUITY_ROWS, labels]; no label where marks are off
    sessions: Float64  # [sessions, SESSION_COLUMNS]
    first_label: int  # how many labels the run had before this clock; labels in `written` count from the run's start

    @cached_property
    def equity(self) -> Float64:
        """Equity at the end of every label: cash and every position at its mark."""
        cash, net = self.marks[layout.E_CASH], self.marks[layout.E_NET]
        equity: Float64 = np.add(cash, net, out=room(len(cash), np.float64))
        return equity

    @property
    def final_equity(self) -> float:
        """Equity at the clock's end."""
        return float(self.sessions[-1, layout.S_EQUITY])


def simulate(
    clock: Clock, market: Market, requests: Requests, *, rules: Rules, state: State, is_last: bool = False
) -> Simulation:
    """Run the ledger over every label of `clock`.

    clock, market  of any number of sessions, laid out once (execution.clock); serve any number of simulations
    requests       execution.requests.requests_of
    rules          execution.rules.rules_of
    state          kernels.state.new_state(symbols, capital), or that of the simulation before; it is moved on
    is_last        the run ends with this clock's last label: `end` applies
    """
    ledger = Ledger(clock, market, rules=rules, state=state, is_last=is_last, expected=len(requests.label))
    ledger.run(requests)
    return ledger.done()


class Ledger:
    """The ledger over one clock, in whole or label by label, for strategies that decide in between.

    `open_label(t)` does steps 1 to 4 of docs/execution.md for label t, `close_label(t, requests)` steps 5 to 8, where
    the requests are those of label t; `done()` is the Simulation.
    """

    def __init__(
        self,
        clock: Clock,
        market: Market,
        *,
        rules: Rules,
        state: State,
        is_last: bool = False,
        expected: int = 0,
        stepper: Stepper | None = None,
    ) -> None:
        if len(state.book) != len(rules.restricted):
            raise UsageError(f"simulate: state of {len(state.book)} symbols, rules of {len(rules.restricted)}")
        self.clock, self.market, self.rules, self.state = clock, market, rules, state
        self._is_last = int(is_last)
        # Kept, since its steps are addresses of what it has.
        self._stepper = stepper
        self._steps = NO_STEPS if stepper is None else stepper.steps(clock, market, state)
        # The plain loop does until something asks for more; the other goes on where it stands.
        self._is_plain = are_plain_rules(rules) and is_plain_state(state)
        self._first_label = int(state.counters[layout.LABELS])
        self._parts: list[Written] = []
        labels = len(clock.timestamp) if rules.marks else 0
        self._marks = room(layout.EQUITY_ROWS * labels, np.float64).reshape(layout.EQUITY_ROWS, labels)
        self._sessions = np.zeros((len(clock.days), layout.SESSION_COLUMNS))
        # Enough for a request and a position of each of up to 160 symbols at one label.
        self._log = self._room(256 + 2 * expected + 98 * min(len(rules.restricted), 160))
        self._requests = NOTHING if stepper is None else stepper.requests
        self._held: Held | None = None  # laid out when it first moves

    def run(self, requests: Requests | None = None, first: int = 0, end: int | None = None) -> None:
        """Every label from `first` to before `end`, the clock's last by default; requests None: those of the step."""
        if requests is None:
            requests = self._requests
        else:
            self.state.counters[layout.REQUEST] = int(np.searchsorted(requests.label, first))
        self.move(requests, first, len(self.clock.timestamp) if end is None else end)

    def open_label(self, t: int) -> None:
        """Steps 1 to 4 of label t: what happens before a strategy decides on its bars."""
        self.move(NOTHING, t, t + 1, OPENING)

    def close_label(self, t: int, requests: Requests = NOTHING) -> None:
        """Steps 5 to 8 of label t; requests are those decided at t."""
        self.state.counters[layout.REQUEST] = 0
        self.move(requests, t, t + 1, CLOSING)

    def latest_fills(self, count: int) -> tuple[Int64, Float64]:
        """The last `count` fills as rows of Log.fills and Log.fill_amounts."""
        rows = int(self._log.rows[layout.FILL_ROWS])
        facts, amounts = self._log.fills[:rows], self._log.fill_amounts[:rows]
        if count > rows:
            facts = np.concatenate([*(part.fills for part in self._parts), facts])
            amounts = np.concatenate([*(part.fill_amounts for part in self._parts), amounts])
        return facts[len(facts) - count :], amounts[len(amounts) - count :]

    def done(self) -> Simulation:
        """What happened since the ledger was made; what is written after that is another's."""
        # A place in requests that are gone, which depends on how they were handed over.
        self.state.counters[layout.REQUEST] = 0
        if not self.rules.fifo:
            # Nor does it matter how far the room for lots has grown, of which none is used.
            self.state.counters[layout.FREE_LOT] = 0
        self._drain()
        self._held = None
        written = self._parts[0]
        if len(self._parts) > 1:
            columns: list[Any] = [np.concatenate(parts) for parts in zip(*self._parts, strict=True)]
            written = Written(*columns)
        self._parts = [written]
        return Simulation(
            self.clock,
            self.market,
            self.rules,
            self.state,
            written,
            self._marks,
            self._sessions,
            self._first_label,
        )

    def move(self, requests: Requests, first: int, end: int, part: int = WHOLE) -> None:
        """Labels `first` to before `end`, or the `part` of them that kernels.ledger names.

        requests  of which State.counters says how many are handled
        """
        held = self._laid_out(requests)
        while True:
            stopped = held(first, end, part, self._is_last)
            if stopped == end:
                return
            # The kernel stops before a label it may not have room for, the plain loop before one that asks for more.
            if not self._make_room(stopped, requests):
                assert self._is_plain
                self._is_plain, self._held = False, None
                held = self._laid_out(requests)
            if self._steps.made[layout.WAITS]:
                part |= CLOSING
            elif stopped > first:
                part &= ~CLOSING
            first = stopped

    def _laid_out(self, requests: Requests) -> Held:
        """The loop that does, with everything it works on."""
        if self._held is None:
            loop = advance.variant("plain", PLAIN) if self._is_plain else advance
            self._held = loop.held(
                clock=self.clock,
                market=self.market,
                requests=requests,
                rules=self.rules,
                state=self.state,
                log=self._log,
                steps=self._steps,
            )
        elif requests is not self._requests:
            self._held.put("requests", requests)
        self._requests = requests
        return self._held

    def _make_room(self, t: int, requests: Requests) -> bool:
        """Grow what is too short for label t to what it needs; False where nothing is."""
        steps = self._steps
        asked = asked_at.plain(t, requests, self.state) if steps.entry == 0 else waiting.plain(steps, requests)
        live, fills, orders, events = (int(count) for count in needed.plain(asked, self.state))
        state = with_room(self.state, live, fills if self.rules.fifo else 0)
        has_grown = state is not self.state
        if has_grown:
            self.state = state
            self._laid_out(requests).put("state", state)
        log, rows = self._log, self._log.rows
        is_full = rows[layout.FILL_ROWS] + fills > len(log.fills) or rows[layout.TRADE_ROWS] + fills > len(log.trades)
        if self.rules.events:
            is_full |= rows[layout.ORDER_ROWS] + orders > len(log.order_facts)
            is_full |= rows[layout.EVENT_ROWS] + events > len(log.events)
        if is_full:
            # As much again as there is, so that a run of many fills does not stop often.
            self._drain()
            self._log = self._room(max(fills, 2 * len(log.fills)))
            self._laid_out(requests).put("log", self._log)
        return bool(is_full) or has_grown

    def _drain(self) -> None:
        """Keep what is written, and go on in the room that is left."""
        log = self._log
        orders, events, fills, trades = log.rows.tolist()
        self._parts.append(
            Written(
                log.order_facts[:orders],
                log.order_amounts[:orders],
                log.events[:events],
                log.event_amounts[:events],
                log.fills[:fills],
                log.fill_amounts[:fills],
                log.trades[:trades],
                log.trade_amounts[:trades],
            )
        )
        self._log = log._replace(
            rows=np.zeros(4, dtype=np.int64),
            order_facts=log.order_facts[orders:],
            order_amounts=log.order_amounts[orders:],
            events=log.events[events:],
            event_amounts=log.event_amounts[events:],
            fills=log.fills[fills:],
            fill_amounts=log.fill_amounts[fills:],
            trades=log.trades[trades:],
            trade_amounts=log.trade_amounts[trades:],
        )

    def _room(self, fills: int) -> Log:
        orders = fills if self.rules.events else 0
        sizes: dict[str, tuple[int, Any]] = {
            "order_facts": (orders, np.int64),
            "order_amounts": (orders, np.float64),
            "events": (4 * orders, np.int64),
            "event_amounts": (4 * orders, np.float64),
            "fills": (fills, np.int64),
            "fill_amounts": (fills, np.float64),
            "trades": (fills, np.int64),
            "trade_amounts": (fills, np.float64),
        }
        # One block: eight of their own took a session of one symbol longer than all its bars.
        block = room(sum(rows * layout.WIDTHS[name] for name, (rows, _) in sizes.items()), np.int64)
        made: dict[str, Any] = {}
        begin = 0
        for name, (rows, kind) in sizes.items():
            end = begin + rows * layout.WIDTHS[name]
            made[name] = block[begin:end].view(kind).reshape(rows, layout.WIDTHS[name])
            begin = end
        return Log(rows=np.zeros(4, dtype=np.int64), equity=self._marks, sessions=self._sessions, **made)


def are_plain_rules(rules: Rules) -> bool:
    """Can the plain loop serve these rules, if its orders are plain too?"""
    return all(getattr(rules, name) == value for name, value in PLAIN.items() if name != "orders")


def is_plain_state(state: State) -> bool:
    """Are all live orders market orders, good till cancelled, without legs and group?"""
    live = int(state.counters[layout.LIVE])
    if live == 0:
        return True
    orders = state.orders[:live]
    plain = (orders[:, layout.TYPE] == MARKET) & (orders[:, layout.TIF] == GTC) & (orders[:, layout.FRACTIONS] == 0)
    return bool((plain & (orders[:, layout.GROUP] < 0) & (orders[:, layout.LEG_OF] < 0)).all())


def with_room(state: State, live: int, lots: int) -> State:
    """The same state with room for so many live orders, and for so many lots beyond those in use."""
    room = _doubled(len(state.queue), live)
    if room > len(state.queue):
        state = state._replace(
            amounts=_longer(state.amounts, room),
            orders=_longer(state.orders, room),
            queue=np.zeros(room, dtype=np.int64),
            keys=np.zeros((room, layout.KEY_COLUMNS)),
        )
    count = len(state.next_lot)
    free = free_lots.plain(lots, state)
    if free < lots:
        room = _doubled(count, count + lots - free)
        next_lot = np.concatenate((state.next_lot, np.arange(count + 1, room + 1, dtype=np.int64)))
        next_lot[-1] = state.counters[layout.FREE_LOT]
        state.counters[layout.FREE_LOT] = count
        state = state._replace(lots=_longer(state.lots, room), next_lot=next_lot)
    return state


def _doubled(room: int, need: int) -> int:
    """The room, or the first of its doubles that is enough."""
    while room < need:
        room *= 2
    return room


def _longer(rows: npt.NDArray[Scalar], room: int) -> npt.NDArray[Scalar]:
    return np.concatenate((rows, np.zeros((room - len(rows), *rows.shape[1:]), dtype=rows.dtype)))
