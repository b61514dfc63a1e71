"""What a fill does to the account: cash, position, lots, the trade it opens, changes or ends, and its row."""

from __future__ import annotations

from backtester.kernels.flat import outlined, step
from backtester.kernels.state import (
    AVERAGE,
    BARS_HELD,
    BEST,
    CASH,
    ENTRY_FILLS,
    ENTRY_UNITS,
    ENTRY_VALUE,
    EXIT_FILLS,
    EXIT_UNITS,
    EXIT_VALUE,
    F_BEST,
    F_CASH,
    F_COMMISSION,
    F_POSITION,
    F_PRICE,
    F_QUANTITY,
    F_REALIZED,
    F_REFERENCE,
    F_WORST,
    FEES,
    FILL_AT,
    FILL_ID,
    FILL_IS_AMBIGUOUS,
    FILL_IS_STALE,
    FILL_LABEL,
    FILL_ORDER,
    FILL_ROW,
    FILL_ROWS,
    FILL_RULE,
    FILL_SIDE,
    FILL_SYMBOL,
    FILL_TRADE,
    FIRST_LOT,
    FLOWS,
    FREE_LOT,
    HELD,
    LABELS,
    LAST_LOT,
    MONTH_UNITS,
    MOST,
    NEXT_FILL,
    NEXT_TRADE,
    ORDER_ID,
    PAID,
    POSITION,
    REALIZED,
    SHORTS,
    SIDE,
    SINCE,
    SYMBOL,
    T_BEST,
    T_ENTRY_UNITS,
    T_ENTRY_VALUE,
    T_EXIT_UNITS,
    T_EXIT_VALUE,
    T_FLOWS,
    T_MOST,
    T_PAID,
    T_WORST,
    TRADE,
    TRADE_BARS,
    TRADE_ENTRIES,
    TRADE_EXITS,
    TRADE_ID,
    TRADE_ROWS,
    TRADE_SIDE,
    TRADE_SINCE,
    TRADE_SYMBOL,
    TRADE_UNTIL,
    TURNOVER,
    WORST,
    Log,
    State,
)

# A position smaller than this share of what was traded is a rounding error, not a position.
DUST = 1e-12


@step
def book_fill(
    symbol: int, side: int, quantity: float, price: float, commission: float, at: int, fifo: int, state: State, log: Log
) -> float:
    """Change cash, position and trade by a fill; the P&L it realises, before commission."""
    before = state.book[symbol, POSITION]
    after = before + side * quantity
    if abs(after) <= DUST * quantity:
        after = 0.0
    value = quantity * price
    state.account[CASH] = state.account[CASH] - side * value - commission
    state.account[FEES] += commission
    state.account[TURNOVER] += value
    state.account[MONTH_UNITS] += quantity
    realized, opening, share = 0.0, quantity, commission
    if before * side < 0.0:
        closing = quantity if before * after >= 0.0 else abs(before)
        opening = quantity - closing if before * after < 0.0 else 0.0
        realized = closing * (price - state.book[symbol, AVERAGE]) * -side
        if fifo != 0:
            realized = closed_lots(symbol, closing, price, side, state)
            if before * after > 0.0:
                state.book[symbol, AVERAGE] = lots_average(symbol, state)
        state.account[REALIZED] += realized
        paid = commission if opening == 0.0 else commission * (closing / quantity)
        share = commission - paid
        state.book[symbol, FLOWS] -= side * closing * price
        state.book[symbol, PAID] += paid
        state.book[symbol, EXIT_UNITS] += closing
        state.book[symbol, EXIT_VALUE] += closing * price
        state.facts[symbol, EXIT_FILLS] += 1
        if opening > 0.0 or after == 0.0:
            end_trade(symbol, -side, at, state, log)
    state.book[symbol, POSITION] = after
    if opening > 0.0:
        if before * side <= 0.0:
            begin_trade(symbol, at, state)
        enter_units(symbol, opening, price, side, share, fifo, state)
    if before == 0.0 or after == 0.0:
        hold(symbol, after != 0.0, state)
    state.counters[SHORTS] += (1 if after < 0.0 else 0) - (1 if before < 0.0 else 0)
    return realized


@step
def begin_trade(symbol: int, at: int, state: State) -> None:
    """A new trade for the symbol."""
    state.facts[symbol, TRADE] = state.counters[NEXT_TRADE]
    state.counters[NEXT_TRADE] += 1
    state.facts[symbol, SINCE] = at
    state.facts[symbol, BARS_HELD] = state.facts[symbol, ENTRY_FILLS] = state.facts[symbol, EXIT_FILLS] = 0
    for column in range(FLOWS, BEST + 1):
        state.book[symbol, column] = 0.0
    state.book[symbol, AVERAGE] = 0.0


@step
def enter_units(
    symbol: int, opening: float, price: float, side: int, commission: float, fifo: int, state: State
) -> None:
    """Add units to the symbol's trade."""
    held = state.book[symbol, ENTRY_UNITS] - state.book[symbol, EXIT_UNITS]
    state.book[symbol, AVERAGE] = (
        price if held <= 0.0 else (held * state.book[symbol, AVERAGE] + opening * price) / (held + opening)
    )
    state.book[symbol, FLOWS] -= side * opening * price
    state.book[symbol, PAID] += commission
    state.book[symbol, ENTRY_UNITS] += opening
    state.book[symbol, ENTRY_VALUE] += opening * price
    state.facts[symbol, ENTRY_FILLS] += 1
    size = abs(state.book[symbol, POSITION])
    if size > state.book[symbol, MOST]:
        state.book[symbol, MOST] = size
    if fifo != 0:
        add_lot(symbol, opening, price, state)


@step
def end_trade(symbol: int, side: int, at: int, state: State, log: Log) -> None:
    """Write the row of a trade that ended; its gross result counts in its worst and best too."""
    flows = state.book[symbol, FLOWS]
    i = log.rows[TRADE_ROWS]
    log.trades[i, TRADE_ID] = state.facts[symbol, TRADE]
    log.trades[i, TRADE_SYMBOL] = symbol
    log.trades[i, TRADE_SIDE] = side
    log.trades[i, TRADE_SINCE] = state.facts[symbol, SINCE]
    log.trades[i, TRADE_UNTIL] = at
    log.trades[i, TRADE_BARS] = state.facts[symbol, BARS_HELD]
    log.trades[i, TRADE_ENTRIES] = state.facts[symbol, ENTRY_FILLS]
    log.trades[i, TRADE_EXITS] = state.facts[symbol, EXIT_FILLS]
    log.trade_amounts[i, T_MOST] = state.book[symbol, MOST]
    log.trade_amounts[i, T_ENTRY_UNITS] = state.book[symbol, ENTRY_UNITS]
    log.trade_amounts[i, T_ENTRY_VALUE] = state.book[symbol, ENTRY_VALUE]
    log.trade_amounts[i, T_EXIT_UNITS] = state.book[symbol, EXIT_UNITS]
    log.trade_amounts[i, T_EXIT_VALUE] = state.book[symbol, EXIT_VALUE]
    log.trade_amounts[i, T_PAID] = state.book[symbol, PAID]
    log.trade_amounts[i, T_FLOWS] = flows
    worst, best = state.book[symbol, WORST], state.book[symbol, BEST]
    log.trade_amounts[i, T_WORST] = flows if flows < worst else worst
    log.trade_amounts[i, T_BEST] = flows if flows > best else best
    log.rows[TRADE_ROWS] = i + 1


@step
def hold(symbol: int, is_held: bool, state: State) -> None:
    """Put the symbol among those with a position, in symbol order, or take it out."""
    count = state.counters[HELD]
    if is_held:
        place = count
        while place > 0 and state.held[place - 1] > symbol:
            state.held[place] = state.held[place - 1]
            place -= 1
        state.held[place] = symbol
        state.counters[HELD] = count + 1
        return
    place = 0
    while state.held[place] != symbol:
        place += 1
    for j in range(place, count - 1):
        state.held[j] = state.held[j + 1]
    state.counters[HELD] = count - 1


@outlined
def add_lot(symbol: int, quantity: float, price: float, state: State) -> None:
    """Append a lot to the symbol's."""
    lot = state.counters[FREE_LOT]
    state.counters[FREE_LOT] = state.next_lot[lot]
    state.lots[lot, 0], state.lots[lot, 1] = quantity, price
    state.next_lot[lot] = -1
    if state.facts[symbol, FIRST_LOT] < 0:
        state.facts[symbol, FIRST_LOT] = lot
    else:
        state.next_lot[state.facts[symbol, LAST_LOT]] = lot
    state.facts[symbol, LAST_LOT] = lot


@outlined
def closed_lots(symbol: int, closing: float, price: float, side: int, state: State) -> float:
    """Take units off the symbol's oldest lots; the P&L that realises."""
    realized, left = 0.0, closing
    while left > 0.0:
        lot = state.facts[symbol, FIRST_LOT]
        if lot < 0:
            break
        taken = state.lots[lot, 0]
        if taken > left:
            taken = left
        realized += taken * (price - state.lots[lot, 1]) * -side
        left -= taken
        state.lots[lot, 0] -= taken
        if state.lots[lot, 0] <= DUST * closing:
            state.facts[symbol, FIRST_LOT] = state.next_lot[lot]
            state.next_lot[lot] = state.counters[FREE_LOT]
            state.counters[FREE_LOT] = lot
    return realized


@outlined
def lots_average(symbol: int, state: State) -> float:
    """The average price of the symbol's lots."""
    units, value = 0.0, 0.0
    lot = state.facts[symbol, FIRST_LOT]
    while lot >= 0:
        units += state.lots[lot, 0]
        value += state.lots[lot, 0] * state.lots[lot, 1]
        lot = state.next_lot[lot]
    return value / units if units > 0.0 else state.book[symbol, AVERAGE]


@step
def write_fill(
    k: int, row: int, quantity: float, price: float, reference: float, commission: float, realized: float, worst: float,
    best: float, rule: int, is_ambiguous: int, is_stale: int, at: int, state: State, log: Log,
) -> None:  # fmt: skip
    """Write the row of a fill that has been booked."""
    i = log.rows[FILL_ROWS]
    symbol = state.orders[k, SYMBOL]
    log.fills[i, FILL_ID] = state.counters[NEXT_FILL]
    log.fills[i, FILL_ORDER] = state.orders[k, ORDER_ID]
    log.fills[i, FILL_TRADE] = state.facts[symbol, TRADE]
    log.fills[i, FILL_SYMBOL] = symbol
    log.fills[i, FILL_LABEL] = state.counters[LABELS]
    log.fills[i, FILL_AT] = at
    log.fills[i, FILL_SIDE] = state.orders[k, SIDE]
    log.fills[i, FILL_RULE] = rule
    log.fills[i, FILL_IS_AMBIGUOUS] = is_ambiguous
    log.fills[i, FILL_IS_STALE] = is_stale
    log.fills[i, FILL_ROW] = row
    log.fill_amounts[i, F_QUANTITY] = quantity
    log.fill_amounts[i, F_PRICE] = price
    log.fill_amounts[i, F_REFERENCE] = reference
    log.fill_amounts[i, F_COMMISSION] = commission
    log.fill_amounts[i, F_WORST] = worst
    log.fill_amounts[i, F_BEST] = best
    log.fill_amounts[i, F_REALIZED] = realized
    log.fill_amounts[i, F_POSITION] = state.book[symbol, POSITION]
    log.fill_amounts[i, F_CASH] = state.account[CASH]
    log.rows[FILL_ROWS] = i + 1
    state.counters[NEXT_FILL] += 1
