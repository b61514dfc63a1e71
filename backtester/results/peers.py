"""The formulas of other libraries where they differ from this project's by more than a constant.

Constants belong to the definition: where a library says 252, these say 252. Versions are those docs/metrics.md names.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np

from backtester.arrays import Float64
from backtester.results import returns as of
from backtester.results import trade_stats
from backtester.results.facts import DAY_US, Facts
from backtester.results.formulas import total
from backtester.results.returns import UndefinedError

YEAR = 252.0
YEAR_DAYS = 365.0
LEAN_NO_LOSS = 10.0


def rate(facts: Facts) -> float:
    """The risk-free return of one of 252 sessions."""
    return float((1.0 + facts.terms.risk_free_frac) ** (1.0 / YEAR) - 1.0)


def yearly(facts: Facts) -> float:
    """The total return as a year's of 252 sessions."""
    return of.compounded(total(facts), power=YEAR / facts.session_equity.size)


def later_returns(facts: Facts) -> Float64:
    """Returns without the first session's, which LEAN and backtesting.py do not have."""
    later = facts.returns[1:]
    if later.size == 0:
        raise UndefinedError("one session, and its return is left out")
    return later


def lean_performance(returns: Float64) -> float:
    """A mean return compounded over a year."""
    return of.compounded(of.mean(returns), power=YEAR)


def lean_sharpe(facts: Facts) -> float:
    """A compounded mean over a deviation of arithmetic returns."""
    returns = later_returns(facts)
    return (lean_performance(returns) - facts.terms.risk_free_frac) / (of.spread(returns) * math.sqrt(YEAR))


def lean_sortino(facts: Facts) -> float:
    """Zero with fewer than two falling sessions, as LEAN has it."""
    returns = later_returns(facts)
    falls = returns[returns < 0.0]
    below = of.volatility(falls) if falls.size > 1 else 0.0
    if below == 0.0:
        return 0.0
    return (lean_performance(returns) - facts.terms.risk_free_frac) / (below * math.sqrt(YEAR))


def lean_beta(facts: Facts) -> float:
    """Beta without the first session."""
    return of.beta(later_returns(facts), facts.market[1:])


def lean_alpha(facts: Facts) -> float:
    """Jensen's alpha of compounded means."""
    own, market = of.paired(later_returns(facts), facts.market[1:])
    free = facts.terms.risk_free_frac
    return lean_performance(own) - (free + lean_beta(facts) * (lean_performance(market) - free))


def lean_compounding(facts: Facts) -> float:
    """The total return as a year's of 365 days."""
    if facts.terms.elapsed_days is None:
        raise UndefinedError("elapsed_days was not given")
    return of.compounded(total(facts), power=YEAR_DAYS / facts.terms.elapsed_days)


def lean_turnover(facts: Facts) -> float:
    """Traded notional over equity, mean over sessions."""
    equity = facts.session_equity
    if equity.size == 0 or not (equity > 0.0).all():
        raise UndefinedError("no session, or equity is zero, below, or not a number at a session's end")
    return of.mean(facts.floats("session_equity", "turnover") / equity)


def bars_per_year(facts: Facts) -> float:
    """Bars a year if bars came day and night."""
    if facts.terms.interval_us is None:
        raise UndefinedError("interval_us was not given")
    return YEAR_DAYS * DAY_US / facts.terms.interval_us


def vectorbt_yearly(facts: Facts) -> float:
    """The total return as a year's of 365 days of bars without a pause."""
    found = of.total_return(facts.bar_equity, facts.terms.capital)
    return of.compounded(found, power=bars_per_year(facts) / facts.bar_equity.size)


def fall_without_start(equity: Float64) -> float:
    """The deepest drawdown where the first equity is the first peak."""
    if equity.size == 0:
        raise UndefinedError("no bar")
    if not equity[0] > 0.0:
        raise UndefinedError("the first equity is zero, below, or not a number")
    return of.deepest(equity, float(equity[0])).depth_frac


def compounding_yearly(facts: Facts) -> float:
    """The geometric mean return as a year's."""
    return of.compounded(trade_stats.geometric_mean(later_returns(facts)), power=YEAR)


def compounding_volatility(facts: Facts) -> float:
    """The deviation of a year of compounded returns, as if independent."""
    returns = later_returns(facts)
    growth = 1.0 + trade_stats.geometric_mean(returns)
    return math.sqrt((of.volatility(returns) ** 2 + growth**2) ** YEAR - growth ** (2.0 * YEAR))


def compounding_sharpe(facts: Facts) -> float:
    """Compounded return over compounded volatility."""
    of.spread(later_returns(facts))  # says why, if they do not vary
    return (compounding_yearly(facts) - facts.terms.risk_free_frac) / compounding_volatility(facts)


def compounding_sortino(facts: Facts) -> float:
    """Compounded return over arithmetic downside."""
    below = of.downside(later_returns(facts)) * math.sqrt(YEAR)
    return (compounding_yearly(facts) - facts.terms.risk_free_frac) / below


def calendar_yearly(facts: Facts) -> float:
    """Growth from the first bar's equity to the last's, by the calendar."""
    at, equity = facts.instants("equity", "known_at"), facts.bar_equity
    if at.size < 2:
        raise UndefinedError(f"{at.size} of at least 2 bars")
    found = of.total_return(equity, float(equity[0]))
    return of.compounded(found, power=365.25 * DAY_US / float(at[-1] - at[0]))


def log_beta(facts: Facts) -> float:
    """Beta of log returns."""
    own, market = of.paired(later_returns(facts), facts.market[1:])
    if (own <= -1.0).any() or (market <= -1.0).any():
        raise UndefinedError("a return of -1 or below has no logarithm")
    return of.beta(np.log(1.0 + own), np.log(1.0 + market))


def session_win_rate(facts: Facts) -> float:
    """Rising sessions among those that moved."""
    moved = facts.returns[facts.returns != 0.0]
    if moved.size == 0:
        raise UndefinedError("equity never moved")
    return trade_stats.won_share(moved)


def ulcer_ddof(facts: Facts) -> float:
    """The Ulcer index with one session less in the divisor."""
    n = facts.session_equity.size
    if n < 2:
        raise UndefinedError(f"{n} of at least 2 sessions")
    return of.ulcer(facts.session_equity, facts.terms.capital) * math.sqrt(n / (n - 1))


def normal_var(facts: Facts) -> float:
    """The 5 % quantile of a normal of the returns' mean and deviation."""
    return of.mean(facts.returns) + NormalDist().inv_cdf(0.05) * of.deviation(facts.returns)


def money_expectancy(facts: Facts) -> float:
    """Trades that gained nothing count as lost, at the mean of those that lost something."""
    pnl = facts.closed.pnl
    won = trade_stats.won_share(pnl)
    gain, loss = (of.mean(part) if part.size else 0.0 for part in (pnl[pnl > 0.0], pnl[pnl < 0.0]))
    return won * gain + (1.0 - won) * loss
