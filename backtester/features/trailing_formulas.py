"""The formulas of the historical indicators: a window of bars in, one value a symbol and output out.

A window is `Periods`, [periods, symbols], oldest first, none of them this session's. `used` counts the periods that
took part. A value that nothing took part in is NaN, here and null in the tables.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np

from backtester.arrays import Bool, Float64, Int32
from backtester.features.trailing_bars import WHOLE_BELOW, Periods


class Values(NamedTuple):
    """What a formula says of each symbol."""

    outputs: dict[str, Float64]  # [symbols]; the empty name where there is one output
    used: Int32  # [symbols]


Formula = Callable[[Periods, Mapping[str, float]], Values]


def sums(values: Float64) -> Float64:
    """The sum of each column, no NaN in it, as if added without rounding and rounded once (math.fsum).

    Two doubles hold the sum so far, 106 bits; terms whose bits spread wider than that may round once more. Rows are
    added oldest first, so the same window gives the same bits however the run came to it.
    """
    if bool((values == np.rint(values)).all() and np.abs(values).max(initial=0.0) < WHOLE_BELOW):
        whole: Float64 = values.sum(axis=0)
        return whole
    total = np.zeros(values.shape[1])
    rest = np.zeros(values.shape[1])
    for row in values:
        added = total + row
        behind = added - total
        rest += (total - (added - behind)) + (row - behind)
        total = added
    return total + rest


def mean(values: Float64, present: Bool) -> tuple[Float64, Int32]:
    """The mean of each column over the rows present, and how many those are; NaN for none."""
    count = present.sum(axis=0, dtype=np.int32)
    total = sums(np.where(present, values, 0.0))
    return np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0), count


def avg_volume(window: Periods, _: Mapping[str, float]) -> Values:
    """Mean volume."""
    value, used = mean(window.volume, window.present)
    return Values({"": value}, used)


def avg_range(window: Periods, _: Mapping[str, float]) -> Values:
    """Mean of high - low."""
    value, used = mean(window.high - window.low, window.present)
    return Values({"": value}, used)


def range_ratio(window: Periods, _: Mapping[str, float]) -> Values:
    """The latest period's range over the mean range; NaN without a latest bar, or if no bar has a range."""
    ranges = window.high - window.low
    average, used = mean(ranges, window.present)
    value = np.divide(ranges[-1], average, out=np.full(len(used), np.nan), where=average > 0.0)
    return Values({"": value}, used)


def high_low(window: Periods, _: Mapping[str, float]) -> Values:
    """Highest high and lowest low."""
    high, low = np.fmax.reduce(window.high, axis=0), np.fmin.reduce(window.low, axis=0)
    return Values({"high": high, "low": low}, window.present.sum(axis=0, dtype=np.int32))


def atr(window: Periods, _: Mapping[str, float]) -> Values:
    """Mean true range; the first period gives its close only.

    A period takes part where it and the period before it have bars: a true range needs the close before.
    """
    before, high, low = window.close[:-1], window.high[1:], window.low[1:]
    ranges = np.maximum(high - low, np.maximum(np.abs(high - before), np.abs(low - before)))
    value, used = mean(ranges, ~np.isnan(ranges))
    return Values({"": value}, used)


def moves(window: Periods, params: Mapping[str, float]) -> Values:
    """Moves from a period's close to the next one's open; the first period gives its close only.

    avg_move is signed, in quote currency; moves counts those larger than `threshold` either way. Both in millionths,
    since 0.01 is no double: a move of one cent is not larger than a threshold of one cent.
    """
    before, opens = window.close[:-1], window.open[1:]
    change = opens - before
    millionths = np.rint(change * 1e6)
    present = ~np.isnan(change)
    average, used = mean(change, present)
    known = used > 0

    def count(which: Bool) -> Float64:
        return np.where(known, which.sum(axis=0), np.nan)

    has_base = present & (before > 0.0)
    fractions, _ = mean(np.divide(change, before, out=np.zeros_like(change), where=has_base), has_base)
    outputs = {
        "avg_move": average,
        "avg_move_frac": fractions,
        "moves": count(np.abs(millionths) > np.rint(params["threshold"] * 1e6)),
        "up_moves": count(millionths > 0.0),
        "down_moves": count(millionths < 0.0),
    }
    return Values(outputs, used)


FORMULAS: dict[str, Formula] = {
    "avg_volume": avg_volume,
    "avg_range": avg_range,
    "atr_daily": atr,
    "gap_stats": moves,
    "range_ratio": range_ratio,
    "high_low": high_low,
}
