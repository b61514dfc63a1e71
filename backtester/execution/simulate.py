"""Simulating: requests in, fills, trades and equity out, resumable at any label."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

from backtester.arrays import Clock, Market, Requests
from backtester.errors import UsageError
from backtester.kernels.state import Log, Rules, State


@dataclass(frozen=True)
class Simulation:
    """What a simulation left: the account as it stands, and what happened, as columns (kernels.state names them)."""

    clock: Clock
    market: Market
    state: State
    log: Log


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
    _refuse(clock, market, requests, rules, state, is_last)


class Ledger:
    """The same, label by label, for strategies that decide in between.

    `open_label(t)` does steps 1 to 4 of docs/execution.md for label t, `close_label(t, requests)` steps 5 to 8, where
    the requests are those of label t; `done()` is the Simulation.
    """

    def __init__(self, clock: Clock, market: Market, *, rules: Rules, state: State, is_last: bool = False) -> None:
        _refuse(clock, market, rules, state, is_last)


def _refuse(*_: object) -> NoReturn:
    raise UsageError("simulate: the ledger is not built yet")
