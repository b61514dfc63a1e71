"""Writes tests/golden/peer_metrics.json: what other libraries compute on the made-up runs of tests/curves.py.

    python -m venv peers && peers/bin/pip install empyrical-reloaded quantstats vectorbt backtesting
    peers/bin/python scripts/build_peer_metrics.py

None of them is a dependency: the tests read the file.
"""

from __future__ import annotations

import json
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
warnings.simplefilter("ignore")

import empyrical as ep  # noqa: E402
import numpy as np  # noqa: E402
import pandas as pd  # noqa: E402
import quantstats as qs  # noqa: E402
import vectorbt as vbt  # noqa: E402, F401 (registers the accessor)
from backtesting._stats import compute_stats  # noqa: E402

from tests import curves  # noqa: E402

LIBRARIES = ("empyrical-reloaded", "quantstats", "vectorbt", "backtesting")
CASES = {"sixty sessions": (60, 7), "a year": (252, 3), "five sessions": (5, 11), "fallen from the start": (4, 7)}


def returns_of(rows: list[dict[str, Any]], column: str) -> pd.Series:
    """Returns from the starting capital on."""
    equity = np.array([curves.CAPITAL, *(row["equity"] for row in rows)])
    index = pd.DatetimeIndex([pd.Timestamp(row[column]) for row in rows])
    return pd.Series(equity[1:] / equity[:-1] - 1.0, index=index)


def by_empyrical(returns: pd.Series, benchmark: pd.Series) -> dict[str, float]:
    """empyrical's numbers on session returns."""
    alpha, beta = ep.alpha_beta_aligned(returns.to_numpy(), benchmark.to_numpy())
    return {
        "total_return": ep.cum_returns_final(returns),
        "annualised_return@empyrical": ep.annual_return(returns),
        "volatility@empyrical": ep.annual_volatility(returns),
        "sharpe@empyrical": ep.sharpe_ratio(returns),
        "sortino@empyrical": ep.sortino_ratio(returns),
        "calmar@empyrical": ep.calmar_ratio(returns),
        "max_drawdown": ep.max_drawdown(returns),
        "var_95": ep.value_at_risk(returns, 0.05),
        "var_99": ep.value_at_risk(returns, 0.01),
        "cvar_95": ep.conditional_value_at_risk(returns, 0.05),
        "cvar_99": ep.conditional_value_at_risk(returns, 0.01),
        "tail_ratio": ep.tail_ratio(returns),
        "alpha@empyrical": alpha,
        "beta": beta,
    }


def by_quantstats(returns: pd.Series) -> dict[str, float]:
    """quantstats' numbers on session returns."""
    stats = qs.stats
    return {
        "sharpe@quantstats": stats.sharpe(returns),
        "sortino@quantstats": stats.sortino(returns),
        "annualised_return@quantstats": stats.cagr(returns),
        "volatility@quantstats": stats.volatility(returns),
        "win_rate@quantstats": stats.win_rate(returns),
        "profit_factor@quantstats": stats.profit_factor(returns),
        "exposure@quantstats": stats.exposure(returns),
        "ulcer@quantstats": stats.ulcer_index(returns),
        "var_95@quantstats": stats.value_at_risk(returns),
        "skew": stats.skew(returns),
        "kurtosis": stats.kurtosis(returns),
    }


def by_vectorbt(bar_returns: pd.Series) -> dict[str, float]:
    """vectorbt's numbers on bar returns, with its default year of 365 days."""
    found = bar_returns.vbt.returns(freq="15min")
    return {
        "sharpe@vectorbt": found.sharpe_ratio(),
        "sortino@vectorbt": found.sortino_ratio(),
        "annualised_return@vectorbt": found.annualized(),
        "volatility@vectorbt": found.annualized_volatility(),
        "max_drawdown@vectorbt": found.max_drawdown(),
        "calmar@vectorbt": found.calmar_ratio(),
    }


def by_backtesting(rows: dict[str, list[dict[str, Any]]], benchmark: pd.Series) -> dict[str, float]:
    """backtesting.py's numbers on bar equity and closed trades; beta on session equity."""
    closed = [trade for trade in rows["trades"] if not trade["is_open"]]
    trades = pd.DataFrame(
        {
            "EntryBar": [0] * len(closed),
            "ExitBar": [0] * len(closed),
            "PnL": [trade["pnl"] for trade in closed],
            "ReturnPct": [trade["return_frac"] for trade in closed],
            "Duration": pd.to_timedelta([trade["bars_held"] * 15 for trade in closed], unit="min"),
        }
    )

    def stats(table: str, column: str, close: np.ndarray) -> pd.Series:
        index = pd.DatetimeIndex([pd.Timestamp(row[column]).tz_localize(None) for row in rows[table]])
        equity = np.array([row["equity"] for row in rows[table]])
        return compute_stats(trades, equity, pd.DataFrame({"Close": close}, index=index), None)

    bars = stats("equity", "at", np.ones(len(rows["equity"])))
    sessions = stats("session_equity", "session", 100.0 * np.cumprod(1.0 + benchmark.to_numpy()))
    return {
        "annualised_return@backtesting.py": bars["Return (Ann.) [%]"] / 100.0,
        "cagr@backtesting.py": bars["CAGR [%]"] / 100.0,
        "volatility@backtesting.py": bars["Volatility (Ann.) [%]"] / 100.0,
        "sharpe@backtesting.py": bars["Sharpe Ratio"],
        "sortino@backtesting.py": bars["Sortino Ratio"],
        "calmar@backtesting.py": bars["Calmar Ratio"],
        "max_drawdown@backtesting.py": bars["Max. Drawdown [%]"] / 100.0,
        "win_rate": bars["Win Rate [%]"] / 100.0,
        "profit_factor@backtesting.py": bars["Profit Factor"],
        "expectancy@backtesting.py": bars["Expectancy [%]"] / 100.0,
        "average_trade@backtesting.py": bars["Avg. Trade [%]"] / 100.0,
        "sqn": bars["SQN"],
        "beta@backtesting.py": sessions["Beta"],
    }


def build() -> dict[str, Any]:
    """Every case, every library."""
    found: dict[str, Any] = {"versions": {name: version(name) for name in LIBRARIES}, "cases": {}}
    for name, (sessions, seed) in CASES.items():
        rows = curves.result_rows(sessions, seed)
        returns = returns_of(rows["session_equity"], "session")
        benchmark = pd.Series(curves.benchmark_returns(sessions, seed), index=returns.index)
        values = by_empyrical(returns, benchmark) | by_quantstats(returns)
        values |= by_vectorbt(returns_of(rows["equity"], "at")) | by_backtesting(rows, benchmark)
        expected = {key: float(value) for key, value in values.items()}
        found["cases"][name] = {"sessions": sessions, "seed": seed, "expected": expected}
    return found


if __name__ == "__main__":
    path = ROOT / "tests" / "golden" / "peer_metrics.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(build(), indent=1) + "\n", encoding="utf-8")
