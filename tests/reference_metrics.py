"""The metrics in slow plain Python, by docs/metrics.md: exact fractions from the first return to the last square root.

Rows are dictionaries, a metric without a value is None. Nothing here imports the code under test.
"""

from __future__ import annotations

import statistics
from decimal import Decimal, localcontext
from fractions import Fraction

ROUNDING = Fraction(1, 2**50)


def root(value):
    """The square root of a fraction, to 40 digits."""
    with localcontext() as context:
        context.prec = 40
        return Fraction((Decimal(value.numerator) / Decimal(value.denominator)).sqrt())


def power(base, exponent):
    """base ^ exponent, to 40 digits."""
    if base == 0:
        return Fraction(0)
    with localcontext() as context:
        context.prec = 40
        base, exponent = (Decimal(x.numerator) / Decimal(x.denominator) for x in (base, Fraction(exponent)))
        return Fraction((base.ln() * exponent).exp())


def mean(values):
    """The mean, exactly."""
    return sum(values, Fraction(0)) / len(values) if values else None


def variance(values, ddof):
    """Squares from the mean over n - ddof."""
    if len(values) <= ddof:
        return None
    return sum((v - mean(values)) ** 2 for v in values) / (len(values) - ddof)


def over(top, bottom):
    """A quotient that is None where a part is, or the divisor is zero."""
    return None if top is None or bottom is None or bottom == 0 else top / bottom


def session_returns(rows, capital):
    """float64 returns, as fractions; None after equity at or below zero."""
    found, before = [], capital
    for row in rows:
        if before <= 0:
            return None
        found.append(Fraction(row["equity"] / before - 1.0))
        before = row["equity"]
    return found or None


def fall(values, capital):
    """(depth, peak, trough, recovery) of the deepest drawdown; -1 is the capital; None if there is no value."""
    if not values:
        return None
    worst = (Fraction(0), None, None, None)
    high, peak = Fraction(capital), -1
    for i, value in enumerate(map(Fraction, values)):
        if value >= high:
            high, peak = value, i
        depth = Fraction(float(value) / float(high) - 1.0)
        if depth < worst[0]:
            worst = (depth, peak, i, next((k for k in range(i, len(values)) if values[k] >= high), None))
    return worst


def percentile(values, percent):
    """Type 7."""
    if not values:
        return None
    place = Fraction((len(values) - 1) * percent, 100)
    below = place.numerator // place.denominator
    ordered = sorted(values)
    above = ordered[min(below + 1, len(values) - 1)]
    return ordered[below] + (above - ordered[below]) * (place - below)


def from_returns(returns, rate, year):
    """What depends on session returns alone."""
    names = (
        "volatility",
        "sharpe",
        "sortino",
        "skew",
        "kurtosis",
        "var_95",
        "cvar_95",
        "var_99",
        "cvar_99",
        "tail_ratio",
    )
    if returns is None:
        return dict.fromkeys(names)
    n, found = len(returns), dict.fromkeys(names)
    excess = [r - rate for r in returns]
    deviation = root(variance(returns, 1)) if n > 1 else None
    if deviation is not None:
        deviation = Fraction(0) if deviation <= ROUNDING else deviation
        found["volatility"] = deviation * root(year)
        found["sharpe"] = over(mean(excess) * root(year), deviation)
    below = root(mean([min(r, Fraction(0)) ** 2 for r in excess]))
    found["sortino"] = over(mean(excess) * root(year), 0 if below <= ROUNDING else below)
    if n > 2 and deviation:
        m2, m3, m4 = (mean([(r - mean(returns)) ** k for r in returns]) for k in (2, 3, 4))
        found["skew"] = m3 / root(m2) ** 3 * root(Fraction(n * (n - 1))) / (n - 2)
        if n > 3:
            found["kurtosis"] = Fraction(n - 1, (n - 2) * (n - 3)) * ((n + 1) * (m4 / m2**2 - 3) + 6)
    for percent in (5, 1):
        found[f"var_{100 - percent}"] = percentile(returns, percent)
        found[f"cvar_{100 - percent}"] = mean(sorted(returns)[: (n - 1) * percent // 100 + 1])
    found["tail_ratio"] = over(abs(percentile(returns, 95)), abs(percentile(returns, 5)))
    return found


def from_benchmark(returns, benchmark, rate, year):
    """Alpha and beta over the sessions with a benchmark."""
    if returns is None or benchmark is None:
        return {"beta": None, "alpha": None}
    pairs = [(r, Fraction(b)) for r, b in zip(returns, benchmark, strict=True) if b is not None]
    own, market = [p[0] for p in pairs], [p[1] for p in pairs]
    spread = variance(market, 1)
    if spread is None or root(spread) <= ROUNDING:
        return {"beta": None, "alpha": None}
    together = sum((a - mean(own)) * (b - mean(market)) for a, b in pairs)
    beta = together / sum((b - mean(market)) ** 2 for b in market)
    excess = mean([a - rate - beta * (b - rate) for a, b in pairs])
    return {"beta": beta, "alpha": None if excess < -1 else power(1 + excess, year) - 1}


def from_curve(rows, bars, capital, year):
    """Returns over the whole run, drawdowns, exposure, turnover."""
    sessions = [row["equity"] for row in rows]
    total = Fraction(sessions[-1] / capital - 1.0) if sessions else None
    found = {"total_return": total, "sessions": len(rows), "end_equity": sessions[-1] if sessions else None}
    found["annualised_return"] = None if total is None or total < -1 else power(1 + total, year / len(rows)) - 1
    for name, values, at in (
        ("max_drawdown", sessions, [row["session"] for row in rows]),
        ("max_drawdown_bars", [row["equity"] for row in bars], [row["known_at"] for row in bars]),
    ):
        worst = fall(values, capital)
        found[name] = worst and worst[0]
        depth, peak, trough, recovery = worst if worst and worst[0] else (None,) * 4
        found[f"{name}_peak"] = None if peak is None or peak < 0 else at[peak]
        found[f"{name}_trough"] = None if trough is None else at[trough]
        found[f"{name}_recovery"] = None if recovery is None else at[recovery]
        end = len(values) - 1 if recovery is None else recovery
        found[f"{name}_length"] = None if depth is None else end - peak
    found["calmar"] = over(found["annualised_return"], found["max_drawdown"] and -found["max_drawdown"])
    highs = [max([capital, *sessions[: i + 1]]) for i in range(len(sessions))]
    squares = mean([Fraction(s / h - 1.0) ** 2 for s, h in zip(sessions, highs, strict=True)])
    found["ulcer"] = None if squares is None else root(squares)
    found["exposure"] = mean([Fraction(row["open_positions"] > 0) for row in bars])
    found["gross_exposure"] = None
    if all(row["equity"] > 0 for row in bars):
        found["gross_exposure"] = mean([Fraction(row["gross_exposure"] / row["equity"]) for row in bars])
    found["traded"] = sum(Fraction(row["turnover"]) for row in rows)
    found["fees"] = sum(Fraction(row["fees"]) for row in rows)
    held = mean([Fraction(s) for s in sessions])
    found["turnover"] = found["traded"] / held * year / len(rows) if held is not None and held > 0 else None
    return found


def streak(values, wanted):
    """The longest run of wanted values."""
    return max(length for length in range(len(values) + 1) if _run(values, wanted, length))


def _run(values, wanted, length):
    return any(all(map(wanted, values[i : i + length])) for i in range(len(values) - length + 1))


def from_trades(trades):
    """What depends on closed trades alone, in the order they ended."""
    closed = sorted((t for t in trades if not t["is_open"]), key=lambda t: (t["exited_at"], t["trade_id"]))
    pnl = [Fraction(t["pnl"]) for t in closed]
    won, lost = [p for p in pnl if p > 0], [p for p in pnl if p < 0]
    deviation = root(variance(pnl, 1)) if len(pnl) > 1 else None
    return {
        "trades": len(closed),
        "open_trades": len(trades) - len(closed),
        "win_rate": over(Fraction(len(won)), Fraction(len(pnl))),
        "profit_factor": over(sum(won, Fraction(0)), -sum(lost, Fraction(0))),
        "expectancy": mean(pnl),
        "average_trade": mean([Fraction(t["return_frac"]) for t in closed]),
        "average_win": mean(won),
        "average_loss": mean(lost),
        "best_trade": max(pnl, default=None),
        "worst_trade": min(pnl, default=None),
        "sqn": over(mean(pnl) and root(Fraction(len(pnl))) * mean(pnl), deviation) if pnl else None,
        "longest_wins": streak(pnl, lambda p: p > 0),
        "longest_losses": streak(pnl, lambda p: p < 0),
        "average_bars_held": Fraction(statistics.mean(t["bars_held"] for t in closed)) if closed else None,
    }


def lies_in(fill, trade):
    """The fill belongs to the trade's symbol and time."""
    until = trade["exited_at"] if not trade["is_open"] else fill["filled_at"]
    return fill["symbol"] == trade["symbol"] and trade["entered_at"] <= fill["filled_at"] <= until


def from_quality(fills, trades, base):
    """P&L that flags and assumptions touch."""
    found = {"pnl": base, "ambiguous_fills": sum(f["ambiguous"] for f in fills)}
    moved = {}
    for name in ("worst", "best"):
        moved[name] = sum(
            -f["side"] * Fraction(f["quantity"]) * (Fraction(f[f"{name}_price"]) - Fraction(f["price"]))
            for f in fills
            if f["ambiguous"]
        )
        found[f"pnl_{name}"] = None if base is None else base + moved[name]
    found["pnl_share_assumed"] = over(moved["best"] - moved["worst"], base and abs(base))
    whole = sum(abs(Fraction(t["pnl"])) for t in trades)
    flags = {"ambiguous": ["ambiguous"], "gap_adjacent": ["gap_adjacent"], "stale": ["is_stale"]}
    flags |= {"defective": ["is_defective"], "flagged": ["gap_adjacent", "is_stale", "is_defective"]}
    for name, columns in flags.items():
        marked = [f for f in fills if any(f[column] for column in columns)]
        touched = [Fraction(t["pnl"]) for t in trades if any(lies_in(f, t) for f in marked)]
        found[f"pnl_{name}"] = sum(touched, Fraction(0))
        found[f"pnl_share_{name}"] = over(sum(map(abs, touched), Fraction(0)), whole)
    return found


def metrics(rows, capital, year, risk_free=0.0, benchmark=None):
    """Every default metric of a run, by id."""
    returns = session_returns(rows["session_equity"], capital)
    rate = Fraction((1.0 + risk_free) ** (1.0 / year) - 1.0)
    wide = Fraction(year)
    found = {"capital": capital, "sessions_per_year": year, "risk_free": risk_free}
    found |= from_curve(rows["session_equity"], rows["equity"], capital, wide)
    found |= from_returns(returns, rate, wide)
    found |= from_benchmark(returns, benchmark, rate, wide)
    found |= from_trades(rows["trades"])
    end = found["end_equity"]
    return found | from_quality(
        rows["fills"], rows["trades"], None if end is None else Fraction(end) - Fraction(capital)
    )
