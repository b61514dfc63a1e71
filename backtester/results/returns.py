"""Statistics of a series of session returns and of an equity curve, each by one published formula.

Sums are exactly rounded, so they depend on no order, no thread and no processor. A statistic that has no
value raises UndefinedError with the reason; none returns NaN or an infinity.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from backtester.arrays import Float64

# A return is equity / equity - 1, each rounded at 1: returns that spread less than this do not vary but round.
ROUNDING = 2.0**-50


class UndefinedError(Exception):
    """A statistic has no value here; the message says why, and becomes the note beside the null."""


class Drawdown(NamedTuple):
    """The deepest fall of a curve; points count from 0, and -1 is the starting capital itself.

    The first deepest one if there are several. recovery is the first later point at or above the peak, None if none is.
    """

    depth_frac: float  # 0 or below; below -1 where equity is below zero
    peak: int
    trough: int
    recovery: int | None


def returns_of(equity: Float64, capital: float) -> Float64:
    """equity[i] / equity[i - 1] - 1, the first from the starting capital."""
    if equity.size == 0:
        raise UndefinedError("no session")
    if not np.isfinite(equity).all():
        raise UndefinedError(f"equity is not a number at point {int(np.flatnonzero(~np.isfinite(equity))[0])}")
    before = np.concatenate(([capital], equity[:-1]))
    if (before <= 0.0).any():
        first = int(np.flatnonzero(before <= 0.0)[0]) - 1
        raise UndefinedError(f"equity is zero or below at point {first}, so the next return has no base")
    ratios: Float64 = equity / before - 1.0
    return ratios


def total_return(equity: Float64, capital: float) -> float:
    """Last equity over the starting capital, less 1."""
    if equity.size == 0:
        raise UndefinedError("no session")
    if not math.isfinite(equity[-1]):
        raise UndefinedError("the last equity is not a number")
    return float(equity[-1] / capital - 1.0)


def compounded(total: float, *, power: float) -> float:
    """(1 + total)^power - 1: a year's return where `power` is one over the years; -1 after losing everything."""
    if total < -1.0:
        raise UndefinedError("more than the starting capital is lost, so no yearly return gives it")
    try:
        return float((1.0 + total) ** power - 1.0)
    except OverflowError as error:
        raise UndefinedError("the yearly return is beyond the largest number") from error


def sum_of(values: Float64) -> float:
    """The exactly rounded sum."""
    try:
        found = math.fsum(values)
    except (OverflowError, ValueError) as error:
        raise UndefinedError("a sum is beyond the largest number") from error
    if not math.isfinite(found):
        raise UndefinedError("a sum holds what is not a number, or is beyond the largest")
    return found


def mean(values: Float64) -> float:
    """The arithmetic mean."""
    if values.size == 0:
        raise UndefinedError("no value")
    return sum_of(values) / values.size


def central_moment(values: Float64, order: int) -> float:
    """The mean of (value - mean)^order."""
    centre = mean(values)
    return sum_of((values - centre) ** order) / values.size


def deviation(values: Float64, *, ddof: int = 1) -> float:
    """sqrt(sum of (value - mean)^2 / (n - ddof))."""
    if values.size <= ddof:
        raise UndefinedError(f"{values.size} of at least {ddof + 1} values")
    return math.sqrt(sum_of((values - mean(values)) ** 2) / (values.size - ddof))


def volatility(returns: Float64, *, ddof: int = 1) -> float:
    """The deviation of returns of one period; zero where they are equal but for rounding."""
    found = deviation(returns, ddof=ddof)
    return found if found > ROUNDING else 0.0


def spread(returns: Float64, *, ddof: int = 1) -> float:
    """`volatility`, where zero is no answer because something is divided by it."""
    found = volatility(returns, ddof=ddof)
    if found == 0.0:
        raise UndefinedError("returns do not vary")
    return found


def sharpe(returns: Float64, *, per_year: float, rate: float = 0.0, ddof: int = 1) -> float:
    """mean(r - rate) / deviation(r) x sqrt(per_year), where rate is the risk-free return of one period."""
    return mean(returns - rate) / spread(returns, ddof=ddof) * math.sqrt(per_year)


def downside(returns: Float64, *, rate: float = 0.0) -> float:
    """sqrt(mean of min(r - rate, 0)^2) over all returns, those above `rate` as zero."""
    if returns.size == 0:
        raise UndefinedError("no session")
    below = np.minimum(returns - rate, 0.0)
    found = math.sqrt(sum_of(below**2) / returns.size)
    if found <= ROUNDING:
        raise UndefinedError("no return is below the risk-free rate")
    return found


def sortino(returns: Float64, *, per_year: float, rate: float = 0.0) -> float:
    """mean(r - rate) / downside(r) x sqrt(per_year)."""
    return mean(returns - rate) / downside(returns, rate=rate) * math.sqrt(per_year)


def over_drawdown(yearly: float, depth_frac: float) -> float:
    """A yearly return over the depth of the deepest drawdown."""
    if depth_frac == 0.0:
        raise UndefinedError("no drawdown")
    return yearly / -depth_frac


def drawdowns(equity: Float64, capital: float) -> Float64:
    """equity / highest equity so far - 1 at each point; the starting capital is the first peak."""
    if equity.size and not np.isfinite(equity).all():
        raise UndefinedError(f"equity is not a number at point {int(np.flatnonzero(~np.isfinite(equity))[0])}")
    fractions: Float64 = equity / np.maximum(np.maximum.accumulate(equity), capital) - 1.0
    return fractions


def deepest(equity: Float64, capital: float) -> Drawdown:
    """The deepest drawdown and its points; depth 0 with peak and trough at -1 where equity never fell."""
    if equity.size == 0:
        raise UndefinedError("no session")
    fractions = drawdowns(equity, capital)
    trough = int(np.argmin(fractions))
    if fractions[trough] == 0.0:
        return Drawdown(0.0, -1, -1, None)
    reached = np.flatnonzero(fractions[:trough] == 0.0)
    peak = int(reached[-1]) if reached.size else -1
    level = equity[peak] if peak >= 0 else capital
    later = np.flatnonzero(equity[trough:] >= level)
    return Drawdown(float(fractions[trough]), peak, trough, trough + int(later[0]) if later.size else None)


def ulcer(equity: Float64, capital: float) -> float:
    """sqrt(mean of drawdown^2) over every point."""
    if equity.size == 0:
        raise UndefinedError("no session")
    return math.sqrt(sum_of(drawdowns(equity, capital) ** 2) / equity.size)


def percentile(values: Float64, percent: int) -> float:
    """Linear between order statistics at (n - 1) x percent / 100: Hyndman and Fan's type 7."""
    if values.size == 0:
        raise UndefinedError("no session")
    ordered = np.sort(values)
    below, rest = divmod((values.size - 1) * percent, 100)
    above = min(below + 1, values.size - 1)
    return float(ordered[below] + (ordered[above] - ordered[below]) * (rest / 100.0))


def worst_mean(values: Float64, percent: int) -> float:
    """The mean of the floor((n - 1) x percent / 100) + 1 lowest values: CVaR from the order statistics."""
    if values.size == 0:
        raise UndefinedError("no session")
    return mean(np.sort(values)[: (values.size - 1) * percent // 100 + 1])


def tail_ratio(returns: Float64) -> float:
    """|95th percentile| / |5th percentile|."""
    low = abs(percentile(returns, 5))
    if low == 0.0:
        raise UndefinedError("the 5th percentile is zero")
    return abs(percentile(returns, 95)) / low


def skew(returns: Float64) -> float:
    """Adjusted Fisher-Pearson G1: population skew x sqrt(n (n - 1)) / (n - 2)."""
    n = returns.size
    if n < 3:
        raise UndefinedError(f"{n} of at least 3 values")
    return population_skew(returns) * math.sqrt(n * (n - 1)) / (n - 2)


def population_skew(returns: Float64) -> float:
    """g1 = m3 / m2^1.5."""
    return float(central_moment(returns, 3) / spread(returns, ddof=0) ** 3)


def kurtosis(returns: Float64) -> float:
    """Excess kurtosis G2, unbiased for the normal: (n - 1) / ((n - 2)(n - 3)) x ((n + 1) g2 + 6)."""
    n = returns.size
    if n < 4:
        raise UndefinedError(f"{n} of at least 4 values")
    return (n - 1) / ((n - 2) * (n - 3)) * ((n + 1) * population_kurtosis(returns) + 6.0)


def population_kurtosis(returns: Float64) -> float:
    """g2 = m4 / m2^2 - 3."""
    return float(central_moment(returns, 4) / spread(returns, ddof=0) ** 4 - 3.0)


def paired(returns: Float64, benchmark: Float64) -> tuple[Float64, Float64]:
    """The sessions in which the benchmark has a return (not NaN)."""
    if benchmark.size != returns.size:
        raise UndefinedError(f"the benchmark has {benchmark.size} sessions of {returns.size}")
    known = np.isfinite(benchmark)
    return returns[known], benchmark[known]


def beta(returns: Float64, benchmark: Float64) -> float:
    """cov(r, b) / var(b) over the sessions in which the benchmark has a return."""
    own, market = paired(returns, benchmark)
    if own.size < 2:
        raise UndefinedError(f"{own.size} of at least 2 sessions with a benchmark")
    if volatility(market) == 0.0:
        raise UndefinedError("the benchmark does not vary")
    apart = market - mean(market)
    return sum_of((own - mean(own)) * apart) / sum_of(apart**2)


def alpha(returns: Float64, benchmark: Float64, *, per_year: float, rate: float = 0.0) -> float:
    """(1 + mean(r - rate - beta (b - rate)))^per_year - 1."""
    own, market = paired(returns, benchmark)
    slope = beta(returns, benchmark)
    return compounded(mean(own - rate - slope * (market - rate)), power=per_year)
