"""Positions at their marks: one label, or a stretch of labels in which nothing but prices changes."""

from __future__ import annotations

from backtester.arrays import Clock, Market
from backtester.kernels.flat import outlined, step
from backtester.kernels.jit import unsigned
from backtester.kernels.orders import bring_mark, find_row
from backtester.kernels.state import (
    BARS_HELD,
    BEST,
    CASH,
    E_CASH,
    E_GROSS,
    E_NET,
    E_OPEN,
    FLOWS,
    HELD,
    LABELS,
    MARK,
    MARK_LABEL,
    MOVED_LABEL,
    POSITION,
    WORST,
    Log,
    Rules,
    State,
)


@step
def mark_label(t: int, clock: Clock, market: Market, rules: Rules, state: State) -> None:
    """Mark every position whose symbol has a bar at label t; count the bar and its extremes for the trade."""
    now = state.counters[LABELS]
    for j in range(state.counters[HELD]):
        symbol = state.held[j]
        row = find_row(market, clock.starts[t], clock.ends[t], symbol)
        if row < 0:
            continue
        close = market.close[row]
        state.book[symbol, MARK] = close
        state.facts[symbol, MARK_LABEL] = now
        if rules.marks == 0:
            continue
        state.facts[symbol, BARS_HELD] += 1
        # A position that changed within the bar did not see all of it: only the close is known to come after.
        is_whole = state.facts[symbol, MOVED_LABEL] != now
        stretch_extremes(symbol, market.low[row] if is_whole else close, market.high[row] if is_whole else close, state)


@step
def stretch_extremes(symbol: int, low: float, high: float, state: State) -> None:
    """Let a trade know the lowest and highest price its position was held at."""
    position, flows = state.book[symbol, POSITION], state.book[symbol, FLOWS]
    worst, best = flows + position * low, flows + position * high
    if position < 0.0:
        worst, best = best, worst
    if worst < state.book[symbol, WORST]:
        state.book[symbol, WORST] = worst
    if best > state.book[symbol, BEST]:
        state.book[symbol, BEST] = best


@step
def record(t: int, state: State, log: Log) -> None:
    """Write the account as it stands at the end of label t."""
    net, gross = 0.0, 0.0
    for j in range(state.counters[HELD]):
        symbol = state.held[j]
        value = state.book[symbol, POSITION] * state.book[symbol, MARK]
        net += value
        gross += abs(value)
    log.equity[E_CASH, t] = state.account[CASH]
    log.equity[E_NET, t] = net
    log.equity[E_GROSS, t] = gross
    log.equity[E_OPEN, t] = state.counters[HELD]


@step
def mark_stretch(first: int, end: int, clock: Clock, market: Market, rules: Rules, state: State, log: Log) -> None:
    """Labels `first` to `end` - 1, with no live order and no request: nothing but prices changes."""
    held = state.counters[HELD]
    if rules.marks == 0:
        state.counters[LABELS] += end - 1 - first
        for j in range(held):
            bring_mark(state.held[j], end - 1, clock, market, state)
        state.counters[LABELS] += 1
        return
    if held == 0:
        flat_stretch(first, end, state.account[CASH], log)
        state.counters[LABELS] += end - first
        return
    row = clock.starts[first]
    if len(state.book) == 1 and clock.ends[end - 1] - row == end - first:
        only_stretch(first, end, row, market, state, log)
        return
    for t in range(first, end):
        mark_label(t, clock, market, rules, state)
        record(t, state, log)
        state.counters[LABELS] += 1


@step
def flat_stretch(first: int, end: int, cash: float, log: Log) -> None:
    """A stretch without a position."""
    i = unsigned(first)
    count = unsigned(end - first)
    for j in range(count):
        log.equity[E_CASH, i + j] = cash
    for j in range(count):
        log.equity[E_NET, i + j] = 0.0
    for j in range(count):
        log.equity[E_GROSS, i + j] = 0.0
    for j in range(count):
        log.equity[E_OPEN, i + j] = 0.0


@step
def only_stretch(first: int, end: int, row: int, market: Market, state: State, log: Log) -> None:
    """A stretch of a market of one symbol that is held and has a bar at every label."""
    position, cash = state.book[0, POSITION], state.account[CASH]
    i, r = unsigned(first), unsigned(row)
    count = unsigned(end - first)
    low, high = market.low[r], market.high[r]
    for j in range(count):
        # From 0.0, as a sum over positions starts: it turns -0.0 into 0.0 and is free.
        value = 0.0 + position * market.close[r + j]
        log.equity[E_CASH, i + j] = cash
        log.equity[E_NET, i + j] = value
        log.equity[E_GROSS, i + j] = abs(value)
        log.equity[E_OPEN, i + j] = 1.0
        low = market.low[r + j] if market.low[r + j] < low else low
        high = market.high[r + j] if market.high[r + j] > high else high
    stretch_extremes(0, low, high, state)
    state.facts[0, BARS_HELD] += end - first
    state.counters[LABELS] += end - first
    state.book[0, MARK] = market.close[row + end - first - 1]
    state.facts[0, MARK_LABEL] = state.counters[LABELS] - 1


@outlined
def mark_all(t: int, clock: Clock, market: Market, state: State) -> None:
    """Bring every symbol's mark up to label t, the last of this clock that was visited."""
    for symbol in range(len(state.book)):
        bring_mark(symbol, t, clock, market, state)
