"""The seed's 20 session indicators against polars-talib and Polars' own rolling expressions, whichever is faster.

500 symbols x 42 sessions of 1m bars, all in memory; each side gives a column a row of every output, each session by
itself and each symbol by itself. Ours includes making the series symbol after symbol and putting the values back into
the order of the tables. Answers are checked first. `python -m bench indicators`, `--quick` for two sessions.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl

from backtester.data import calendar
from backtester.data.store import Store
from backtester.features.catalog import Use, uses_of
from backtester.features.indicators import indicator_columns, on_base
from backtester.features.intraday import run_pass
from backtester.features.series import Series, base_series
from backtester.interval import Interval
from backtester.kernels import jit
from bench.data import build

MINUTE = Interval.parse("1m")
YEAR = {"1m": 98_280.0}
# configs of the seed, all on the run's own interval here: the costliest reading of them.
SEED = [
    {"name": "sma", "period": 20},
    {"name": "ema", "period": 9},
    {"name": "vwap"},
    {"name": "hma", "period": 10},
    {"name": "rsi", "period": 14},
    {"name": "macd"},
    {"name": "stochastic", "period": 14},
    {"name": "cci", "period": 20},
    {"name": "williams_r", "period": 14},
    {"name": "atr", "period": 14},
    {"name": "bbands", "period": 20},
    {"name": "keltner", "period": 20},
    {"name": "donchian", "period": 20},
    {"name": "obv"},
    {"name": "volume_sma", "period": 20},
    {"name": "volume_ratio", "period": 20},
    {"name": "high_low", "period": 20},
    {"name": "swing_high", "period": 5},
    {"name": "swing_low", "period": 5},
    {"name": "pivot_points"},
]


def main(root: Path, *, quick: bool) -> None:
    """Check, then time; prints nanoseconds a row and the ratio."""
    jit.compiled()
    symbols, sessions = (100, 2) if quick else (500, 42)
    entries = build(root, symbols=symbols, sessions=sessions)
    known = calendar.load("XNYS")
    tables = []
    for entry in entries:
        bars, session = Store(entry.folder.parents[3]).load(entry), known.session(entry.session)
        tables.append((bars, session, run_pass(bars, session, interval=MINUTE, derived=[])))
    uses, problems = uses_of(SEED, run_interval="1m")
    assert not problems, problems
    began = time.process_time()
    first = base_series(tables[0][2], tables[0][1], MINUTE)
    indicator_columns(uses, {"1m": first}, bars_a_year=YEAR)
    spent = time.process_time() - began
    print(f"indicators: {symbols} symbols x {sessions} sessions; first call {spent:.1f} CPU s, compiling included")
    frames = [pl.from_arrow(bars) for bars, _, _ in tables]
    assert all(isinstance(frame, pl.DataFrame) for frame in frames)
    check(uses, first, frames[0])  # type: ignore[arg-type]  # asserted above
    rows = sum(len(done.codes) for _, _, done in tables)

    def ours() -> None:
        state = None
        for _, session, done in tables:
            series = {"1m": base_series(done, session, MINUTE)}
            computed = indicator_columns(uses, series, state, bars_a_year=YEAR)
            state = computed.state
            on_base(computed, uses, series, "1m")

    def theirs() -> None:
        for frame in frames:
            frame.select(yardstick(talib=True))  # type: ignore[union-attr]  # asserted above

    def rolling() -> None:
        for frame in frames:
            frame.select(yardstick(talib=False))  # type: ignore[union-attr]  # asserted above

    repeats = 3
    own, talib, expressions = (cpu(work, rows, repeats) for work in (ours, theirs, rolling))
    print(f"  all 20, ours                       {own:8.1f} CPU ns a row")
    print(f"  all 20, polars-talib where it has  {talib:8.1f}")
    print(f"  all 20, Polars expressions         {expressions:8.1f}")
    print(f"  the faster of them : ours          {min(talib, expressions) / own:8.2f} (bar 3)")
    for use, nanoseconds in each(uses, tables):
        print(f"    {use.key:20} {nanoseconds:6.1f}")


def each(uses: list[Use], tables: list) -> list[tuple[Use, float]]:
    """CPU nanoseconds a row of each indicator by itself on one session, its columns' ticks included."""
    _, session, done = tables[0]
    series = {"1m": base_series(done, session, MINUTE)}
    return [
        (use, cpu(lambda use=use: indicator_columns([use], series, bars_a_year=YEAR), len(done.codes), 9))
        for use in uses
    ]


def cpu(work: Callable[[], object], rows: int, repeats: int) -> float:
    """CPU nanoseconds a row, the least of `repeats`."""
    found = []
    for _ in range(repeats):
        began = time.process_time()
        work()
        found.append(time.process_time() - began)
    return min(found) / rows * 1e9


def yardstick(*, talib: bool) -> list[pl.Expr]:
    """The same columns, symbol by symbol, from polars-talib or from Polars alone."""
    import polars_talib as plta

    h, l, c, v = (pl.col(name) for name in ("high", "low", "close", "volume"))  # noqa: E741
    typical = (h + l + c) / 3.0
    before = c.shift(1)
    tr = pl.max_horizontal(h, before) - pl.min_horizontal(l, before)
    tr = pl.when(before.is_null()).then(None).otherwise(tr)

    def wma(x: pl.Expr, n: int) -> pl.Expr:
        return plta.wma(x, timeperiod=n)  # Polars' weighted mean takes no nulls

    def ema(x: pl.Expr, n: int) -> pl.Expr:
        return plta.ema(x, timeperiod=n) if talib else x.ewm_mean(span=n, adjust=False, min_samples=n)

    def sma(x: pl.Expr, n: int) -> pl.Expr:
        return plta.sma(x, timeperiod=n) if talib else x.rolling_mean(n)

    def high(x: pl.Expr, n: int) -> pl.Expr:
        return plta.max(x, timeperiod=n) if talib else x.rolling_max(n)

    def low(x: pl.Expr, n: int) -> pl.Expr:
        return plta.min(x, timeperiod=n) if talib else x.rolling_min(n)

    gain, loss = c.diff().clip(lower_bound=0.0), (-c.diff()).clip(lower_bound=0.0)

    def wilder(x: pl.Expr, n: int) -> pl.Expr:
        return x.ewm_mean(alpha=1.0 / n, adjust=False, min_samples=n)

    highest, lowest = high(h, 14), low(l, 14)
    k = 100.0 * (c - lowest) / (highest - lowest)
    line = ema(c, 12) - ema(c, 26)
    deviation = c.rolling_std(20, ddof=0)
    atr14 = plta.atr(h, l, c, timeperiod=14) if talib else wilder(tr, 14)
    atr10 = plta.atr(h, l, c, timeperiod=10) if talib else wilder(tr, 10)
    middle, upper, lower = ema(c, 20), high(h, 20), low(l, 20)
    mean = sma(c, 20)
    swing_top, swing_bottom = high(h, 11), low(l, 11)
    balance = (c.diff().sign() * v).fill_null(0.0).cum_sum()
    out = {
        "sma_20": sma(c, 20),
        "ema_9": ema(c, 9),
        "vwap": (typical * v).cum_sum() / v.cum_sum(),
        "hma_10": wma(2.0 * wma(c, 5) - wma(c, 10), 3),
        "rsi_14": plta.rsi(c, timeperiod=14)
        if talib
        else 100.0 * wilder(gain, 14) / (wilder(gain, 14) + wilder(loss, 14)),
        "macd": line,
        "macd_signal": ema(line, 9),
        "macd_histogram": line - ema(line, 9),
        "stochastic_14_k": k,
        "stochastic_14_d": sma(k, 3),
        "williams_r_14": plta.willr(h, l, c, timeperiod=14) if talib else -100.0 * (highest - c) / (highest - lowest),
        "cci_20": plta.cci(h, l, c, timeperiod=20),  # Polars has no mean of absolute deviations from a moving mean
        "atr_14": atr14,
        "bbands_20_upper": mean + 2.0 * deviation,
        "bbands_20_middle": mean,
        "bbands_20_lower": mean - 2.0 * deviation,
        "bbands_20_bandwidth": 4.0 * deviation / mean,
        "keltner_20_upper": middle + 2.0 * atr10,
        "keltner_20_middle": middle,
        "keltner_20_lower": middle - 2.0 * atr10,
        "donchian_20_upper": upper,
        "donchian_20_middle": (upper + lower) / 2.0,
        "donchian_20_lower": lower,
        "obv": plta.obv(c, v) if talib else balance,
        "volume_sma_20": sma(v, 20),
        "volume_ratio_20": v / sma(v, 20),
        "high_low_20_high": upper,
        "high_low_20_low": lower,
        "swing_high_5": pl.when(h.shift(5) == swing_top).then(swing_top),
        "swing_low_5": pl.when(l.shift(5) == swing_bottom).then(swing_bottom),
    }
    return [expression.over("symbol").alias(name) for name, expression in out.items()]


def check(uses: list[Use], series: Series, frame: pl.DataFrame) -> None:
    """Our columns equal polars-talib's where the formula begins alike; a macd's averages need 300 bars to agree."""
    computed = indicator_columns(uses, {"1m": series}, bars_a_year=YEAR)
    ours = on_base(computed, uses, {"1m": series}, "1m")
    theirs = frame.select(yardstick(talib=True))
    seen = frame.select(pl.int_range(pl.len()).over("symbol")).to_series().to_numpy()
    for name in theirs.columns:
        column = theirs[name].cast(pl.Float64).fill_null(np.nan).to_numpy()
        a, b = ours[name], column
        if name == "obv":
            start = frame.select(pl.col("volume").first().over("symbol")).to_series().to_numpy()
            b = b - start
        known = (seen > 340) & ~np.isnan(a) & ~np.isnan(b)
        assert known.sum() > 1000 or name.startswith("swing"), name
        assert np.allclose(a[known], b[known], rtol=1e-6, atol=1e-6), name
