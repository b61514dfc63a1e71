"""One order's turn: how much of it fills and at what price, what that does, and what is left of it."""

from __future__ import annotations

import math

from backtester.arrays import Clock, Market
from backtester.kernels.booking import book_fill, write_fill
from backtester.kernels.checks import SLACK, free_beside, freed, has_prices, sized, unit_fee
from backtester.kernels.codes import (
    AT_MARKET_MID,
    AT_REMAINDER,
    BAD_PRICE,
    BAD_QUANTITY,
    CANCELLED,
    CLOSE,
    FILLED,
    FOK,
    IS_FLAT,
    LEG_FILLED,
    LEG_TRAIL_FRAC,
    LIMIT,
    MARKET,
    NO_CASH,
    NO_REASON,
    NO_VOLUME,
    PARTIALLY_FILLED,
    REJECTED,
    ROLE_STOP_LOSS,
    ROLE_TAKE_PROFIT,
    ROLE_TIMER,
    ROLE_TRAIL,
    STOP,
    STOP_LOSS_FRAC,
    TAKE_PROFIT_FRAC,
    TIMER,
    TRAIL_FRAC,
    TRAILING,
    WAS_REPLACED,
)
from backtester.kernels.flat import outlined, step
from backtester.kernels.orders import accept, cancel_all, cancel_group, draft, end_order, event, refresh_mark, remove
from backtester.kernels.state import (
    ACCEPTED_AT,
    ARMED,
    AS_GIVEN,
    CHARGED,
    EXIT_AFTER,
    FEE_RATE,
    FEE_UNIT,
    FILLED_UNITS,
    FILLED_VALUE,
    FRACTIONS,
    GONE,
    GROUP,
    LABELS,
    LEG_OF,
    LEG_STOP,
    LEG_TAKE,
    LEG_TRAIL,
    LEGS,
    LIMIT_PRICE,
    LIVE,
    MARK_LABEL,
    MET,
    MOVED_LABEL,
    NOW_LIMIT,
    NOW_MARKET,
    ORDER_ID,
    PARENT,
    POSITION,
    QUANTITY,
    REFERENCE,
    ROLE,
    ROUTE,
    ROW,
    SIDE,
    SIZE_UNIT,
    STOP_PRICE,
    SYMBOL,
    TIF,
    TRADE,
    TRAIL_BY,
    TURN,
    TYPE,
    USED,
    USED_LABEL,
    Log,
    Rules,
    State,
)
from backtester.kernels.steps import MOST_UNITS, NEARLY, affordable, fee, slipped, stop_inside, to_tick, whole_lots
from backtester.kernels.touching import AS_LIMIT, AS_MARKET, FORCED, INSIDE, OPEN, condition

# A bit of orders[:, FRACTIONS] beside those of requests: it carries legs not made yet.
HAS_LEGS = 16
# Filled but for this share of it, an order is filled.
NEARLY_ALL = 1.0 - 1e-12


@step
def final_price(
    reference: float, kind: int, where: int, side: int, is_opening: bool, quantity: float, row: int, market: Market,
    rules: Rules,
) -> float:  # fmt: skip
    """A reference price after slippage, spread, impact and rounding; quantity 0 leaves the impact out."""
    price = reference
    if rules.slips == 0:
        return price
    if (
        rules.orders == 0
        or kind == AS_MARKET
        or (rules.limit_slippage if kind == AS_LIMIT else rules.stop_slippage) != 0
    ):
        volume = market.volume[row] if row >= 0 else 0.0
        price = slipped(price, side, is_opening, 0.0 if where == FORCED else quantity, volume, rules)
    if rules.slip_within_bar != 0 and where != FORCED:
        price = min(max(price, market.low[row]), market.high[row])
    return to_tick(price, 0, rules) if rules.round_fills != 0 else price


@step
def volume_left(symbol: int, row: int, market: Market, rules: Rules, state: State) -> float:
    """The units the bar still gives."""
    if state.facts[symbol, USED_LABEL] != state.counters[LABELS]:
        state.facts[symbol, USED_LABEL] = state.counters[LABELS]
        state.book[symbol, USED] = 0.0
    left = whole_lots(rules.volume_frac * market.volume[row], rules.lot) - state.book[symbol, USED]
    return left if left > NEARLY else 0.0


@step
def turn(
    k: int, row: int, t: int, where: int, reference: float, rule: int, kind: int, clock: Clock, market: Market,
    rules: Rules, state: State, log: Log,
) -> None:  # fmt: skip
    """The turn of the live order in row k; row -1: a close at a mark without a bar here."""
    symbol, side = state.orders[k, SYMBOL], state.orders[k, SIDE]
    at = clock.timestamp[t] if where == OPEN else clock.known_at[t]
    signed = state.book[symbol, POSITION] * side
    if state.amounts[k, FILLED_UNITS] == 0.0:
        is_limit = rules.orders != 0 and (state.orders[k, TYPE] == LIMIT or state.orders[k, ROUTE] == NOW_LIMIT)
        is_maker = is_limit and where != OPEN
        state.amounts[k, FEE_RATE] = rules.maker_rate if is_maker else rules.taker_rate
        state.amounts[k, FEE_UNIT] = unit_fee(rules, state)
    if state.orders[k, SIZE_UNIT] == CLOSE:
        if signed >= 0.0:
            end_order(k, CANCELLED, IS_FLAT, at, rules.events, state, log)
            return
        wanted = -signed
    else:
        if math.isnan(state.amounts[k, QUANTITY]):
            price = final_price(reference, kind, where, side, signed >= 0.0, 0.0, row, market, rules)
            rate, per_unit = state.amounts[k, FEE_RATE], state.amounts[k, FEE_UNIT]
            state.amounts[k, QUANTITY] = sized(k, price, rate, per_unit, rules, state)
            if not 0.0 < state.amounts[k, QUANTITY] <= MOST_UNITS:
                end_order(k, REJECTED, BAD_QUANTITY, at, rules.events, state, log)
                return
        wanted = state.amounts[k, QUANTITY] - state.amounts[k, FILLED_UNITS]
    quantity = wanted
    if rules.volume_frac > 0.0 and where != FORCED:
        left = volume_left(symbol, row, market, rules, state)
        quantity = left if left < wanted else wanted
    is_opening = signed >= 0.0 or (quantity if quantity > 0.0 else wanted) + signed > NEARLY
    price = final_price(reference, kind, where, side, is_opening, quantity, row, market, rules)
    fills_rest, is_over = rules.volume_rest == 2, False
    is_fok = rules.orders != 0 and state.orders[k, TIF] == FOK
    while True:
        is_short = quantity < wanted
        if quantity > 0.0 and not (is_short and is_fok and not fills_rest):
            is_over = fill(
                k,
                row,
                t,
                at,
                where,
                reference,
                price,
                rule,
                kind,
                quantity,
                wanted,
                clock,
                market,
                rules,
                state,
                log,
            )
        if is_over or not is_short:
            return
        if not fills_rest:
            break
        fills_rest, rule, price = False, AT_REMAINDER, price + side * rules.tick
        wanted = wanted - quantity
        quantity = wanted
    if rules.volume_rest == 1 and not is_fok:
        end_order(k, CANCELLED, NO_VOLUME, at, rules.events, state, log)
    elif rules.orders == 0:
        return
    elif state.orders[k, TYPE] in (STOP, TRAILING):
        state.orders[k, ROUTE] = NOW_MARKET
    elif state.orders[k, TYPE] not in (MARKET, LIMIT) and state.orders[k, ROUTE] == AS_GIVEN and kind == AS_LIMIT:
        state.orders[k, ROUTE] = NOW_LIMIT


@step
def fill(
    k: int, row: int, t: int, at: int, where: int, reference: float, price: float, rule: int, kind: int,
    quantity: float, wanted: float, clock: Clock, market: Market, rules: Rules, state: State, log: Log,
) -> bool:  # fmt: skip
    """Fill `quantity` as far as limit and cash allow; True if the order has ended, or waits for a better bar."""
    symbol, side = state.orders[k, SYMBOL], state.orders[k, SIDE]
    signed = state.book[symbol, POSITION] * side
    opening = quantity if signed >= 0.0 else (quantity + signed if quantity + signed > NEARLY else 0.0)
    is_guarded = rules.orders != 0 and kind == AS_LIMIT and rules.limit_guard != 0
    if is_guarded and side * (price - state.amounts[k, LIMIT_PRICE]) > 0.0:
        if state.orders[k, TYPE] != LIMIT:
            state.orders[k, ROUTE] = NOW_LIMIT
        return True
    filled, value, charged = state.amounts[k, FILLED_UNITS], state.amounts[k, FILLED_VALUE], state.amounts[k, CHARGED]
    rate, per_unit = state.amounts[k, FEE_RATE], state.amounts[k, FEE_UNIT]
    commission = 0.0
    if rules.charges != 0:
        commission = fee(filled + quantity, value + quantity * price, side, rate, per_unit, rules) - charged
    is_reduced = False
    if rules.cash != 0 and opening > 0.0:
        budget = free_beside(symbol, rules.margin, state)
        if signed > 0.0:
            budget += freed(side * signed, price, rules.margin)
        elif signed < 0.0:
            budget += side * signed * price
        if opening * price * rules.margin + commission > budget + SLACK * quantity * price:
            less = 0.0
            if rules.cash == 2:
                closing = quantity - opening
                less = closing + affordable(
                    opening, budget, closing, price, side, filled, value, charged, rate, per_unit, rules
                )
            is_fok = rules.orders != 0 and state.orders[k, TIF] == FOK
            if less == 0.0 or is_fok:
                if not is_fok:
                    kind_of_end = REJECTED if filled == 0.0 else CANCELLED
                    end_order(k, kind_of_end, NO_CASH, at, rules.events, state, log)
                return True
            is_reduced, quantity = True, less
            if rules.charges != 0:
                commission = fee(filled + less, value + less * price, side, rate, per_unit, rules) - charged
    worst, best, is_ambiguous = price, price, 0
    if rule == AT_MARKET_MID:
        worst = market.high[row] if side > 0 else market.low[row]
        best = market.low[row] if side > 0 else market.high[row]
        is_ambiguous = 1 if worst != best else 0
        worst, best = (worst, best) if worst != best else (price, price)
    elif rules.orders != 0 and where == INSIDE and state.orders[k, FRACTIONS] & HAS_LEGS and quantity + signed > NEARLY:
        worst = worst_entry(k, row, price, market, rules, state)
        is_ambiguous = 1 if worst != price else 0
    elif rules.orders != 0 and where == INSIDE and state.orders[k, LEG_OF] >= 0 and state.counters[LEGS] > 1:
        worst, best, is_ambiguous = other_legs(k, row, t, price, quantity, clock, market, rules, state)
    if signed == 0.0 and len(state.book) > 1 and state.facts[symbol, MARK_LABEL] < state.counters[LABELS]:
        mark_before(symbol, t, clock, market, state)
    realized = book_fill(symbol, side, quantity, price, commission, at, rules.fifo, state, log)
    is_stale = 1 if state.orders[k, MET] == 0 and state.counters[LABELS] > state.orders[k, ACCEPTED_AT] + 1 else 0
    write_fill(
        k, row, quantity, price, reference, commission, realized, worst, best, rule, is_ambiguous, is_stale, at, state,
        log,
    )  # fmt: skip
    return settled(k, at, where, quantity, wanted, price, commission, signed, is_reduced, rules, state, log)


@outlined
def mark_before(symbol: int, t: int, clock: Clock, market: Market, state: State) -> None:
    """Mark a symbol at its close before label t: nobody did while it was not held, and others' cash counts it now."""
    state.counters[LABELS] -= 1
    refresh_mark(symbol, t - 1, clock, market, state)
    state.counters[LABELS] += 1


@outlined
def worst_entry(k: int, row: int, price: float, market: Market, rules: Rules, state: State) -> float:
    """The price of an entry filled inside a bar, moved by the loss of being stopped in it, if it could have been."""
    side = state.orders[k, SIDE]
    if math.isnan(state.amounts[k, LEG_STOP]):
        return price
    stop = leg_price(price, state.amounts[k, LEG_STOP], -side, state.orders[k, FRACTIONS] & STOP_LOSS_FRAC)
    stop = to_tick(stop, -side, rules) if rules.round_orders != 0 else stop
    extreme = -market.low[row] if side > 0 else market.high[row]
    return price + side * abs(price - stop) if stop_inside(rules.stop_touch, -side * stop, extreme) else price


@outlined
def other_legs(
    k: int, row: int, t: int, price: float, quantity: float, clock: Clock, market: Market, rules: Rules, state: State
) -> tuple[float, float, int]:
    """The worst and the best price of a leg filled inside a bar and of those that could have filled in its place."""
    symbol, side = state.orders[k, SYMBOL], state.orders[k, SIDE]
    worst, best = price, price
    for j in range(state.counters[LIVE]):
        if j == k or state.orders[j, ORDER_ID] == GONE or state.orders[j, SYMBOL] != symbol:
            continue
        is_there = state.orders[j, LEG_OF] >= 0 and state.orders[j, ROW] == row
        if not is_there or state.orders[j, TURN] == state.counters[LABELS]:
            continue
        where, reference, _, kind = condition(j, row, t, clock, market, rules, state)
        if where == INSIDE:
            other = final_price(reference, kind, where, side, False, quantity, row, market, rules)
            worst = other if side * (other - worst) > 0.0 else worst
            best = other if side * (other - best) < 0.0 else best
    return worst, best, 1 if worst != best else 0


@step
def settled(
    k: int, at: int, where: int, quantity: float, wanted: float, price: float, commission: float, signed: float,
    is_reduced: bool, rules: Rules, state: State, log: Log,
) -> bool:  # fmt: skip
    """What follows from a fill that has been booked, in the order of the page; True if the order has ended."""
    symbol, side, now = state.orders[k, SYMBOL], state.orders[k, SIDE], state.counters[LABELS]
    state.amounts[k, FILLED_UNITS] += quantity
    state.amounts[k, FILLED_VALUE] += quantity * price
    state.amounts[k, CHARGED] += commission
    if rules.volume_frac > 0.0 and where != FORCED:
        state.book[symbol, USED] += quantity
    if where != OPEN:
        state.facts[symbol, MOVED_LABEL] = now
    after = state.book[symbol, POSITION]
    is_filled = after == 0.0 if state.orders[k, SIZE_UNIT] == CLOSE else quantity >= NEARLY_ALL * wanted
    if rules.events != 0:
        event(k, FILLED if is_filled else PARTIALLY_FILLED, NO_REASON, at, quantity, price, state, log)
    if rules.orders != 0 and state.counters[LEGS] > 0:
        if state.orders[k, LEG_OF] >= 0:
            cancel_all(symbol, k, LEG_FILLED, 1, 1, at, rules.events, state, log)
        elif signed != 0.0 and (after == 0.0 or after * side * signed < 0.0):
            cancel_all(symbol, k, IS_FLAT, 1, 0, at, rules.events, state, log)
    if rules.orders != 0 and state.orders[k, GROUP] >= 0:
        cancel_group(state.orders[k, GROUP], k, at, rules.events, state, log)
    if rules.orders != 0 and state.orders[k, FRACTIONS] & HAS_LEGS and after * side > 0.0:
        make_legs(k, at, where, price, rules, state, log)
    if is_filled:
        remove(k, state)
    elif is_reduced:
        end_order(k, CANCELLED, NO_CASH, at, rules.events, state, log)
    return is_filled or is_reduced


@step
def leg_price(price: float, given: float, direction: int, is_frac: int) -> float:
    """A leg's price: as given, or that far from the entry's price, above (+1) or below (-1)."""
    return price * (1.0 + direction * given) if is_frac else given


@outlined
def make_legs(k: int, at: int, where: int, price: float, rules: Rules, state: State, log: Log) -> None:
    """Submit the legs an entry carries, in the place of those its symbol has."""
    symbol, side, given = state.orders[k, SYMBOL], state.orders[k, SIDE], state.orders[k, FRACTIONS]
    cancel_all(symbol, k, WAS_REPLACED, 1, 0, at, rules.events, state, log)
    state.orders[k, FRACTIONS] = given - HAS_LEGS
    for leg_kind in range(4):
        is_absent = state.orders[k, EXIT_AFTER] == 0 if leg_kind == 3 else math.isnan(
            state.amounts[k, LEG_STOP if leg_kind == 0 else (LEG_TRAIL if leg_kind == 1 else LEG_TAKE)]
        )  # fmt: skip
        if is_absent:
            continue
        leg = draft(symbol, -side, CLOSE, ROLE_STOP_LOSS, state)
        state.orders[leg, PARENT] = state.orders[k, ORDER_ID]
        state.orders[leg, LEG_OF] = state.facts[symbol, TRADE]
        state.orders[leg, ROW] = state.orders[k, ROW]
        if leg_kind == 0:
            state.orders[leg, TYPE] = STOP
            stop = leg_price(price, state.amounts[k, LEG_STOP], -side, given & STOP_LOSS_FRAC)
            state.amounts[leg, STOP_PRICE] = to_tick(stop, -side, rules) if rules.round_orders != 0 else stop
        elif leg_kind == 1:
            state.orders[leg, TYPE], state.orders[leg, ROLE] = TRAILING, ROLE_TRAIL
            state.amounts[leg, TRAIL_BY], state.amounts[leg, REFERENCE] = state.amounts[k, LEG_TRAIL], price
            state.orders[leg, FRACTIONS] = TRAIL_FRAC if given & LEG_TRAIL_FRAC else 0
        elif leg_kind == 2:
            state.orders[leg, TYPE], state.orders[leg, ROLE] = LIMIT, ROLE_TAKE_PROFIT
            take = leg_price(price, state.amounts[k, LEG_TAKE], side, given & TAKE_PROFIT_FRAC)
            state.amounts[leg, LIMIT_PRICE] = to_tick(take, side, rules) if rules.round_orders != 0 else take
        else:
            state.orders[leg, TYPE], state.orders[leg, ROLE] = TIMER, ROLE_TIMER
            state.orders[leg, EXIT_AFTER] = state.orders[k, EXIT_AFTER]
        if rules.arm != 0 and where == OPEN:
            state.orders[leg, ARMED] = state.counters[LABELS]
        accept(leg, NO_REASON if has_prices(leg, state) else BAD_PRICE, at, rules.events, state, log)
