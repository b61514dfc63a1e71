"""What a compiled strategy's step may look at beside its row, and the functions with which it asks.

Nothing asked is looked at before the step's label is over for every symbol: the ledger then handles all of it in order.
"""

from __future__ import annotations

from typing import NamedTuple

from backtester.arrays import Float64, Int64, Requests
from backtester.kernels.codes import (
    CANCEL,
    CASH_FRAC,
    CONFIGURED,
    ENTER,
    EQUITY_FRAC,
    EXIT,
    GTC,
    LEG_TRAIL_FRAC,
    LIMIT,
    MARKET,
    NOTIONAL,
    ORDER,
    STOP,
    STOP_LIMIT,
    STOP_LOSS_FRAC,
    TAKE_PROFIT_FRAC,
    TARGET,
    TRAIL_FRAC,
    TRAILING,
    UNIT,
)
from backtester.kernels.jit import kernel

NAN = float("nan")


class Desk(NamedTuple):
    """One symbol's desk at one label, after the label's fills and marks."""

    label: int
    symbol: int
    position: float  # units, signed
    average_price: float  # of the open position; 0 where there is none
    cash: float
    equity: float
    memory: Float64  # [symbols, numbers]; the strategy's own, 0 at the run's start, kept overnight
    count: Int64  # type: ignore[assignment]  # [1]; how many requests the label has so far; hides tuple.count
    asked: Requests  # room for the label's requests, one value a request in every column


@kernel
def recall(desk: Desk, place: int) -> float:
    """A number the strategy has kept for this symbol."""
    value: float = desk.memory[desk.symbol, place]
    return value


@kernel
def remember(desk: Desk, place: int, value: float) -> None:
    """Keep a number for this symbol: the next step sees it, the next session's first one too."""
    desk.memory[desk.symbol, place] = value


@kernel
def enter(
    desk: Desk, side: int, units: float = NAN, notional: float = NAN, equity_frac: float = NAN, cash_frac: float = NAN,
    limit: float = NAN, stop: float = NAN, stop_loss: float = NAN, take_profit: float = NAN, trail: float = NAN,
    stop_loss_frac: float = NAN, take_profit_frac: float = NAN, trail_frac: float = NAN, exit_after: int = 0,
    tif: int = GTC, rank: float = 0.0,
) -> None:  # fmt: skip
    """Enter on `side`, +1 or -1, by the configured size or one of the four amounts; prices and legs as in columns."""
    q = asked_row(desk, ENTER, side, rank)
    if q >= 0:
        sized_row(desk, q, units, notional, equity_frac, cash_frac)
        priced_row(desk, q, limit, stop, tif)
        legged_row(desk, q, stop_loss, take_profit, trail, stop_loss_frac, take_profit_frac, trail_frac, exit_after)


@kernel
def exit_(desk: Desk, rank: float = 0.0) -> None:
    """Close the position, its orders cancelled."""
    asked_row(desk, EXIT, 0, rank)


@kernel
def cancel(desk: Desk, rank: float = 0.0) -> None:
    """Cancel every live order of the symbol."""
    asked_row(desk, CANCEL, 0, rank)


@kernel
def target(desk: Desk, units: float = NAN, notional: float = NAN, weight: float = NAN, rank: float = 0.0) -> None:
    """Hold so many units, so much money's worth, or such a part of the equity; negative is short."""
    q = asked_row(desk, TARGET, 0, rank)
    if q >= 0:
        sized_row(desk, q, units, notional, weight, NAN)


@kernel
def place(
    desk: Desk, side: int, units: float = NAN, notional: float = NAN, equity_frac: float = NAN, cash_frac: float = NAN,
    order_type: int = MARKET, limit: float = NAN, stop: float = NAN, trail: float = NAN, trail_frac: float = NAN,
    tif: int = GTC, until: int = 0, group: int = -1, rank: float = 0.0,
) -> None:  # fmt: skip
    """One order as given; a MARKET order with prices is the limit, stop, stop-limit or trailing stop they make."""
    q = asked_row(desk, ORDER, side, rank)
    if q >= 0:
        sized_row(desk, q, units, notional, equity_frac, cash_frac)
        priced_row(desk, q, limit, stop, tif)
        if trail == trail or trail_frac == trail_frac:
            desk.asked.trail[q] = trail if trail == trail else trail_frac
            desk.asked.fractions[q] = TRAIL_FRAC if trail_frac == trail_frac else 0
            desk.asked.order_type[q] = TRAILING
        if order_type != MARKET:
            desk.asked.order_type[q] = order_type
        desk.asked.until[q] = until
        desk.asked.group[q] = group


@kernel
def asked_row(desk: Desk, kind: int, side: int, rank: float) -> int:
    """The row of a new request that says nothing more yet; -1 where there is no room, which is counted all the same."""
    q: int = desk.count[0]
    desk.count[0] = q + 1
    if q >= len(desk.asked.label) - 1:
        return -1
    asked = desk.asked
    asked.label[q], asked.symbol[q], asked.kind[q], asked.side[q] = desk.label, desk.symbol, kind, side
    asked.unit[q], asked.amount[q] = CONFIGURED, NAN
    asked.order_type[q], asked.tif[q] = MARKET, GTC
    asked.limit[q], asked.stop[q], asked.trail[q] = NAN, NAN, NAN
    asked.stop_loss[q], asked.take_profit[q], asked.leg_trail[q] = NAN, NAN, NAN
    asked.fractions[q], asked.exit_after_bars[q] = 0, 0
    asked.until[q], asked.group[q], asked.rank[q] = 0, -1, rank
    return q


@kernel
def sized_row(desk: Desk, q: int, units: float, notional: float, equity_frac: float, cash_frac: float) -> None:
    """The first amount that is given, and its unit."""
    if units == units:
        desk.asked.unit[q], desk.asked.amount[q] = UNIT, units
    elif notional == notional:
        desk.asked.unit[q], desk.asked.amount[q] = NOTIONAL, notional
    elif equity_frac == equity_frac:
        desk.asked.unit[q], desk.asked.amount[q] = EQUITY_FRAC, equity_frac
    elif cash_frac == cash_frac:
        desk.asked.unit[q], desk.asked.amount[q] = CASH_FRAC, cash_frac


@kernel
def priced_row(desk: Desk, q: int, limit: float, stop: float, tif: int) -> None:
    """Prices, and the type they make."""
    desk.asked.limit[q], desk.asked.stop[q], desk.asked.tif[q] = limit, stop, tif
    if limit == limit:
        desk.asked.order_type[q] = STOP_LIMIT if stop == stop else LIMIT
    elif stop == stop:
        desk.asked.order_type[q] = STOP


@kernel
def legged_row(
    desk: Desk, q: int, stop_loss: float, take_profit: float, trail: float, stop_loss_frac: float,
    take_profit_frac: float, trail_frac: float, exit_after: int,
) -> None:  # fmt: skip
    """Legs: prices, or fractions of the entry's fill price."""
    fractions = 0
    if stop_loss_frac == stop_loss_frac:
        stop_loss, fractions = stop_loss_frac, fractions | STOP_LOSS_FRAC
    if take_profit_frac == take_profit_frac:
        take_profit, fractions = take_profit_frac, fractions | TAKE_PROFIT_FRAC
    if trail_frac == trail_frac:
        trail, fractions = trail_frac, fractions | LEG_TRAIL_FRAC
    desk.asked.stop_loss[q], desk.asked.take_profit[q], desk.asked.leg_trail[q] = stop_loss, take_profit, trail
    desk.asked.fractions[q], desk.asked.exit_after_bars[q] = fractions, exit_after
