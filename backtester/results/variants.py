"""Metrics as other libraries define them, by id: `sharpe@lean` is LEAN's Sharpe ratio."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from backtester.results import peers, trade_stats
from backtester.results import returns as of
from backtester.results.facts import Facts, Metric
from backtester.results.formulas import gross


def _family(library: str, rows: list[tuple[str, str, str, Callable[[Facts], float]]]) -> list[Metric]:
    """One library's definitions: metric, unit, formula, how to compute it."""
    return [Metric(f"{metric}@{library}", unit, formula, compute, library) for metric, unit, formula, compute in rows]


def _daily(library: str) -> list[Metric]:
    """The default formulas with 252 sessions a year."""
    return _family(
        library,
        [
            (
                "sharpe",
                "ratio",
                "mean(r - rate) / deviation(r, ddof 1) x sqrt(252)",
                lambda f: of.sharpe(f.returns, per_year=peers.YEAR, rate=peers.rate(f)),
            ),
            (
                "sortino",
                "ratio",
                "mean(r - rate) / sqrt(mean(min(r - rate, 0)^2)) x sqrt(252)",
                lambda f: of.sortino(f.returns, per_year=peers.YEAR, rate=peers.rate(f)),
            ),
            ("annualised_return", "frac", "(1 + total_return)^(252 / sessions) - 1", peers.yearly),
            (
                "volatility",
                "frac",
                "deviation(r, ddof 1) x sqrt(252)",
                lambda f: of.volatility(f.returns) * math.sqrt(peers.YEAR),
            ),
        ],
    )


EMPYRICAL = [
    *_daily("empyrical"),
    *_family(
        "empyrical",
        [
            (
                "calmar",
                "ratio",
                "annualised_return@empyrical / abs(max_drawdown)",
                lambda f: of.over_drawdown(peers.yearly(f), f.session_fall.depth_frac),
            ),
            (
                "alpha",
                "frac",
                "(1 + mean(r - rate - beta (b - rate)))^252 - 1",
                lambda f: of.alpha(f.returns, f.market, per_year=peers.YEAR, rate=peers.rate(f)),
            ),
        ],
    ),
]

QUANTSTATS = [
    *_daily("quantstats"),
    *_family(
        "quantstats",
        [
            ("win_rate", "frac", "sessions with r > 0 / sessions with r != 0", peers.session_win_rate),
            (
                "profit_factor",
                "ratio",
                "sum of r > 0 / abs(sum of r < 0) over sessions",
                lambda f: trade_stats.profit_factor(f.returns),
            ),
            (
                "exposure",
                "frac",
                "sessions with r != 0 / sessions, rounded up to 0.01",
                lambda f: math.ceil(int(np.count_nonzero(f.returns)) / f.returns.size * 100.0) / 100.0,
            ),
            ("ulcer", "frac", "sqrt(sum(drawdown^2) / (sessions - 1))", peers.ulcer_ddof),
            ("var_95", "frac", "mean(r) + z(0.05) x deviation(r, ddof 1), z of the normal", peers.normal_var),
        ],
    ),
]

SCIPY = _family(
    "scipy",
    [
        ("skew", "ratio", "g1 = m3 / m2^1.5", lambda f: of.population_skew(f.returns)),
        ("kurtosis", "ratio", "excess, g2 = m4 / m2^2 - 3", lambda f: of.population_kurtosis(f.returns)),
    ],
)

LEAN = _family(
    "lean",
    [
        (
            "sharpe",
            "ratio",
            "((1 + mean(r))^252 - 1 - risk_free) / (deviation(r, ddof 1) x sqrt(252)), first session left out",
            peers.lean_sharpe,
        ),
        (
            "sortino",
            "ratio",
            "as sharpe@lean with deviation(r < 0, ddof 1), over falling sessions alone; 0 where that is 0",
            peers.lean_sortino,
        ),
        ("annualised_return", "frac", "(1 + total_return)^(365 / elapsed_days) - 1", peers.lean_compounding),
        (
            "volatility",
            "frac",
            "deviation(r, ddof 1) x sqrt(252), first session left out",
            lambda f: of.volatility(peers.later_returns(f)) * math.sqrt(peers.YEAR),
        ),
        ("max_drawdown", "frac", "-max_drawdown_bars, three decimals", lambda f: -round(f.bar_fall.depth_frac, 3)),
        ("beta", "ratio", "cov(r, b) / var(b), first session left out", peers.lean_beta),
        (
            "alpha",
            "frac",
            "R - (risk_free + beta@lean (B - risk_free)), R and B (1 + mean)^252 - 1, first session left out",
            peers.lean_alpha,
        ),
        ("turnover", "frac", "mean(traded notional / equity at the session's end) over sessions", peers.lean_turnover),
        (
            "profit_factor",
            "ratio",
            "sum of pnl > 0 / abs(sum of pnl < 0); 10 without a loss",
            lambda f: trade_stats.profit_factor(f.closed.pnl, no_loss=peers.LEAN_NO_LOSS),
        ),
        (
            "expectancy",
            "ratio",
            "win rate x mean win / abs(mean loss) - loss rate, trades over the capital before them; pnl 0 is a loss",
            lambda f: trade_stats.lean_expectancy(f.closed.pnl, f.terms.capital),
        ),
    ],
)

VECTORBT = _family(
    "vectorbt",
    [
        (
            "sharpe",
            "ratio",
            "mean(x) / deviation(x, ddof 1) x sqrt(365 days / interval), x bar returns",
            lambda f: of.sharpe(f.bar_returns, per_year=peers.bars_per_year(f)),
        ),
        (
            "sortino",
            "ratio",
            "mean(x) / sqrt(mean(min(x, 0)^2)) x sqrt(365 days / interval), x bar returns",
            lambda f: of.sortino(f.bar_returns, per_year=peers.bars_per_year(f)),
        ),
        ("annualised_return", "frac", "(1 + total return)^(365 days / interval / bars) - 1", peers.vectorbt_yearly),
        (
            "volatility",
            "frac",
            "deviation(x, ddof 1) x sqrt(365 days / interval), x bar returns",
            lambda f: of.volatility(f.bar_returns) * math.sqrt(peers.bars_per_year(f)),
        ),
        (
            "max_drawdown",
            "frac",
            "min(equity / peak - 1) bar by bar; the first equity is the first peak",
            lambda f: peers.fall_without_start(f.bar_equity),
        ),
        (
            "calmar",
            "ratio",
            "annualised_return@vectorbt / abs(max_drawdown@vectorbt)",
            lambda f: of.over_drawdown(peers.vectorbt_yearly(f), peers.fall_without_start(f.bar_equity)),
        ),
        ("exposure", "frac", "max(gross exposure / equity) over bars", lambda f: float(gross(f).max())),
        ("expectancy", "quote", "win rate x mean win - (1 - win rate) x abs(mean loss)", peers.money_expectancy),
    ],
)

BACKTESTING = _family(
    "backtesting.py",
    [
        (
            "annualised_return",
            "frac",
            "exp(mean(log(1 + r)))^252 - 1, first session left out",
            peers.compounding_yearly,
        ),
        (
            "cagr",
            "frac",
            "(last / first equity of the bars)^(365.25 / days between them) - 1",
            peers.calendar_yearly,
        ),
        (
            "volatility",
            "frac",
            "sqrt((var(r) + g^2)^252 - g^504), g = exp(mean(log(1 + r))), first session left out",
            peers.compounding_volatility,
        ),
        (
            "sharpe",
            "ratio",
            "(annualised_return - risk_free) / volatility, both @backtesting.py",
            peers.compounding_sharpe,
        ),
        (
            "sortino",
            "ratio",
            "(annualised_return@backtesting.py - risk_free) / (sqrt(mean(min(r, 0)^2)) x sqrt(252))",
            peers.compounding_sortino,
        ),
        (
            "max_drawdown",
            "frac",
            "min(equity / peak - 1) bar by bar; the first equity is the first peak",
            lambda f: peers.fall_without_start(f.bar_equity),
        ),
        (
            "calmar",
            "ratio",
            "annualised_return / abs(max_drawdown), both @backtesting.py",
            lambda f: of.over_drawdown(peers.compounding_yearly(f), peers.fall_without_start(f.bar_equity)),
        ),
        ("beta", "ratio", "cov / var of log returns, first session left out", peers.log_beta),
        (
            "profit_factor",
            "ratio",
            "sum of return_frac > 0 / abs(sum of return_frac < 0)",
            lambda f: trade_stats.profit_factor(f.closed.return_frac),
        ),
        (
            "expectancy",
            "frac",
            "mean(return_frac)",
            lambda f: trade_stats.average(f.closed.return_frac, "closed trade"),
        ),
        (
            "average_trade",
            "frac",
            "exp(mean(log(1 + return_frac))) - 1",
            lambda f: trade_stats.geometric_mean(f.closed.return_frac),
        ),
    ],
)

BACKTRADER = _family(
    "backtrader",
    [
        (
            "sharpe",
            "ratio",
            "mean(r - q) / deviation(r, ddof 0) x sqrt(252), q = 1.01^(1 / 252) - 1",
            lambda f: of.sharpe(f.returns, per_year=peers.YEAR, rate=1.01 ** (1.0 / peers.YEAR) - 1.0, ddof=0),
        ),
        (
            "win_rate",
            "frac",
            "trades with pnl >= 0 / trades",
            lambda f: trade_stats.won_share(f.closed.pnl, zero_wins=True),
        ),
        (
            "sqn",
            "ratio",
            "sqrt(trades) x mean(pnl) / deviation(pnl, ddof 0)",
            lambda f: trade_stats.sqn(f.closed.pnl, ddof=0),
        ),
    ],
)

PYBROKER = _family(
    "pybroker",
    [
        (
            "sharpe",
            "ratio",
            "mean(x) / deviation(x, ddof 0), x bar returns, not annualised",
            lambda f: of.sharpe(f.bar_returns, per_year=1.0, ddof=0),
        ),
    ],
)

VARIANTS = [*EMPYRICAL, *QUANTSTATS, *SCIPY, *LEAN, *VECTORBT, *BACKTESTING, *BACKTRADER, *PYBROKER]
