"""Simulating a step: one function of a row, called in the ledger's loop when the row's bar is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from backtester.arrays import REQUEST_KINDS, Clock, Float64, Market, Requests
from backtester.errors import UsageError
from backtester.execution.simulate import Ledger, Simulation
from backtester.kernels.state import Rules, State, Steps
from backtester.kernels.stepping import Desk, Row, with_step

_loops: dict[Callable[..., object], Any] = {}


def simulate_step(
    step: Callable[[Row, Desk], None],
    clock: Clock,
    market: Market,
    *,
    rules: Rules,
    state: State,
    values: Float64 | None = None,
    memory: Float64 | None = None,
    room: int = 4,
    is_last: bool = False,
) -> Simulation:
    """Run the ledger over every label of `clock`, asking the step at every row.

    step    a function of (row, desk); kernels.stepping says what it sees and how it asks
    values  [rows of the market, columns]: indicators of each row
    memory  [symbols, size]: the step's own state; it is written to, and goes with `state` from clock to clock
    room    requests a symbol may make at one label; UsageError when a step makes more
    """
    rows, symbols = len(market.close), len(rules.restricted)
    steps = Steps(
        values=np.empty((rows, 0)) if values is None else values,
        memory=np.zeros((symbols, 0)) if memory is None else memory,
        made=np.zeros(3, dtype=np.int64),
    )
    if len(steps.values) != rows or len(steps.memory) != symbols:
        raise UsageError(f"step: {len(steps.values)} rows of values for {rows} bars; give one each")
    if step not in _loops:
        _loops[step] = with_step(step)
    desk = Requests(**{name: np.zeros(room * symbols, dtype=dtype) for name, dtype in REQUEST_KINDS.items()})
    ledger = Ledger(clock, market, rules=rules, state=state, is_last=is_last, loop=_loops[step], steps=steps)
    ledger.run(desk)
    if steps.made[1]:
        raise UsageError(f"step: {steps.made[1]} requests at one label, room for {room * symbols}; raise `room`")
    if steps.made[2]:
        raise UsageError(f"step: a leg of the entry of row {steps.made[2] - 1} is not above 0; leave it out for none")
    return ledger.done()
