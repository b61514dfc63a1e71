"""A label's bars meet the live orders: in stages, in order, each order once."""

from __future__ import annotations

from backtester.arrays import Clock, Market
from backtester.kernels.codes import (
    AT_SAME_CLOSE,
    BAR_MISSING,
    CANCELLED,
    FOK,
    IOC,
    IS_STALE,
    LIMIT,
    MARKET,
    NO_REASON,
    REJECTED,
    STOP_LIMIT,
    TIMER,
    TOUCHED,
    TRAILING,
    TRIGGERED,
    WAS_FOK,
    WAS_IOC,
)
from backtester.kernels.fills import turn
from backtester.kernels.flat import outlined, step
from backtester.kernels.orders import NAN, end_order, event, find_row, swept
from backtester.kernels.state import (
    ACCEPTED_AT,
    ACCEPTED_IN,
    ARMED,
    EXIT_AFTER,
    GONE,
    KEY_COLUMNS,
    KEY_DISTANCE,
    KEY_GROUP,
    KEY_KIND,
    KEY_PATH,
    KEY_REFERENCE,
    KEY_RULE,
    KEY_SYMBOL,
    KEY_WHERE,
    LABELS,
    LIMIT_PRICE,
    LIVE,
    MET,
    NOW_LIMIT,
    ORDER_ID,
    POSITION,
    REFERENCE,
    ROUTE,
    ROW,
    SESSIONS,
    SIDE,
    STOP_PRICE,
    SYMBOL,
    TIF,
    TURN,
    TYPE,
    Log,
    Rules,
    State,
)
from backtester.kernels.touching import AS_MARKET, AT_CLOSE, INSIDE, NEVER, OPEN, TRIGGERS, condition, stop_level

# Rules.intrabar
STOP_FIRST, TARGET_FIRST, OHLC, OLHC, ADAPTIVE, QUEUE = range(6)


@step
def match(t: int, clock: Clock, market: Market, rules: Rules, state: State, log: Log) -> None:
    """Every live order, all of them accepted at an earlier label, meets the bar its symbol has at label t."""
    prepare(t, clock, market, rules, state, log)
    # Market orders alone have one stage.
    only = OPEN if rules.market_price == 0 else AT_CLOSE
    for stage in range(OPEN if rules.orders != 0 else only, (AT_CLOSE if rules.orders != 0 else only) + 1):
        count = gather(stage, t, clock, market, rules, state, log)
        if count > 1 and rules.intrabar != QUEUE:
            sort_queue(count, state)
        for j in range(count):
            k = state.queue[j]
            if state.orders[k, ORDER_ID] == GONE:
                continue
            state.orders[k, TURN] = state.counters[LABELS]
            where, rule, kind = (
                int(state.keys[j, KEY_WHERE]),
                int(state.keys[j, KEY_RULE]),
                int(state.keys[j, KEY_KIND]),
            )
            row = state.orders[k, ROW]
            turn(k, row, t, where, state.keys[j, KEY_REFERENCE], rule, kind, clock, market, rules, state, log)
    after_match(t, clock, market, rules, state, log)
    swept(state)


@step
def prepare(t: int, clock: Clock, market: Market, rules: Rules, state: State, log: Log) -> None:
    """Find each order's bar; end market orders that missed theirs, or waited too long for it."""
    now = state.counters[LABELS]
    for k in range(state.counters[LIVE]):
        row = find_row(market, clock.starts[t], clock.ends[t], state.orders[k, SYMBOL])
        state.orders[k, ROW] = row
        kind = state.orders[k, TYPE]
        if kind == MARKET and state.orders[k, MET] == 0:
            waited = now - state.orders[k, ACCEPTED_AT]
            if row < 0 and rules.missing_bar != 0 and waited == 1:
                end_order(k, CANCELLED, BAR_MISSING, clock.known_at[t], rules.events, state, log)
            elif row >= 0 and 0 < rules.stale_after_bars < waited:
                end_order(k, REJECTED, IS_STALE, clock.timestamp[t], rules.events, state, log)
        elif rules.orders != 0 and kind == TRAILING and row >= 0 and rules.trail_first != 0:
            ratchet(k, row, market, rules, state)


@step
def ratchet(k: int, row: int, market: Market, rules: Rules, state: State) -> None:
    """Move a trailing stop's reference with the bar, never back."""
    price = market.close[row]
    if state.orders[k, SIDE] > 0:
        price = market.low[row] if rules.trail_reference == 0 else price
        if price < state.amounts[k, REFERENCE]:
            state.amounts[k, REFERENCE] = price
    else:
        price = market.high[row] if rules.trail_reference == 0 else price
        if price > state.amounts[k, REFERENCE]:
            state.amounts[k, REFERENCE] = price


@step
def gather(stage: int, t: int, clock: Clock, market: Market, rules: Rules, state: State, log: Log) -> int:
    """Put the orders whose turn comes in this stage into the queue; how many."""
    now, count = state.counters[LABELS], 0
    for k in range(state.counters[LIVE]):
        row = state.orders[k, ROW]
        if row < 0 or state.orders[k, ORDER_ID] == GONE or state.orders[k, TURN] == now:
            continue
        is_new = rules.orders != 0 and state.orders[k, ACCEPTED_AT] == now
        if is_new and (state.orders[k, ARMED] != now or stage != INSIDE):
            continue
        if is_new and state.orders[k, TYPE] == TRAILING and rules.trail_first != 0:
            ratchet(k, row, market, rules, state)
        where, reference, rule, kind = condition(k, row, t, clock, market, rules, state)
        if rules.orders != 0 and where == TRIGGERS and (rule <= stage or rules.intrabar == QUEUE):
            if rules.events != 0:
                at = clock.timestamp[t] if rule == OPEN else clock.known_at[t]
                event(k, TRIGGERED, NO_REASON, at, NAN, NAN, state, log)
            state.orders[k, ROUTE] = NOW_LIMIT
            if rule == OPEN and state.orders[k, TYPE] == STOP_LIMIT:
                where, reference, rule, kind = condition(k, row, t, clock, market, rules, state)
            else:
                state.orders[k, TURN] = now
        if where in (NEVER, TRIGGERS) or (where > stage and rules.intrabar != QUEUE):
            continue
        symbol, side = state.orders[k, SYMBOL], state.orders[k, SIDE]
        is_exit = state.book[symbol, POSITION] * side < 0.0
        state.queue[count] = k
        state.keys[count, KEY_GROUP] = 0.0 if is_exit or rules.exits_first == 0 else 1.0
        state.keys[count, KEY_REFERENCE], state.keys[count, KEY_RULE] = reference, rule
        state.keys[count, KEY_KIND], state.keys[count, KEY_WHERE] = kind, where
        state.keys[count, KEY_SYMBOL] = state.keys[count, KEY_PATH] = state.keys[count, KEY_DISTANCE] = 0.0
        if rules.orders != 0 and stage == INSIDE:
            place_inside(count, k, row, market, rules, state)
        count += 1
    return count


@outlined
def place_inside(j: int, k: int, row: int, market: Market, rules: Rules, state: State) -> None:
    """Where the order stands on the path the bar is assumed to have taken."""
    kind = state.orders[k, TYPE]
    is_limit = kind in (LIMIT, TOUCHED) or state.orders[k, ROUTE] == NOW_LIMIT
    level = state.amounts[k, STOP_PRICE] if kind == TOUCHED and state.orders[k, ROUTE] != NOW_LIMIT else NAN
    if level != level:
        level = state.amounts[k, LIMIT_PRICE] if is_limit else stop_level(k, state)
    first = market.open[row]
    path = rules.intrabar
    if path == ADAPTIVE:
        path = OHLC if market.high[row] - first < first - market.low[row] else OLHC
    if path == OHLC:
        is_early = level > first
    elif path == OLHC:
        is_early = level < first
    else:
        is_early = is_limit == (path == TARGET_FIRST)
    state.keys[j, KEY_SYMBOL] = state.orders[k, SYMBOL]
    state.keys[j, KEY_PATH] = 0.0 if is_early else 1.0
    state.keys[j, KEY_DISTANCE] = abs(level - first)


@outlined
def sort_queue(count: int, state: State) -> None:
    """Sort the queue by group, symbol, path and distance; equal ones stay in order of submission."""
    for end in range(1, count):
        j = end
        while j > 0 and is_before(j, j - 1, state):
            state.queue[j], state.queue[j - 1] = state.queue[j - 1], state.queue[j]
            for column in range(KEY_COLUMNS):
                later = state.keys[j - 1, column]
                state.keys[j - 1, column] = state.keys[j, column]
                state.keys[j, column] = later
            j -= 1


@step
def is_before(a: int, b: int, state: State) -> bool:
    """Does place a of the queue go before place b?"""
    for column in range(KEY_DISTANCE + 1):
        if state.keys[a, column] != state.keys[b, column]:
            return bool(state.keys[a, column] < state.keys[b, column])
    return False


@step
def after_match(t: int, clock: Clock, market: Market, rules: Rules, state: State, log: Log) -> None:
    """What meeting a bar means for those that are still live."""
    now = state.counters[LABELS]
    for k in range(state.counters[LIVE]):
        row = state.orders[k, ROW]
        is_new = rules.orders != 0 and state.orders[k, ACCEPTED_AT] == now and state.orders[k, ARMED] != now
        if row < 0 or is_new or state.orders[k, ORDER_ID] == GONE:
            continue
        tif = state.orders[k, TIF]
        if rules.orders != 0 and state.orders[k, MET] == 0 and tif in (IOC, FOK):
            reason = WAS_IOC if tif == IOC else WAS_FOK
            end_order(k, CANCELLED, reason, clock.known_at[t], rules.events, state, log)
        state.orders[k, MET] = 1
        if rules.orders != 0 and state.orders[k, TYPE] == TRAILING and rules.trail_first == 0:
            ratchet(k, row, market, rules, state)


@outlined
def turn_now(
    k: int, row: int, t: int, where: int, reference: float, rule: int, clock: Clock, market: Market, rules: Rules,
    state: State, log: Log,
) -> None:  # fmt: skip
    """A turn outside the matching: at once at the close, or a close at a mark."""
    state.orders[k, TURN], state.orders[k, ROW] = state.counters[LABELS], row
    turn(k, row, t, where, reference, rule, AS_MARKET, clock, market, rules, state, log)
    tif = state.orders[k, TIF]
    if state.orders[k, ORDER_ID] != GONE:
        state.orders[k, MET] = 1
        if tif in (IOC, FOK):
            end_order(k, CANCELLED, WAS_IOC if tif == IOC else WAS_FOK, clock.known_at[t], rules.events, state, log)


@outlined
def at_once(k: int, t: int, clock: Clock, market: Market, rules: Rules, state: State, log: Log) -> None:
    """Execute a new market order at this label's close, if its symbol has a bar here."""
    row = find_row(market, clock.starts[t], clock.ends[t], state.orders[k, SYMBOL])
    if row >= 0 and state.orders[k, TYPE] == MARKET:
        turn_now(k, row, t, AT_CLOSE, market.close[row], AT_SAME_CLOSE, clock, market, rules, state, log)


@outlined
def run_timers(t: int, clock: Clock, market: Market, rules: Rules, state: State, log: Log) -> None:
    """Count the bar for every timer whose symbol has one; those that end become market orders."""
    now = state.counters[LABELS]
    for k in range(state.counters[LIVE]):
        is_counted = state.orders[k, TYPE] == TIMER and state.orders[k, ROW] >= 0
        if not is_counted or state.orders[k, ORDER_ID] == GONE or state.orders[k, ACCEPTED_AT] == now:
            continue
        state.orders[k, EXIT_AFTER] -= 1
        if state.orders[k, EXIT_AFTER] == 0:
            if rules.events != 0:
                event(k, TRIGGERED, NO_REASON, clock.known_at[t], NAN, NAN, state, log)
            state.orders[k, TYPE], state.orders[k, MET] = MARKET, 0
            state.orders[k, ACCEPTED_AT], state.orders[k, ACCEPTED_IN] = now, state.counters[SESSIONS]
            if rules.same_bar != 0:
                at_once(k, t, clock, market, rules, state, log)
