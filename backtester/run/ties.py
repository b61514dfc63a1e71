"""How much of a run's P&L depends on the order of its symbols: the ledger run again with that order permuted.

Where several symbols are in line at one instant the ledger takes them in symbol order (docs/execution.md), and that
decides who gets the cash. Another order is as good; what it changes is luck.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from backtester.arrays import Clock, Float64, Int64, Market, Requests, frozen
from backtester.errors import UsageError
from backtester.execution.simulate import simulate
from backtester.features.rows import rows_of
from backtester.kernels.state import Rules, new_state
from backtester.run.commit import Carry, carried
from backtester.run.indicating import warmed
from backtester.run.loading import Loader
from backtester.run.plan import Plan
from backtester.run.session import columns_of, continued, prepare, scan

SEED = 1


class Spread(NamedTuple):
    """The P&L of a run under several orders of its symbols; `pnl` has one value an order, the first as it is."""

    pnl: Float64

    @property
    def widest(self) -> float:
        """The difference between the best and the worst order."""
        return float(self.pnl.max() - self.pnl.min())


def spread_of(plan: Plan, *, orders: int, seed: int = SEED) -> Spread:
    """The P&L of the plan under `orders` other orders of its symbols, drawn from `seed`; nothing is written."""
    from backtester.run import trading  # brings Polars

    strategy = plan.strategy
    if strategy is None or strategy.kind != "columns":
        why = "there is no strategy" if strategy is None else f"{strategy.use} decides while the ledger runs"
        raise UsageError(f"permute-ties: {why}; it needs a strategy of `signals`")
    ties = Ties(len(plan.symbols), orders=orders, seed=seed, capital=plan.config.execution.capital)
    loader, state = Loader(plan), warmed(plan)
    carry: Carry = carried({} if state is None else {"indicator_state": state})
    for session in plan.sessions:
        prepared = prepare(plan, loader.load(session))
        indicated = continued(plan, prepared, carry)
        rows = rows_of(prepared.done, session, plan.derived, plan.config.interval)
        columns = columns_of(plan, prepared, indicated, rows)
        if plan.scanners:
            rows, _ = scan(plan, prepared, indicated, rows, columns)
        decided = trading.decide(strategy, rows, columns, prepared.flow)
        code = trading.codes_in_run(plan, rows)
        asked = decided.requests._replace(symbol=frozen(code[decided.requests.symbol]))
        ledger = trading.ledger_of(plan, rows, {})
        is_last = session == plan.sessions[-1]
        ties.session(ledger.clock, ledger.market, asked, rules=plan.rules, is_last=is_last)
        carry = carried({} if indicated.state is None else {"indicator_state": indicated.state})
    return ties.spread()


class Ties:
    """The same sessions again and again, each time with the symbols in another order."""

    def __init__(self, symbols: int, *, orders: int, seed: int, capital: float) -> None:
        """`orders` permutations drawn from `seed`; beside them the order as it is."""
        if orders < 1:
            raise UsageError(f"permute-ties is {orders}; expected how many other orders to try, 1 or more")
        random = np.random.default_rng(seed)
        # place[symbol]: where the order puts it.
        self._places = [np.arange(symbols), *(random.permutation(symbols) for _ in range(orders))]
        self._states = [new_state(symbols, capital) for _ in self._places]
        self._capital = capital
        self._equity = np.full(len(self._places), capital)

    def session(self, clock: Clock, market: Market, requests: Requests, *, rules: Rules, is_last: bool) -> None:
        """The next session under every order; symbols are codes of the run."""
        for k, place in enumerate(self._places):
            restricted = np.empty_like(rules.restricted)
            restricted[place] = rules.restricted
            done = simulate(
                clock,
                _market(clock, market, place),
                _requests(requests, place),
                rules=rules._replace(restricted=frozen(restricted)),
                state=self._states[k],
                is_last=is_last,
            )
            self._states[k] = done.state
            self._equity[k] = done.final_equity

    def spread(self) -> Spread:
        """What the sessions so far gave."""
        return Spread(self._equity - self._capital)


def _market(clock: Clock, market: Market, place: Int64) -> Market:
    symbol = place[market.symbol]
    label = np.repeat(np.arange(len(clock.starts)), clock.ends - clock.starts)
    order = np.lexsort((symbol, label))
    columns: list[Any] = [frozen(column[order]) if len(column) == len(order) else column for column in market]
    return Market(*columns)._replace(symbol=frozen(symbol[order].astype(np.int32)))


def _requests(requests: Requests, place: Int64) -> Requests:
    rows = len(requests.label)
    symbol = place[requests.symbol]
    order = np.lexsort((symbol, -np.broadcast_to(requests.rank, rows), requests.label))
    columns: list[Any] = [frozen(column[order]) if len(column) == rows else column for column in requests]
    return Requests(*columns)._replace(symbol=frozen(symbol[order].astype(np.int32)))
