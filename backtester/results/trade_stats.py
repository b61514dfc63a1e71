"""Statistics of trades and fills: wins and losses, streaks, and the profit that flags and assumptions touch."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from backtester.arrays import Bool, Float64, Int64
from backtester.results.returns import UndefinedError, deviation, mean, sum_of


class Trades(NamedTuple):
    """Trades in the order they ended, then by id; `pnl` in quote currency after costs, `return_frac` of one trade."""

    pnl: Float64
    return_frac: Float64
    bars_held: Float64


class Fills(NamedTuple):
    """Fills, one row each; prices in quote currency, `side` +1 or -1."""

    side: Float64
    quantity: Float64
    price: Float64
    worst_price: Float64
    best_price: Float64
    ambiguous: Bool


class Stay(NamedTuple):
    """When something happened to which symbol: `until` equals `since` for a fill, and is the far future while open."""

    symbol: Int64  # codes shared between fills and trades
    since: Int64
    until: Int64


def won_share(pnl: Float64, *, zero_wins: bool = False) -> float:
    """The share of values above zero (at or above, with `zero_wins`) in all of them."""
    if pnl.size == 0:
        raise UndefinedError("no closed trade")
    return int(np.count_nonzero(pnl >= 0.0 if zero_wins else pnl > 0.0)) / pnl.size


def profit_factor(pnl: Float64, *, no_loss: float | None = None) -> float:
    """Sum of gains over sum of losses; `no_loss` where nothing was lost but something gained."""
    if pnl.size == 0:
        raise UndefinedError("no closed trade")
    gained, lost = sum_of(pnl[pnl > 0.0]), -sum_of(pnl[pnl < 0.0])
    if lost == 0.0:
        if no_loss is None or gained == 0.0:
            raise UndefinedError("nothing was lost, so there is nothing to divide by")
        return no_loss
    return gained / lost


def average(values: Float64, what: str) -> float:
    """The mean; `what` names the values where there is none."""
    if values.size == 0:
        raise UndefinedError(f"no {what}")
    return mean(values)


def extreme(values: Float64, *, best: bool) -> float:
    """The highest or the lowest."""
    if values.size == 0:
        raise UndefinedError("no closed trade")
    return float(values.max() if best else values.min())


def sqn(pnl: Float64, *, ddof: int = 1) -> float:
    """sqrt(n) x mean / deviation: the system quality number."""
    if pnl.size == 0:
        raise UndefinedError("no closed trade")
    if pnl.size <= ddof:
        raise UndefinedError(f"{pnl.size} of at least {ddof + 1} closed trades")
    if (pnl == pnl[0]).all():
        raise UndefinedError("the trades' results do not vary")
    return math.sqrt(pnl.size) * mean(pnl) / deviation(pnl, ddof=ddof)


def lean_expectancy(pnl: Float64, capital: float) -> float:
    """win rate x (average win / |average loss|) - loss rate, each trade over the capital it began with.

    A trade that gained nothing is lost; the ratio is zero where nothing was lost.
    """
    won = won_share(pnl)
    before = capital + np.concatenate(([0.0], np.cumsum(pnl)[:-1]))
    if (before <= 0.0).any():
        raise UndefinedError("the trades lost all capital")
    fractions = pnl / before
    gains, losses = fractions[pnl > 0.0], fractions[pnl <= 0.0]
    lost = -mean(losses) if losses.size else 0.0
    ratio = mean(gains) / lost if gains.size and lost > 0.0 else 0.0
    return won * ratio - (1.0 - won)


def geometric_mean(return_frac: Float64) -> float:
    """exp(mean(log(1 + r))) - 1; zero where a return loses everything, as backtesting.py has it."""
    if return_frac.size == 0:
        raise UndefinedError("no closed trade")
    if (return_frac <= -1.0).any():
        return 0.0
    return math.exp(mean(np.log(1.0 + return_frac))) - 1.0


def longest_streak(holds: Bool) -> int:
    """The longest run of true values."""
    longest = current = 0
    for held in holds.tolist():
        current = current + 1 if held else 0
        longest = max(longest, current)
    return longest


def touched(trades: Stay, fills: Stay) -> Bool:
    """Per trade: does one of the fills lie in it, that is, have its symbol and an instant in [since, until]?

    A fill that closes one trade and opens the next lies in both.
    """
    found = np.zeros(trades.symbol.size, dtype=np.bool_)
    for symbol in np.unique(fills.symbol):
        rows = np.flatnonzero(trades.symbol == symbol)
        instants = np.sort(fills.since[fills.symbol == symbol])
        first = np.searchsorted(instants, trades.since[rows], side="left")
        beyond = np.searchsorted(instants, trades.until[rows], side="right")
        found[rows] = beyond > first
    return found


def absolute_share(pnl: Float64, chosen: Bool) -> float:
    """Sum of |pnl| over the chosen trades in that over all: 0 to 1, gains and losses alike."""
    if pnl.size == 0:
        raise UndefinedError("no trade")
    whole = sum_of(np.abs(pnl))
    if whole == 0.0:
        raise UndefinedError("no trade gained or lost anything")
    return sum_of(np.abs(pnl[chosen])) / whole


def moved_pnl(fills: Fills, prices: Float64) -> float:
    """What the P&L changes by if every ambiguous fill had been at its price in `prices`, all else as it was."""
    moved = -fills.side * fills.quantity * (prices - fills.price)
    return sum_of(moved[fills.ambiguous])
