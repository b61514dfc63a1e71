"""Simulating a step: one function of a row, called in the ledger's loop when the row's bar is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from backtester.arrays import Clock, Float64, Market
from backtester.errors import UsageError
from backtester.execution.simulate import Ledger, Simulation
from backtester.kernels.state import BEYOND, LEG_ROW, SIDE_ROW, Rules, State
from backtester.kernels.stepping import Desk, Row, Stepper, with_step

_loops: dict[Callable[..., object], Any] = {}


def simulate_step(
    step: Callable[[Row, Desk], None],
    clock: Clock,
    market: Market,
    *,
    rules: Rules,
    state: State,
    columns: Sequence[Float64] = (),
    memory: Float64 | None = None,
    room: int = 4,
    is_last: bool = False,
) -> Simulation:
    """Run the ledger over every label of `clock`, asking the step at every row.

    step     a function of (row, desk); kernels.stepping says what it sees and how it asks
    columns  indicators: one value a row of the market each
    memory   [symbols, size]: the step's own state; it is written to, and goes with `state` from clock to clock
    room     requests a symbol may make at one label; UsageError when a step makes more
    """
    symbols = len(rules.restricted)
    if step not in _loops:
        _loops[step] = with_step(step)
    kept = np.zeros((symbols, 0)) if memory is None else memory
    stepper = Stepper(_loops[step], columns, room=room * symbols, memory=kept)
    ledger = Ledger(clock, market, rules=rules, state=state, is_last=is_last, stepper=stepper)
    ledger.run()
    if stepper.made[BEYOND]:
        raise UsageError(f"step: {stepper.made[BEYOND]} requests at one label, room for {room * symbols}; raise `room`")
    if row := stepper.made[LEG_ROW]:
        raise UsageError(f"step: a leg of the entry of row {row - 1} is not above 0; leave it out for none")
    if row := stepper.made[SIDE_ROW]:
        raise UsageError(f"step: the side that row {row - 1} asked for is neither 1 nor -1")
    return ledger.done()
