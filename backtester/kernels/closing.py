"""The steps of a label around matching and requests: session start, guards, expiry, session end, end of data."""

from __future__ import annotations

import math

from backtester.arrays import Clock, Market
from backtester.kernels.asking import exit_symbol
from backtester.kernels.checks import equity_now, expected_units, gross_now
from backtester.kernels.codes import (
    AT_END_CLOSE,
    AT_END_OPEN,
    AT_FLAT_BY,
    BY_DAILY_LOSS,
    BY_MARGIN_CALL,
    CANCELLED,
    CLOSE,
    DAY,
    DAY_OVER,
    EXPIRED,
    GTD,
    IS_HALTED,
    LAST_LABEL,
    MARKET,
    NO_REASON,
    PAST_CUTOFF,
    PAST_FLAT_BY,
    ROLE_DAILY_LOSS,
    ROLE_END,
    ROLE_FLAT_BY,
    ROLE_MARGIN_CALL,
    TIME_OVER,
)
from backtester.kernels.flat import outlined, step
from backtester.kernels.matching import turn_now
from backtester.kernels.orders import accept, cancel_all, draft, end_order, find_row, opening_units
from backtester.kernels.state import (
    BORROW,
    CASH,
    CUT,
    FEES,
    GONE,
    HALTED,
    HELD,
    INTEREST,
    LEG_OF,
    LIVE,
    MARK,
    MONTH,
    MONTH_UNITS,
    NOW_MARKET,
    OPENED_AT,
    ORDER_ID,
    POSITION,
    REALIZED,
    ROUTE,
    S_BORROW,
    S_CASH,
    S_EQUITY,
    S_FEES,
    S_INTEREST,
    S_REALIZED,
    S_START,
    S_TURNOVER,
    SESSION_START,
    SESSIONS,
    SYMBOL,
    TIF,
    TURNOVER,
    TYPE,
    UNTIL,
    Log,
    Rules,
    State,
)
from backtester.kernels.touching import FORCED


@outlined
def start_session(session: int, clock: Clock, rules: Rules, state: State) -> None:
    """Carrying costs since the session before; then a new session's counts."""
    for column in (FEES, INTEREST, BORROW, TURNOVER, REALIZED):
        state.account[column] = 0.0
    state.account[OPENED_AT] = equity_now(state)
    if rules.carries != 0 and clock.days[session] > 0.0:
        days, cash = clock.days[session], state.account[CASH]
        interest = cash * (rules.interest_rate if cash > 0.0 else rules.debit_rate) * days / 365.0
        state.account[INTEREST] = interest
        state.account[CASH] += interest
        for j in range(state.counters[HELD]):
            symbol = state.held[j]
            value = state.book[symbol, POSITION] * state.book[symbol, MARK]
            if value < 0.0:
                fee = -value * rules.borrow_rate * days / 365.0
                state.account[BORROW] += fee
                state.account[CASH] -= fee
    state.account[SESSION_START] = equity_now(state)
    state.counters[HALTED] = state.counters[CUT] = 0
    state.counters[SESSIONS] += 1
    if clock.month[session] != state.counters[MONTH]:
        state.counters[MONTH] = clock.month[session]
        state.account[MONTH_UNITS] = 0.0


@outlined
def guard(t: int, clock: Clock, market: Market, rules: Rules, state: State, log: Log) -> None:
    """Daily loss, maintenance margin, and the time by which all must be flat."""
    at = clock.known_at[t]
    # Infinity where it is off.
    floor = state.account[SESSION_START] - rules.max_daily_loss
    if state.counters[HALTED] == 0 and floor > -math.inf and equity_now(state) <= floor:
        state.counters[HALTED] = 1
        halt(at, rules, state, log)
        if rules.flattens != 0:
            exit_all(BY_DAILY_LOSS, ROLE_DAILY_LOSS, t, clock, market, rules, state, log)
    if rules.maintenance > 0.0 and equity_now(state) < rules.maintenance * gross_now(state):
        exit_all(BY_MARGIN_CALL, ROLE_MARGIN_CALL, t, clock, market, rules, state, log)
    if rules.flat_by != 0 and state.counters[CUT] == 0 and clock.flags[t] & PAST_CUTOFF:
        state.counters[CUT] = 1
        cancel_all(-1, -1, PAST_FLAT_BY, 1, 1, at, rules.events, state, log)
        exit_all(PAST_FLAT_BY, ROLE_FLAT_BY, t, clock, market, rules, state, log)


@step
def halt(at: int, rules: Rules, state: State, log: Log) -> None:
    """Cancel the working orders that open."""
    for k in range(state.counters[LIVE]):
        if state.orders[k, ORDER_ID] == GONE or state.orders[k, LEG_OF] >= 0:
            continue
        if opening_units(k, expected_units(k, rules, state), state) > 0.0:
            end_order(k, CANCELLED, IS_HALTED, at, rules.events, state, log)


@outlined
def exit_all(
    reason: int, role: int, t: int, clock: Clock, market: Market, rules: Rules, state: State, log: Log
) -> None:
    """Exit every position, in symbol order."""
    for symbol in range(len(state.book)):
        if state.book[symbol, POSITION] != 0.0:
            exit_symbol(symbol, reason, role, t, clock, market, rules, state, log)


@step
def expire(t: int, clock: Clock, rules: Rules, state: State, log: Log) -> None:
    """End `day` orders with their session, and `gtd` orders whose time has come."""
    at = clock.known_at[t]
    is_last = clock.flags[t] & LAST_LABEL != 0
    for k in range(state.counters[LIVE]):
        tif = state.orders[k, TIF]
        if state.orders[k, ORDER_ID] == GONE:
            continue
        if tif == DAY and is_last:
            end_order(k, EXPIRED, DAY_OVER, at, rules.events, state, log)
        elif tif == GTD and state.orders[k, UNTIL] <= at:
            end_order(k, EXPIRED, TIME_OVER, at, rules.events, state, log)


@outlined
def close_at(
    symbol: int, row: int, t: int, price: float, role: int, rule: int, clock: Clock, market: Market, rules: Rules,
    state: State, log: Log,
) -> None:  # fmt: skip
    """Close a position at a price, outside the market."""
    k = draft(symbol, -1 if state.book[symbol, POSITION] > 0.0 else 1, CLOSE, role, state)
    accept(k, NO_REASON, clock.known_at[t], rules.events, state, log)
    turn_now(k, row, t, FORCED, price, rule, clock, market, rules, state, log)


@outlined
def flatten_session(t: int, clock: Clock, market: Market, rules: Rules, state: State, log: Log) -> None:
    """Nothing stays overnight: cancel what is live, close what is open at its mark."""
    cancel_all(-1, -1, PAST_FLAT_BY, 1, 1, clock.known_at[t], rules.events, state, log)
    for symbol in range(len(state.book)):
        if state.book[symbol, POSITION] != 0.0:
            row = find_row(market, clock.starts[t], clock.ends[t], symbol)
            mark = state.book[symbol, MARK]
            close_at(symbol, row, t, mark, ROLE_FLAT_BY, AT_FLAT_BY, clock, market, rules, state, log)


@outlined
def end_data(t: int, clock: Clock, market: Market, rules: Rules, state: State, log: Log) -> None:
    """What `end` asks for at the run's last label."""
    if rules.end == 2:
        for k in range(state.counters[LIVE]):
            is_market = state.orders[k, TYPE] == MARKET or state.orders[k, ROUTE] == NOW_MARKET
            if is_market and state.orders[k, ORDER_ID] != GONE:
                row = last_row(state.orders[k, SYMBOL], t, clock, market)
                price = market.open[row] if row >= 0 else state.book[state.orders[k, SYMBOL], MARK]
                turn_now(k, row, t, FORCED, price, AT_END_OPEN, clock, market, rules, state, log)
    for symbol in range(len(state.book)):
        if state.book[symbol, POSITION] == 0.0:
            continue
        row = last_row(symbol, t, clock, market)
        price, rule = state.book[symbol, MARK], AT_END_CLOSE
        if rules.end == 2 and row >= 0:
            price, rule = market.open[row], AT_END_OPEN
        close_at(symbol, row, t, price, ROLE_END, rule, clock, market, rules, state, log)


@step
def last_row(symbol: int, t: int, clock: Clock, market: Market) -> int:
    """The row of a symbol's last bar at or before label t, -1 where this clock has none."""
    row = -1
    while t >= 0 and row < 0:
        row = find_row(market, clock.starts[t], clock.ends[t], symbol)
        t -= 1
    return row


@step
def end_session(session: int, state: State, log: Log) -> None:
    """Write the session's row."""
    log.sessions[session, S_START] = state.account[OPENED_AT]
    log.sessions[session, S_EQUITY] = equity_now(state)
    log.sessions[session, S_CASH] = state.account[CASH]
    log.sessions[session, S_FEES] = state.account[FEES]
    log.sessions[session, S_INTEREST] = state.account[INTEREST]
    log.sessions[session, S_BORROW] = state.account[BORROW]
    log.sessions[session, S_TURNOVER] = state.account[TURNOVER]
    log.sessions[session, S_REALIZED] = state.account[REALIZED]
