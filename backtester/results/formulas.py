"""The metrics themselves, by their default definitions: from sessions, from bars, from trades, from fills.

In the formulas r is a session's return, rate the risk-free return of a session, b the benchmark's return.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Literal

import numpy as np

from backtester.arrays import Bool, Float64
from backtester.results import returns as of
from backtester.results import trade_stats
from backtester.results.facts import Facts, Metric, Moment
from backtester.results.returns import Drawdown, UndefinedError

Clock = Literal["session", "bar"]


def total(facts: Facts) -> float:
    """The run's total return."""
    return of.total_return(facts.session_equity, facts.terms.capital)


def annualised(facts: Facts) -> float:
    """The total return as a year's."""
    return of.compounded(total(facts), power=year(facts) / facts.session_equity.size)


def year(facts: Facts) -> float:
    """Sessions a year."""
    return facts.terms.sessions_per_year


def exposure(facts: Facts) -> float:
    """The share of bars with an open position."""
    held = facts.floats("equity", "open_positions")
    if held.size == 0:
        raise UndefinedError("no bar")
    return int(np.count_nonzero(held > 0)) / held.size


def gross(facts: Facts) -> Float64:
    """Gross exposure over equity, per bar."""
    equity = facts.bar_equity
    if equity.size == 0:
        raise UndefinedError("no bar")
    if not (equity > 0.0).all():
        raise UndefinedError("equity is zero, below, or not a number at some bar")
    fractions: Float64 = facts.floats("equity", "gross_exposure") / equity
    return fractions


def _end_equity(facts: Facts) -> float:
    total(facts)  # says why, if there is none
    return float(facts.session_equity[-1])


def _turnover(facts: Facts) -> float:
    held = trade_stats.average(facts.session_equity, "session")
    if not held > 0.0:
        raise UndefinedError("mean equity is zero, below, or not a number")
    traded = of.sum_of(facts.floats("session_equity", "turnover"))
    return traded / held * (year(facts) / facts.session_equity.size)


def _fall(facts: Facts, clock: Clock) -> Drawdown:
    return facts.session_fall if clock == "session" else facts.bar_fall


def _true_fall(facts: Facts, clock: Clock) -> Drawdown:
    fall = _fall(facts, clock)
    if fall.depth_frac == 0.0:
        raise UndefinedError("no drawdown")
    return fall


def _fall_at(facts: Facts, clock: Clock, point: str) -> Moment:
    at: int | None = getattr(_true_fall(facts, clock), point)
    if at is None:
        raise UndefinedError("not recovered by the end")
    if at < 0:
        raise UndefinedError("the peak is the starting capital, before the first bar")
    column = ("session_equity", "session") if clock == "session" else ("equity", "known_at")
    return Moment(int(facts.instants(*column)[at]))


def _fall_length(facts: Facts, clock: Clock) -> float:
    fall = _true_fall(facts, clock)
    points = (facts.session_equity if clock == "session" else facts.bar_equity).size
    return float((points - 1 if fall.recovery is None else fall.recovery) - fall.peak)


def _closed_flags(facts: Facts, *, won: bool) -> Bool:
    flags: Bool = facts.closed.pnl > 0.0 if won else facts.closed.pnl < 0.0
    return flags


def _part(facts: Facts, *, won: bool) -> Float64:
    return facts.closed.pnl[_closed_flags(facts, won=won)]


def _base(facts: Facts) -> float:
    return _end_equity(facts) - facts.terms.capital


def _moved(facts: Facts, bound: str) -> float:
    return trade_stats.moved_pnl(facts.fills, getattr(facts.fills, bound))


def _band(facts: Facts) -> float:
    return _moved(facts, "best_price") - _moved(facts, "worst_price")


def _assumed(facts: Facts) -> float:
    base = _base(facts)
    if base == 0.0:
        raise UndefinedError("the run gained or lost nothing")
    return _band(facts) / abs(base)


def _flagged_pnl(facts: Facts, flags: tuple[str, ...]) -> float:
    return of.sum_of(facts.trade_pnl[facts.flagged(*flags)])


def _flagged_share(facts: Facts, flags: tuple[str, ...]) -> float:
    return trade_stats.absolute_share(facts.trade_pnl, facts.flagged(*flags))


def _costs(facts: Facts, column: str) -> float:
    return of.sum_of(facts.floats("session_equity", column))


def _drawdown_metrics(clock: Clock) -> list[Metric]:
    """The deepest drawdown on one clock: its depth, its points, its length."""
    name, unit = ("max_drawdown", "session") if clock == "session" else ("max_drawdown_bars", "instant")
    curve = "at session ends" if clock == "session" else "bar by bar, at mark"
    depth = f"min(equity / peak - 1) {curve}; the starting capital is the first peak"
    last = "the latest point at the peak before the trough"
    back = "the first point after the trough at or above the peak"
    return [
        Metric(name, "frac", depth, lambda f: _fall(f, clock).depth_frac, "empyrical"),
        Metric(f"{name}_peak", unit, last, lambda f: _fall_at(f, clock, "peak")),
        Metric(f"{name}_trough", unit, "the first deepest point", lambda f: _fall_at(f, clock, "trough")),
        Metric(f"{name}_recovery", unit, back, lambda f: _fall_at(f, clock, "recovery")),
        Metric(f"{name}_length", f"{clock}s", "from peak to recovery, or to the end", lambda f: _fall_length(f, clock)),
    ]


def _tail_metrics(percent: int) -> list[Metric]:
    """VaR and CVaR at one level, both returns of a session and so negative where money is lost."""
    linear = f"percentile(r, {percent}): linear between order statistics at (n - 1) x {percent} / 100 (type 7)"
    lowest = f"mean of the floor((n - 1) x {percent} / 100) + 1 lowest r"
    return [
        Metric(
            f"var_{100 - percent}",
            "frac",
            linear,
            lambda f: of.percentile(f.returns, percent),
            "Hyndman and Fan 1996; empyrical",
        ),
        Metric(f"cvar_{100 - percent}", "frac", lowest, lambda f: of.worst_mean(f.returns, percent), "empyrical"),
    ]


def _flag_metrics(name: str, flags: tuple[str, ...]) -> list[Metric]:
    """P&L of the trades that a flagged fill touched, and their share."""
    words = f"trades, open ones at mark, with a fill that is {' or '.join(flags).replace('_', ' ')}"
    share = f"sum of abs(pnl) of {words} / sum of abs(pnl) of all trades"
    return [
        Metric(f"pnl_{name}", "quote", f"sum of pnl of {words}", partial(_flagged_pnl, flags=flags)),
        Metric(f"pnl_share_{name}", "frac", share, partial(_flagged_share, flags=flags)),
    ]


TERMS = [
    Metric("capital", "quote", "the starting capital, as configured", lambda f: f.terms.capital),
    Metric("sessions_per_year", "sessions", "sessions a year of the exchange's calendar", year),
    Metric("risk_free", "frac", "a year's risk-free return, as configured", lambda f: f.terms.risk_free_frac),
]

RETURNS = [
    Metric("sessions", "sessions", "number of sessions", lambda f: f.session_equity.size),
    Metric("end_equity", "quote", "equity at the last session's end", _end_equity),
    Metric("total_return", "frac", "end_equity / capital - 1", total, "empyrical"),
    Metric(
        "annualised_return",
        "frac",
        "(1 + total_return)^(sessions_per_year / sessions) - 1",
        annualised,
        "empyrical",
    ),
    Metric(
        "volatility",
        "frac",
        "deviation(r, ddof 1) x sqrt(sessions_per_year)",
        lambda f: of.volatility(f.returns) * math.sqrt(year(f)),
        "empyrical",
    ),
    Metric(
        "sharpe",
        "ratio",
        "mean(r - rate) / deviation(r, ddof 1) x sqrt(sessions_per_year)",
        lambda f: of.sharpe(f.returns, per_year=year(f), rate=f.terms.rate),
        "Sharpe 1994; empyrical",
    ),
    Metric(
        "sortino",
        "ratio",
        "mean(r - rate) / sqrt(mean(min(r - rate, 0)^2)) x sqrt(sessions_per_year)",
        lambda f: of.sortino(f.returns, per_year=year(f), rate=f.terms.rate),
        "Sortino and Price 1994; empyrical",
    ),
    Metric(
        "calmar",
        "ratio",
        "annualised_return / abs(max_drawdown)",
        lambda f: of.over_drawdown(annualised(f), f.session_fall.depth_frac),
        "Young 1991, over the whole run; empyrical",
    ),
    *_drawdown_metrics("session"),
    *_drawdown_metrics("bar"),
    Metric(
        "ulcer",
        "frac",
        "sqrt(mean(drawdown^2)) over session ends",
        lambda f: of.ulcer(f.session_equity, f.terms.capital),
        "Martin and McCann 1989",
    ),
    *_tail_metrics(5),
    *_tail_metrics(1),
    Metric(
        "tail_ratio",
        "ratio",
        "abs(percentile(r, 95)) / abs(percentile(r, 5))",
        lambda f: of.tail_ratio(f.returns),
        "empyrical",
    ),
    Metric(
        "skew",
        "ratio",
        "G1 = m3 / m2^1.5 x sqrt(n (n - 1)) / (n - 2)",
        lambda f: of.skew(f.returns),
        "Joanes and Gill 1998; pandas",
    ),
    Metric(
        "kurtosis",
        "ratio",
        "excess, G2 = (n - 1) / ((n - 2) (n - 3)) x ((n + 1) (m4 / m2^2 - 3) + 6)",
        lambda f: of.kurtosis(f.returns),
        "Joanes and Gill 1998; pandas",
    ),
    Metric("beta", "ratio", "cov(r, b) / var(b)", lambda f: of.beta(f.returns, f.market), "empyrical"),
    Metric(
        "alpha",
        "frac",
        "(1 + mean(r - rate - beta (b - rate)))^sessions_per_year - 1",
        lambda f: of.alpha(f.returns, f.market, per_year=year(f), rate=f.terms.rate),
        "Jensen 1968; empyrical",
    ),
]

ACTIVITY = [
    Metric("exposure", "frac", "bars with an open position / bars", exposure),
    Metric("gross_exposure", "frac", "mean(gross exposure / equity) over bars", lambda f: of.mean(gross(f))),
    Metric(
        "turnover",
        "per year",
        "traded notional, both ways / mean equity at session ends x sessions_per_year / sessions",
        _turnover,
    ),
    Metric("traded", "quote", "traded notional, both ways", lambda f: _costs(f, "turnover")),
    Metric("fees", "quote", "commissions and fees", lambda f: _costs(f, "fees")),
]

TRADES = [
    Metric("trades", "trades", "trades that ended, flat to flat", lambda f: f.closed_trades),
    Metric("open_trades", "trades", "trades still open at the end", lambda f: f.open_trades),
    Metric("win_rate", "frac", "trades with pnl > 0 / trades", lambda f: trade_stats.won_share(f.closed.pnl)),
    Metric(
        "profit_factor",
        "ratio",
        "sum of pnl > 0 / abs(sum of pnl < 0)",
        lambda f: trade_stats.profit_factor(f.closed.pnl),
    ),
    Metric("expectancy", "quote", "mean(pnl)", lambda f: trade_stats.average(f.closed.pnl, "closed trade")),
    Metric(
        "average_trade",
        "frac",
        "mean(return_frac)",
        lambda f: trade_stats.average(f.closed.return_frac, "closed trade"),
    ),
    Metric(
        "average_win",
        "quote",
        "mean(pnl) of trades with pnl > 0",
        lambda f: trade_stats.average(_part(f, won=True), "winning trade"),
    ),
    Metric(
        "average_loss",
        "quote",
        "mean(pnl) of trades with pnl < 0",
        lambda f: trade_stats.average(_part(f, won=False), "losing trade"),
    ),
    Metric("best_trade", "quote", "max(pnl)", lambda f: trade_stats.extreme(f.closed.pnl, best=True)),
    Metric("worst_trade", "quote", "min(pnl)", lambda f: trade_stats.extreme(f.closed.pnl, best=False)),
    Metric(
        "sqn",
        "ratio",
        "sqrt(trades) x mean(pnl) / deviation(pnl, ddof 1)",
        lambda f: trade_stats.sqn(f.closed.pnl),
        "Tharp 2008",
    ),
    Metric(
        "longest_wins",
        "trades",
        "longest run of pnl > 0, by exit",
        lambda f: trade_stats.longest_streak(_closed_flags(f, won=True)),
    ),
    Metric(
        "longest_losses",
        "trades",
        "longest run of pnl < 0, by exit",
        lambda f: trade_stats.longest_streak(_closed_flags(f, won=False)),
    ),
    Metric(
        "average_bars_held",
        "bars",
        "mean(bars_held)",
        lambda f: trade_stats.average(f.closed.bars_held, "closed trade"),
    ),
]

QUALITY = [
    Metric("pnl", "quote", "end_equity - capital", _base),
    Metric(
        "pnl_worst",
        "quote",
        "pnl - sum of side x quantity x (worst_price - price) over ambiguous fills",
        lambda f: _base(f) + _moved(f, "worst_price"),
    ),
    Metric(
        "pnl_best",
        "quote",
        "pnl - sum of side x quantity x (best_price - price) over ambiguous fills",
        lambda f: _base(f) + _moved(f, "best_price"),
    ),
    Metric("ambiguous_fills", "fills", "fills a bar does not decide", lambda f: int(f.fills.ambiguous.sum())),
    Metric(
        "pnl_share_assumed", "ratio", "(pnl_best - pnl_worst) / abs(pnl); above 1 where the band is wider", _assumed
    ),
    *_flag_metrics("ambiguous", ("ambiguous",)),
    *_flag_metrics("gap_adjacent", ("gap_adjacent",)),
    *_flag_metrics("stale", ("stale",)),
    *_flag_metrics("defective", ("defective",)),
    *_flag_metrics("flagged", ("gap_adjacent", "stale", "defective")),
]

DEFAULTS = [*TERMS, *RETURNS, *ACTIVITY, *TRADES, *QUALITY]
