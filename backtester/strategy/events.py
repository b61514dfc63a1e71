"""Event strategies: a class told what happens bar by bar, and the desk at which it asks.

A strategy has `on_bar(bar, data, desk)` and any of the other callbacks. `data` is the session as it is known at the
clock (SessionData), `desk` its account and the way to ask: what is asked at a label is decided there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from backtester.arrays import REQUEST_KINDS, Float64, Int64, Requests, frozen
from backtester.errors import StrategyError
from backtester.kernels import codes, desk
from backtester.kernels import state as layout
from backtester.kernels.checks import equity_now
from backtester.kernels.ledger import CLOSING, OPENING, WHOLE
from backtester.kernels.state import Rules, State
from backtester.strategy.series import Bar
from backtester.strategy.session_data import SessionData

NAN = float("nan")
NOTHING_KEPT: Any = np.zeros((1, 1)).data
# At one label a strategy may ask this often per symbol, all symbols together.
ASKS_PER_SYMBOL, LEAST_ROOM = 8, 64
LEGS = frozenset(("stop_loss", "take_profit", "trail", "stop_loss_frac", "take_profit_frac", "trail_frac"))
AMOUNTS = frozenset(("units", "notional", "equity_frac", "cash_frac", "weight"))
WORDS = {"tif": codes.TIFS, "order_type": codes.ORDER_TYPES}
WHOLE_NUMBERS = frozenset((*WORDS, "exit_after", "until", "group"))
# The label of a request that is not made yet.
NEVER = np.iinfo(np.int32).max


class Fill(NamedTuple):
    """What `on_fill` is told; instants in UTC microseconds, timestamp that of the bar it filled on."""

    symbol: str
    order_id: int
    fill_id: int
    trade_id: int
    timestamp: int
    at: int
    side: int
    quantity: float
    price: float
    commission: float
    realized_pnl: float
    position_after: float
    cash_after: float
    rule: str


class EventStrategy(Protocol):
    """What the user writes; every callback but on_bar may be left out."""

    def on_session_start(self, data: SessionData, desk: Desk) -> None:
        """Before the first bar; nothing can be asked yet, since no bar is known at which it would be decided."""

    def on_bar(self, bar: Bar, data: SessionData, desk: Desk) -> None:
        """A bar of the run's interval is over; symbols of one label in symbol order, the clock the same for all."""

    def on_derived_bar(self, bar: Bar, interval: str, data: SessionData, desk: Desk) -> None:
        """A derived bar became known: after the bars of its label, from narrow to wide."""

    def on_quality(self, symbol: str, quality_pct: float, data: SessionData, desk: Desk) -> None:
        """A bar of a symbol turned out to be missing: after the bars of its label."""

    def on_fill(self, fill: Fill, data: SessionData, desk: Desk) -> None:
        """An order filled: before the bars of the label that tells it."""

    def on_session_end(self, data: SessionData, desk: Desk) -> None:
        """After the session's last bar; what is asked here is asked with it."""


class Books(Protocol):
    """The ledger of one clock as the desk drives it: execution.simulate.Ledger."""

    rules: Rules
    state: State

    def move(self, requests: Requests, first: int, end: int, part: int = ...) -> None:
        """Labels, or parts of them; of requests State.counters says how many are handled."""

    def latest_fills(self, count: int) -> tuple[Int64, Float64]:
        """The last `count` fills."""


class Desk:
    """The account at the clock, and requests.

    The ledger moves only when somebody looks at what can have changed, and then in one stretch from where it stands
    through all that was asked meanwhile. Strategies with `on_fill` look at every label that can bring a fill.
    """

    def __init__(self, books: Books, symbols: list[str], labels: Int64) -> None:
        """Before the first label of the books' clock, whose labels these are; symbols by code."""
        self._books = books
        self._symbols = symbols
        self._codes = {symbol: code for code, symbol in enumerate(symbols)}
        self._labels = labels
        self._room = max(ASKS_PER_SYMBOL * len(symbols), LEAST_ROOM)
        self._lay_out(Requests(**{name: np.zeros(0, dtype=kind) for name, kind in REQUEST_KINDS.items()}), 0)
        self.base = 0  # the label's first request
        self._counters = books.state.counters.data
        self._book = books.state.book.data
        self._account = books.state.account.data
        self._guards = books.rules.guards != 0
        self._reached = 0  # labels that are done
        self._is_begun = False  # steps 1 to 4 of the next are done
        self._told = self._counters[layout.NEXT_FILL]  # fills the strategy knows of
        self._first_label = self._counters[layout.LABELS]
        self._may_ask = False
        self.label = 0
        self.is_busy = True  # what the ledger knows of the account may have changed; a session's start changes it

    # What there is.

    def position(self, symbol: str) -> float:
        """Units held, signed."""
        self._settle()
        held: float = self._book[self._code(symbol), layout.POSITION]
        return held

    def average_price(self, symbol: str) -> float:
        """The open position's average entry price, 0 where there is none."""
        self._settle()
        code = self._code(symbol)
        average: float = self._book[code, layout.AVERAGE]
        return average if self._book[code, layout.POSITION] != 0.0 else 0.0

    @property
    def cash(self) -> float:
        """Cash after this label's fills."""
        self._settle()
        cash: float = self._account[layout.CASH]
        return cash

    @property
    def equity(self) -> float:
        """Cash and every position at its latest close."""
        if self.is_busy or self._counters[layout.HELD]:
            self.open()
        return equity_now.plain(_plain(self._books.state))

    @property
    def live_orders(self) -> int:
        """How many orders are live."""
        self._settle()
        # What a guard cancelled keeps its row until the label is closed.
        ids = self._books.state.orders[: self._counters[layout.LIVE], layout.ORDER_ID]
        return int(np.count_nonzero(ids != layout.GONE))

    # What is asked.

    def enter(self, symbol: str, side: int, **how: Any) -> None:
        """Enter on `side`, +1 or -1; `how` as in kernels.desk.enter."""
        self._ask(desk.enter.plain, symbol, _side(symbol, side), **how)

    def exit_(self, symbol: str, rank: float = 0.0) -> None:
        """Close the position, its orders cancelled."""
        self._ask(desk.exit_.plain, symbol, rank=rank)

    def target(self, symbol: str, **amount: float) -> None:
        """Hold `units`, `notional` or `weight`; negative is short."""
        self._ask(desk.target.plain, symbol, **amount)

    def place(self, symbol: str, side: int, **how: Any) -> None:
        """One order as given; `how` as in kernels.desk.place."""
        self._ask(desk.place.plain, symbol, _side(symbol, side), **how)

    def cancel(self, symbol: str, rank: float = 0.0) -> None:
        """Cancel every live order of the symbol."""
        self._ask(desk.cancel.plain, symbol, rank=rank)

    # What the replay does.

    def open(self) -> None:
        """Steps 1 to 4 of this label, and all before it, if they are not done yet."""
        at = self.label
        # Before the first bar the account is as the session before left it; after the last label all is done.
        if not self._may_ask or (self._reached == at and self._is_begun):
            return
        self._books.move(self._readable, self._reached, at + 1, OPENING + CLOSING if self._is_begun else OPENING)
        self._reached, self._is_begun = at, True
        # Can the next label bring a fill, or a guard that acts?
        self.is_busy = bool(self._counters[layout.LIVE] or (self._guards and self._counters[layout.HELD]))

    def close(self) -> None:
        """The label is decided: what was asked at it, if anything, stands for the ledger to do."""
        low, count = self.base, self.asked[0]
        if count == low:
            return
        if count > low + 1:
            # By rank, highest first, then symbol, then as asked.
            order = low + np.lexsort((self._asked.symbol[low:count], -self._asked.rank[low:count]))
            for column in self._asked:
                column[low:count] = column[order]
        self.base, self.is_busy = count, True
        if count + self._room >= len(self._asked.label):
            self._lay_out(self._asked, count)

    def finish(self) -> None:
        """Every label that waits."""
        labels = self.label = len(self._labels)
        if self._reached < labels:
            self._books.move(self._readable, self._reached, labels, CLOSING if self._is_begun else WHOLE)
            self._reached, self._is_begun = labels, False

    def may_ask(self, allowed: bool) -> None:
        """Open or close the desk for requests."""
        self._may_ask = allowed

    def fills(self) -> list[Fill]:
        """The fills since last asked, in order."""
        fresh = self._counters[layout.NEXT_FILL] - self._told
        if fresh == 0:
            return []
        self._told += fresh
        facts, amounts = self._books.latest_fills(fresh)
        return [self._fill(fact, amount) for fact, amount in zip(facts.tolist(), amounts.tolist(), strict=True)]

    def _fill(self, fact: list[int], amount: list[float]) -> Fill:
        label = fact[layout.FILL_LABEL] - self._first_label
        return Fill(
            symbol=self._symbols[fact[layout.FILL_SYMBOL]],
            order_id=fact[layout.FILL_ORDER],
            fill_id=fact[layout.FILL_ID],
            trade_id=fact[layout.FILL_TRADE],
            timestamp=int(self._labels[label]),
            at=fact[layout.FILL_AT],
            side=fact[layout.FILL_SIDE],
            quantity=amount[layout.F_QUANTITY],
            price=amount[layout.F_PRICE],
            commission=amount[layout.F_COMMISSION],
            realized_pnl=amount[layout.F_REALIZED],
            position_after=amount[layout.F_POSITION],
            cash_after=amount[layout.F_CASH],
            rule=codes.FILL_RULES[fact[layout.FILL_RULE]],
        )

    @property
    def made(self) -> Requests:
        """Everything asked since the desk was set up, in the order it was handled."""
        columns: list[Any] = [column[: self.base] for column in self._readable]
        return Requests(*columns)

    def _settle(self) -> None:
        """Where something can have changed since the ledger last moved: move it up to this label."""
        if self.is_busy:
            self.open()

    def _code(self, symbol: str) -> int:
        code = self._codes.get(symbol)
        if code is None:
            raise StrategyError(f"{symbol!r} is no symbol of the run")
        return code

    def _ask(self, asking: Any, symbol: str, *side: int, **how: Any) -> None:
        at, count = self._desk(symbol), self.asked[0]
        is_target = asking is desk.target.plain
        if len(AMOUNTS.intersection(how)) != 1 and (is_target or len(AMOUNTS.intersection(how)) > 1):
            given = ", ".join(name for name in how if name in AMOUNTS) or "no amount"
            raise StrategyError(f"{symbol}: {asking.__name__} with {given}; give one")
        for name, value in how.items():
            how[name] = _said(symbol, name, value, is_signed=is_target)
        try:
            asking(at, *side, **how)
        except (TypeError, ValueError) as error:
            # A request that is half written is none, whoever catches this.
            self.asked[0] = count
            raise StrategyError(f"{symbol}: {error}") from error

    def _desk(self, symbol: str) -> desk.Desk:
        if not self._may_ask:
            raise StrategyError("nothing can be asked before a session's first bar or after its last; ask in on_bar")
        if self.asked[0] - self.base >= self._room:
            raise StrategyError(f"more than {self._room} requests at one label; ask once per symbol")
        return self._at._replace(label=self.label, symbol=self._code(symbol))

    def _lay_out(self, held: Requests, count: int) -> None:
        """Room for `count` requests held, as many again, and a label's; what is written reads through frozen views."""
        rows = 2 * (count + self._room) + 1
        columns: list[Any] = []
        for column in held:
            wider = np.zeros(rows, dtype=column.dtype)
            wider[:count] = column[:count]
            columns.append(wider)
        self._asked = Requests(*columns)
        self._asked.label[count:] = NEVER
        readable: list[Any] = [frozen(column) for column in columns]
        self._readable = Requests(*readable)
        counts: Any = np.array([count, 0], dtype=np.int64).data
        self.asked = counts  # [0]: how many requests there are so far
        plain: list[Any] = [column.data for column in columns]
        self._at = desk.Desk(0, 0, 0.0, 0.0, 0.0, 0.0, NOTHING_KEPT, counts, Requests(*plain))


def _side(symbol: str, side: Any) -> int:
    if side not in (1, -1):
        raise StrategyError(f"{symbol}: side is {side!r}; expected 1 to buy, -1 to sell")
    return int(side)


def _said(symbol: str, name: str, value: Any, *, is_signed: bool) -> Any:
    """An argument of a request as the kernel takes it: a word as its number; a number that is one."""
    if name in WORDS and isinstance(value, str):
        if value not in WORDS[name]:
            raise StrategyError(f"{symbol}: {name} is {value!r}; expected {', '.join(WORDS[name])}")
        return WORDS[name].index(value)
    if name in WHOLE_NUMBERS:
        if not isinstance(value, int | np.integer) or isinstance(value, bool):
            raise StrategyError(f"{symbol}: {name} is {value!r}; expected a whole number")
        return int(value)
    if not isinstance(value, float | int | np.number) or value != value:
        # Left out it has a meaning of its own, which nobody asked for who computed NaN.
        raise StrategyError(f"{symbol}: {name} is {value!r}; expected a number, or leave it out")
    if name in LEGS and value <= 0.0:
        raise StrategyError(f"{symbol}: {name} is {value}; expected above 0, on either side")
    if name in AMOUNTS and value < 0.0 and not is_signed:
        raise StrategyError(f"{symbol}: {name} is {value}; expected above 0, the side says which way")
    return float(value)


def _plain(state: State) -> State:
    columns: list[Any] = [column.data for column in state]
    return State(*columns)


def callbacks_of(strategy: object, names: Iterable[str]) -> Mapping[str, Any]:
    """The callbacks a strategy has, None for those it has not."""
    return {name: getattr(strategy, name, None) for name in names}
