"""A user's step: what it sees of a row, how it asks, and how its code is kept apart in the cache.

A step is `step(row, desk)`, called for every row of a label in symbol order when its bars are known. It asks through
`enter`, `leave`, `target`, `place` and `cancel`. Numba compiles it into a loop over rows, which the ledger's loop calls
by its address and which returns at the first label that asked something: the ledger is not compiled again for a step.
As plain Python the same loops call it as it is.
"""

from __future__ import annotations

import dis
import hashlib
import types
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from backtester.arrays import REQUEST_KINDS, Clock, Float64, Int32, Int64, Market, Requests
from backtester.errors import UsageError
from backtester.kernels.addresses import count_at, number_at
from backtester.kernels.codes import CANCEL, CONFIGURED, ENTER, EXIT, MARKET, ORDER, TARGET, UNIT
from backtester.kernels.flat import Flat, step
from backtester.kernels.jit import Kernel, is_compiled, kernel
from backtester.kernels.state import AVERAGE, BEYOND, CASH, LEG_ROW, MADE, MADE_COUNTS, POSITION, SIDE_ROW, State, Steps

NAN = float("nan")
NO_NUMBERS, NO_MEMORY = np.zeros(0), np.zeros((0, 0))


class Row(NamedTuple):
    """What is known of one symbol when its bar is: the bar, its position, the account, and columns of the row."""

    row: int  # the row's place in `values`
    symbol: int  # code
    timestamp: int  # the label, microseconds since 1970 UTC
    known_at: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    position: float  # signed
    average: float  # average price of the position; meaningless while it is 0
    cash: float
    columns: Int64  # of the row: `number(row, k)` is that of column k
    numbers: Float64  # the same for every row
    memory: Float64  # [symbols, size]: the step's own; memory[row.symbol, k], zero at the run's start


class Own(NamedTuple):
    """What a step has beside the ledger's arrays; fields as in Row."""

    columns: Int64  # [columns]; addresses of float64[rows] or int32[rows], as Python the arrays themselves
    numbers: Float64
    memory: Float64
    made: Int64  # Steps.made


class Desk(NamedTuple):
    """Where a step's requests of one label are written; columns as in Requests."""

    made: Int64  # Steps.made
    requests: Requests


@kernel
def write(desk: Desk, symbol: int, kind: int, side: int, unit: int, amount: float, rank: float) -> int:
    """Take the next row of the desk; -1 where there is no room, which is counted.

    A class's numbers are floats: whole ones are handed over as such wherever a whole one is asked for.
    """
    q = desk.made[MADE]
    desk.made[MADE] = q + 1
    if q >= len(desk.requests.symbol):
        desk.made[BEYOND] = max(desk.made[BEYOND], q + 1)
        return -1
    asked = desk.requests
    asked.symbol[q], asked.kind[q], asked.side[q], asked.unit[q] = symbol, kind, int(side), int(unit)
    asked.amount[q], asked.rank[q] = amount, rank
    asked.order_type[q], asked.tif[q], asked.fractions[q], asked.exit_after_bars[q] = MARKET, 0, 0, 0
    asked.limit[q] = asked.stop[q] = asked.trail[q] = NAN
    asked.stop_loss[q] = asked.take_profit[q] = asked.leg_trail[q] = NAN
    asked.until[q], asked.group[q] = 0, -1
    return int(q)


@kernel
def is_side(row: Row, desk: Desk, side: float) -> bool:
    """Is it one? The first row that asked for one that is none is noted, and the ledger never sees it."""
    found = side in (1, -1)
    if not found and desk.made[SIDE_ROW] == 0:
        desk.made[SIDE_ROW] = row.row + 1
    return found


@kernel
def number(row: Row, column: int) -> float:
    """A row's number in a column."""
    return number_at(row.columns, column, row.row)


@kernel
def count(row: Row, column: int) -> float:
    """The same of a column of int32."""
    return count_at(row.columns, column, row.row)


@kernel
def enter(
    row: Row, desk: Desk, side: int, unit: int = CONFIGURED, amount: float = NAN, limit: float = NAN,
    stop: float = NAN, stop_loss: float = NAN, take_profit: float = NAN, trail: float = NAN, fractions: int = 0,
    exit_after_bars: int = 0, rank: float = 0.0,
) -> None:  # fmt: skip
    """Ask to enter on a side, with legs if their prices (or fractions, by the bits of Requests.fractions) are given."""
    if not is_side(row, desk, side):
        return
    q = write(desk, row.symbol, ENTER, side, unit, amount, rank)
    if q >= 0:
        asked = desk.requests
        asked.limit[q], asked.stop[q] = limit, stop
        asked.stop_loss[q], asked.take_profit[q], asked.leg_trail[q] = stop_loss, take_profit, trail
        asked.fractions[q], asked.exit_after_bars[q] = int(fractions), int(exit_after_bars)
    if desk.made[LEG_ROW] == 0 and (stop_loss <= 0.0 or take_profit <= 0.0 or trail <= 0.0):
        desk.made[LEG_ROW] = row.row + 1


@kernel
def leave(row: Row, desk: Desk, rank: float = 0.0) -> None:
    """Ask to exit: orders cancelled, position closed."""
    write(desk, row.symbol, EXIT, 0, CONFIGURED, NAN, rank)


@kernel
def target(row: Row, desk: Desk, amount: float, unit: int = UNIT, rank: float = 0.0) -> None:
    """Ask for a position: signed units, notional or share of equity."""
    write(desk, row.symbol, TARGET, 0, unit, amount, rank)


@kernel
def place(
    row: Row, desk: Desk, side: int, amount: float, unit: int = UNIT, order_type: int = MARKET, tif: int = 0,
    limit: float = NAN, stop: float = NAN, trail: float = NAN, fractions: int = 0, until: int = 0, group: int = -1,
    rank: float = 0.0,
) -> None:  # fmt: skip
    """Ask for one order as given."""
    if not is_side(row, desk, side):
        return
    q = write(desk, row.symbol, ORDER, side, unit, amount, rank)
    if q >= 0:
        asked = desk.requests
        asked.order_type[q], asked.tif[q], asked.limit[q], asked.stop[q] = int(order_type), int(tif), limit, stop
        asked.trail[q], asked.fractions[q], asked.until[q], asked.group[q] = (
            trail,
            int(fractions),
            int(until),
            int(group),
        )


@kernel
def cancel(row: Row, desk: Desk, rank: float = 0.0) -> None:
    """Ask to cancel every order of the symbol."""
    write(desk, row.symbol, CANCEL, 0, CONFIGURED, NAN, rank)


def user_step(row: Row, desk: Desk) -> None:
    """Stands where a user's step is put."""


@kernel
def call_step(
    index: int, symbol: int, timestamp: int, known_at: int, first: float, high: float, low: float, close: float,
    volume: float, position: float, average: float, cash: float, columns: Int64, numbers: Float64, memory: Float64,
    made: Int64, requests: Requests,
) -> None:  # fmt: skip
    """Hand one row to the step."""
    row = Row(
        index, symbol, timestamp, known_at, first, high, low, close, volume, position, average, cash, columns, numbers,
        memory,
    )  # fmt: skip
    user_step(row, Desk(made, requests))


@step
def take_rows(first: int, end: int, clock: Clock, market: Market, requests: Requests, state: State, own: Own) -> int:
    """Call the step for the rows of labels `first` to `end` - 1, up to the first label that asks; that label, or `end`.

    The account is the same at all of them: nothing is live before one asks.
    """
    for t in range(first, end):
        for i in range(clock.starts[t], clock.ends[t]):
            symbol = int(market.symbol[i])
            call_step(
                i, symbol, clock.timestamp[t], clock.known_at[t], market.open[i], market.high[i], market.low[i],
                market.close[i], market.volume[i], state.book[symbol, POSITION], state.book[symbol, AVERAGE],
                state.account[CASH], own.columns, own.numbers, own.memory, own.made, requests,
            )  # fmt: skip
        if own.made[MADE] != 0:
            return t
    return end


class Stepper:
    """A step with what it has of its own, ready to be called by a ledger."""

    def __init__(
        self,
        loop: Flat[..., int] | None,
        columns: Sequence[Float64 | Int32],
        *,
        room: int,
        numbers: Float64 = NO_NUMBERS,
        memory: Float64 = NO_MEMORY,
    ) -> None:
        """A loop of `with_step` if a ledger calls it, columns of one value a row, room for the requests of a label."""
        self.loop, self.numbers, self.memory = loop, numbers, memory
        self.columns = [np.ascontiguousarray(column) for column in columns]
        if any(column.dtype not in (np.float64, np.int32) for column in self.columns):
            raise UsageError(
                f"step: columns of {[column.dtype.name for column in self.columns]}; float64 and int32 are read"
            )
        self.requests = Requests(**{name: np.zeros(room, dtype=kind) for name, kind in REQUEST_KINDS.items()})
        self.made = np.zeros(MADE_COUNTS, dtype=np.int64)

    def steps(self, clock: Clock, market: Market, state: State) -> Steps:
        """What the ledger's loop calls the step with; the stepper must outlive it."""
        rows = len(market.close)
        if any(len(column) != rows for column in self.columns) or len(self.memory) not in (0, len(state.book)):
            raise UsageError(f"step: columns of {[len(column) for column in self.columns]} rows for {rows} bars")
        assert self.loop is not None, "a step as Python is called by itself"
        columns: Any = self.columns
        if is_compiled():
            columns = np.array([pa.py_buffer(column).address for column in columns], dtype=np.int64)
        own = Own(columns, self.numbers, self.memory, self.made)
        held = self._held = self.loop.held(clock=clock, market=market, requests=self.requests, state=state, own=own)
        entry: Any = self.loop.address if is_compiled() else held
        return Steps(entry, held.slots, held.amounts, self.made)


def with_step(python: Callable[[Row, Desk], None]) -> Flat[..., int]:
    """The loop over rows with a step in it."""
    folder = f"step-{digest_of(python)}"
    caller = call_step.bound({"user_step": Kernel(python, folder=folder)}, folder=folder)
    return take_rows.bound({"call_step": caller}, folder=folder)


def digest_of(python: Callable[..., object]) -> str:
    """Sixteen hexadecimal digits of all a step's machine code depends on: its code, what it calls, its constants.

    UsageError for a global that is neither a function, a number nor an array: it could change unseen.
    """
    digest = hashlib.sha256()
    _feed(python, digest.update, set())
    return digest.hexdigest()[:16]


def _feed(value: Any, tell: Callable[[bytes], object], seen: set[int]) -> None:
    python = value.python if isinstance(value, Kernel) else value
    if isinstance(python, types.FunctionType):
        if id(python) in seen:
            return
        seen.add(id(python))
        code = python.__code__
        # The module too: machine code that is kept asks for it by name.
        named = python.__module__, python.__qualname__, code.co_names, code.co_varnames, python.__defaults__
        tell(repr((*named, code.co_code)).encode())
        tell(repr([constant for constant in code.co_consts if not isinstance(constant, types.CodeType)]).encode())
        if python.__closure__:
            raise UsageError(f"step: {python.__qualname__} uses variables of an enclosing function; make them globals")
        known = python.__globals__
        for name in sorted({i.argval for i in dis.get_instructions(code) if i.opname == "LOAD_GLOBAL"} & set(known)):
            tell(name.encode())
            _feed(known[name], tell, seen)
    elif isinstance(python, np.ndarray):
        tell(repr((python.dtype, python.shape)).encode() + python.tobytes())
    elif isinstance(python, (int, float, str, tuple, bool)) or python is None:
        tell(repr((type(python).__name__, python)).encode())
    elif isinstance(python, types.ModuleType) and python.__name__ in ("math", "numpy"):
        tell(python.__name__.encode())
    elif isinstance(python, type) and hasattr(python, "_fields"):
        tell(repr((python.__qualname__, python._fields)).encode())
    else:
        raise UsageError(f"step: {value!r} could change unseen; use functions, numbers, arrays, math and numpy only")
