"""The ledger: label by label, what docs/execution.md says in the order it says it."""

from __future__ import annotations

from backtester.arrays import Clock, Int64, Market, Requests
from backtester.kernels.addresses import call_at
from backtester.kernels.asking import ask, pick, pick_code
from backtester.kernels.closing import (
    end_data,
    end_session,
    expire,
    flatten_session,
    guard,
    start_session,
)
from backtester.kernels.codes import FIRST_LABEL, LAST_LABEL
from backtester.kernels.flat import step
from backtester.kernels.marking import mark_all, mark_label, mark_stretch, record
from backtester.kernels.matching import match, run_timers
from backtester.kernels.orders import swept
from backtester.kernels.state import (
    EVENT_ROWS,
    FILL_ROWS,
    FREE_LOT,
    HELD,
    LABELS,
    LEGS,
    LIVE,
    MADE,
    ORDER_ROWS,
    REQUEST,
    TRADE_ROWS,
    WAITS,
    Log,
    Rules,
    State,
    Steps,
)

# Rules with which most of what the ledger can do is not asked for: a copy of the loop has none of it in its way.
PLAIN = {"orders": 0, "same_bar": 0, "checks": 0, "guards": 0, "flat_by": 0, "end": 0, "fifo": 0}

# What `advance` is asked for: whole labels; the first one's steps 1 to 4 being done; the last one's steps 1 to 4 only.
WHOLE, CLOSING, OPENING = 0, 1, 2


@step
def needed(asked: int, state: State) -> tuple[int, int, int, int]:
    """The most that one label can make of `asked` requests and every live order: live orders, fills, orders, events."""
    # Each request submits two orders at most, a fill four legs, a guard or an end an order for each position.
    busy = state.counters[LIVE] + 2 * asked + 4 * state.counters[HELD] + 4
    made = 6 * busy
    return state.counters[LIVE] + made, 2 * (busy + made), made, 8 * (busy + made)


@step
def has_room(asked: int, rules: Rules, state: State, log: Log) -> bool:
    """Is there room for all that one label can write?"""
    live, fills, orders, events = needed(asked, state)
    return (
        live <= len(state.queue)
        and log.rows[FILL_ROWS] + fills <= len(log.fills)
        and log.rows[TRADE_ROWS] + fills <= len(log.trades)
        and (rules.fifo == 0 or free_lots(fills, state) == fills)
        and (
            rules.events == 0
            or (
                log.rows[ORDER_ROWS] + orders <= len(log.order_facts)
                and log.rows[EVENT_ROWS] + events <= len(log.events)
            )
        )
    )


@step
def free_lots(most: int, state: State) -> int:
    """How many lots are free, counted up to `most`."""
    lot, count = state.counters[FREE_LOT], 0
    while count < most and lot >= 0:
        lot = state.next_lot[lot]
        count += 1
    return count


@step
def session_of(t: int, starts: Int64) -> int:
    """The session label t lies in."""
    low, high = 0, len(starts) - 1
    while high - low > 1:
        middle = (low + high) // 2
        if starts[middle] <= t:
            low = middle
        else:
            high = middle
    return low


@step
def take_steps(t: int, end: int, steps: Steps) -> int:
    """Call the step for every row from label t on; the first label at which it asked anything, `end` where at none."""
    steps.made[MADE] = 0
    return int(call_at(steps.entry, t, end, steps.slots, steps.amounts))


@step
def rank_steps(count: int, requests: Requests, state: State) -> None:
    """Put the requests of a label's steps into the queue by rank, then as made."""
    for j in range(count):
        place = j
        while place > 0 and requests.rank[state.queue[place - 1]] < requests.rank[j]:
            state.queue[place] = state.queue[place - 1]
            place -= 1
        state.queue[place] = j


@step
def asked_at(t: int, requests: Requests, state: State) -> int:
    """How many requests label t has."""
    q: int = state.counters[REQUEST]
    while q < len(requests.label) and requests.label[q] == t:
        q += 1
    count: int = q - state.counters[REQUEST]
    return count


@step
def are_for_market(asked: int, requests: Requests, state: State) -> bool:
    """Do the next requests ask for market orders only: no prices, legs, time limits and groups?"""
    low: int = state.counters[REQUEST]
    for q in range(low, low + asked):
        words = pick_code(requests.order_type, q) | pick_code(requests.tif, q) | pick_code(requests.fractions, q)
        if words != 0 or pick_code(requests.exit_after_bars, q) != 0 or pick_code(requests.group, q) >= 0:
            return False
        limit, stop, trail = pick(requests.limit, q), pick(requests.stop, q), pick(requests.trail, q)
        loss, take, by = pick(requests.stop_loss, q), pick(requests.take_profit, q), pick(requests.leg_trail, q)
        if limit == limit or stop == stop or trail == trail or loss == loss or take == take or by == by:
            return False
    return True


@step
def advance(
    first: int,
    end: int,
    part: int,
    is_last: int,
    clock: Clock,
    market: Market,
    requests: Requests,
    rules: Rules,
    state: State,
    log: Log,
    steps: Steps,
) -> int:
    """Labels `first` to `end` - 1; the label to go on at, `end` when all is done, less when room must be made first.

    part     WHOLE, or the sum of CLOSING and OPENING: what is left out of label `first`, and what of label `end` - 1
    is_last  1 if the run ends with the clock's last label
    """
    t, taken = first, -1
    session = session_of(first, clock.session_starts)
    whole = end if part < OPENING else end - 1
    is_closing = part == CLOSING or part == CLOSING + OPENING
    is_stepped = steps.entry != 0
    while t < end:
        if not is_closing and clock.flags[t] & FIRST_LABEL:
            session = session_of(t, clock.session_starts)
        is_waiting = is_stepped and steps.made[WAITS] != 0
        asked = waiting(steps, requests) if is_stepped else asked_at(t, requests, state)
        is_quiet = asked == 0 and state.counters[LIVE] == 0 and rules.guards == 0 and not is_closing and t < whole
        if not is_quiet and not is_ready(asked, requests, rules, state, log):
            break
        if not is_closing and clock.flags[t] & FIRST_LABEL:
            start_session(session, clock, rules, state)
        stop = quiet_end(t, session, whole, is_last, is_stepped, clock, requests, rules, state) if is_quiet else t
        if stop > t:
            quiet = stop
            if is_stepped:
                # The steps may have been taken when the last live order was gone.
                is_ahead = taken > t or (taken == t and steps.made[MADE] > 0)
                quiet = taken if is_ahead else take_steps(t, stop, steps)
            if quiet > t:
                mark_stretch(t, quiet, clock, market, rules, state, log)
                if quiet == clock.session_starts[session + 1]:
                    end_session(session, state, log)
            t = quiet
            if t == stop:
                continue
            is_waiting = True
        if not is_closing:
            if state.counters[LIVE] > 0:
                match(t, clock, market, rules, state, log)
            mark_label(t, clock, market, rules, state)
            if rules.orders != 0 and state.counters[LEGS] > 0:
                run_timers(t, clock, market, rules, state, log)
            if rules.guards != 0:
                guard(t, clock, market, rules, state, log)
            if t == whole:
                return end
        is_closing = False
        if is_stepped:
            if not is_waiting:
                stop = t + 1
                if state.counters[LIVE] == 0 and rules.guards == 0:
                    stop = max(stop, quiet_end(t, session, whole, is_last, is_stepped, clock, requests, rules, state))
                taken = take_steps(t, stop, steps)
            asked = min(steps.made[MADE], len(requests.label)) if is_waiting or taken == t else 0
            if asked > 0:
                steps.made[WAITS] = 0 if is_ready(asked, requests, rules, state, log) else 1
                if steps.made[WAITS] != 0:
                    break
                rank_steps(asked, requests, state)
        decide(t, asked, is_stepped, clock, market, requests, rules, state, log)
        close_label(t, session, is_last, clock, market, rules, state, log)
        t += 1
    if t == len(clock.flags) and t > first:
        state.counters[LABELS] -= 1
        mark_all(t - 1, clock, market, state)
        state.counters[LABELS] += 1
    return t


@step
def quiet_end(
    t: int,
    session: int,
    whole: int,
    is_last: int,
    is_stepped: bool,
    clock: Clock,
    requests: Requests,
    rules: Rules,
    state: State,
) -> int:
    """The label up to which, from t on, nothing changes but prices, while nothing is live and no step asks."""
    stop: int = min(whole, clock.session_starts[session + 1])
    if not is_stepped and state.counters[REQUEST] < len(requests.label):
        stop = min(stop, requests.label[state.counters[REQUEST]])
    if is_last != 0 and rules.end != 0 and stop == len(clock.flags):
        stop -= 1
    return max(stop, t)


@step
def close_label(
    t: int, session: int, is_last: int, clock: Clock, market: Market, rules: Rules, state: State, log: Log
) -> None:
    """What comes after the requests of label t."""
    if rules.orders != 0 and state.counters[LIVE] > 0:
        expire(t, clock, rules, state, log)
    if rules.flat_by != 0 and clock.flags[t] & LAST_LABEL:
        flatten_session(t, clock, market, rules, state, log)
    if is_last != 0 and rules.end != 0 and t == len(clock.flags) - 1:
        end_data(t, clock, market, rules, state, log)
    if state.counters[LIVE] > 0:
        swept(state)
    if rules.marks != 0:
        record(t, state, log)
    if clock.flags[t] & LAST_LABEL:
        end_session(session, state, log)
    state.counters[LABELS] += 1


@step
def waiting(steps: Steps, requests: Requests) -> int:
    """How many requests of steps that are taken wait to be handled."""
    return min(steps.made[MADE], len(requests.label)) if steps.made[WAITS] != 0 else 0


@step
def is_ready(asked: int, requests: Requests, rules: Rules, state: State, log: Log) -> bool:
    """Can this loop handle the next requests, in the room there is?"""
    if not has_room(asked, rules, state, log):
        return False
    return rules.orders != 0 or asked == 0 or are_for_market(asked, requests, state)


@step
def decide(
    t: int,
    asked: int,
    is_stepped: bool,
    clock: Clock,
    market: Market,
    requests: Requests,
    rules: Rules,
    state: State,
    log: Log,
) -> None:
    """Handle the requests of label t, made before the run or by a step now."""
    q = state.counters[REQUEST]
    for j in range(asked):
        request = state.queue[j] if is_stepped else q + j
        ask(request, t, clock, market, requests, rules, state, log)
    state.counters[REQUEST] = 0 if is_stepped else q + asked
