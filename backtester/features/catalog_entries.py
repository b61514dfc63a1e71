"""The catalog's entries: one `Indicator` each, grouped as in docs/indicators.md."""

from __future__ import annotations

from collections.abc import Callable

from backtester.features.catalog import Indicator, Parameter, Values

PRICES = ("high", "low", "close")


def _period(default: int, *, low: int = 1, high: int = 2000, meaning: str = "bars") -> Parameter:
    return Parameter("period", default, meaning, low=low, high=high)


def _whole(name: str, default: int, meaning: str, *, low: int = 1) -> Parameter:
    return Parameter(name, default, meaning, low=low)


def _method(default: str, other: str, meaning: str) -> Parameter:
    return Parameter("method", default, meaning, choices=(default, other))


def _n(values: Values, name: str = "period") -> int:
    return int(values[name])


def _times(factor: int, more: int) -> Callable[[Values], int]:
    return lambda values: factor * _n(values) + more


def _since_open(_values: Values) -> None:
    return None


def _slow_k(values: Values) -> int:
    return _n(values, "k_smooth") if values["method"] == "slow" else 1


def _longest(values: Values) -> int:
    return max(_n(values, "short"), _n(values, "medium"), _n(values, "long"))


def _hma_warmup(values: Values) -> int:
    return _n(values) + int(_n(values) ** 0.5) - 1


def _macd_warmup(values: Values) -> int:
    return max(_n(values, "fast"), _n(values, "slow")) + _n(values, "signal") - 1


def _keltner_warmup(values: Values) -> int:
    return max(_n(values), _n(values, "atr_period") + 1)


def _anchored(values: Values) -> int | None:
    return None if values["period"] == 0 else _n(values)


def _vwap_check(values: Values, scope: str, _lookback: int) -> str | None:
    if values["period"] == 0 and scope == "continuous":
        return "vwap without a period begins anew with each session; give a period, or leave scope out"
    return None


WILDER = "Wilder, New Concepts in Technical Trading Systems (1978)"
TALIB = "as TA-Lib"
SEED_EMA = "e = mean of the first period, then e += 2 / (period + 1) (x - e)"

TREND = [
    Indicator(
        "sma", "trend", "mean of the last period values", TALIB, "period", _n,
        "rolling_averages:sma", "exact", (_period(20),), ticks=("x",), rows=_times(1, -1), sums="linear",
    ),
    Indicator(
        "ema", "trend", SEED_EMA, TALIB, "period", _n,
        "rolling_trend:ema", "recursion", (_period(20),), ticks=("x",), state=2,
    ),
    Indicator(
        "wma", "trend", "sum of k x[k] / sum of k, k = 1 (oldest) to period (latest)", TALIB, "period", _n,
        "rolling_averages:wma", "exact", (_period(20),), ticks=("x",), rows=_times(1, -1), sums="quadratic",
    ),
    Indicator(
        "dema", "trend", "2 e1 - e2, e1 = ema(x), e2 = ema(e1)", TALIB, "2 * period - 1", _times(2, -1),
        "rolling_trend:dema", "recursion", (_period(20),), ticks=("x",), state=4,
    ),
    Indicator(
        "tema", "trend", "3 e1 - 3 e2 + e3, e3 = ema(e2)", TALIB, "3 * period - 2", _times(3, -2),
        "rolling_trend:tema", "recursion", (_period(20),), ticks=("x",), state=6,
    ),
    Indicator(
        "hma", "trend", "wma(2 wma(x, period // 2) - wma(x, period), floor(sqrt(period)))", "Hull (2005)",
        "period + floor(sqrt(period)) - 1", _hma_warmup,
        "rolling_averages:hma", "window", (_period(16),), ticks=("x",), rows=lambda v: _hma_warmup(v) - 1,
        sums="quadratic",
    ),
    Indicator(
        "vwap", "trend", "sum(typical x volume) / sum(volume), since the open, or of the last period bars",
        "since the open: running_vwap of the pass", "1, or period", lambda v: max(_n(v), 1),
        "rolling_volume:vwap", "window", (Parameter("period", 0, "bars, 0: since the open", low=0),),
        floats=("high", "low", "close", "volume"), state=1, rows=lambda v: max(_n(v) - 1, 0), window=_anchored,
        check=_vwap_check,
    ),
    Indicator(
        "twap", "trend", "mean of the input since the open", "bars weigh alike", "1", lambda _: 1,
        "rolling_volume:twap", "exact", ticks=("x",), scopes=("session",), window=_since_open, sums="linear",
    ),
    Indicator(
        "macd", "trend", "macd = ema(fast) - ema(slow); signal = ema(macd); histogram = macd - signal",
        "Appel; each average begins with its own first values", "max(fast, slow) + signal - 1", _macd_warmup,
        "rolling_trend:macd", "recursion",
        (_whole("fast", 12, "bars"), _whole("slow", 26, "bars"), _whole("signal", 9, "values of macd")),
        outputs=("macd", "signal", "histogram"), ticks=("x",), state=5,
    ),
    Indicator(
        "adx", "trend", "Wilder's average of 100 |+DI - -DI| / (+DI + -DI)", f"{WILDER}, {TALIB}",
        "2 * period", _times(2, 0), "rolling_trend:adx", "recursion", (_period(14, low=2),),
        outputs=("adx", "plus_di", "minus_di"), ticks=PRICES, state=6, rows=lambda _: 1,
    ),
    Indicator(
        "supertrend", "trend",
        "median +- multiplier x atr, each band only tightening until the close crosses it; direction 1 or -1",
        "Seban; Wilder's atr", "period + 1", _times(1, 1), "rolling_trend:supertrend", "recursion",
        (_period(10), Parameter("multiplier", 3.0, "ATRs", low=0.0, high=100.0)),
        outputs=("supertrend", "direction"), ticks=PRICES, state=6, rows=lambda _: 1,
    ),
]  # fmt: skip

MOMENTUM = [
    Indicator(
        "rsi", "momentum", "100 gains / (gains + losses); wilder: averages moving 1 / period; cutler: means",
        f"{WILDER}, {TALIB}; 50 without any change", "period + 1", _times(1, 1),
        "rolling_trend:rsi", "recursion (cutler: exact)",
        (_period(14), _method("wilder", "cutler", "which averages")), ticks=("x",), state=3,
        rows=lambda v: _n(v) if v["method"] == "cutler" else 1, sums="linear",
    ),
    Indicator(
        "stochastic", "momentum",
        "k = 100 (close - lowest) / (highest - lowest), slow: its mean over k_smooth; d = mean of k over smooth",
        f"Lane, {TALIB}; 50 where highest = lowest", "period + smooth - 1 (slow: + k_smooth - 1)",
        lambda v: _n(v) + _n(v, "smooth") + _slow_k(v) - 2, "rolling_ranges:stochastic", "window",
        (_period(14), _whole("smooth", 3, "values of k"), _method("fast", "slow", "whether k is smoothed"),
         _whole("k_smooth", 3, "values of raw k, slow only")),
        outputs=("k", "d"), ticks=PRICES, state=2, rows=lambda v: _n(v) + _n(v, "smooth") + _slow_k(v) - 3,
    ),
    Indicator(
        "cci", "momentum", "(typical - its mean) / (0.015 x mean of |typical - that mean|)",
        f"Lambert, {TALIB}; 0 where flat", "period", _n, "rolling_ranges:cci", "exact",
        (_period(20),), ticks=PRICES, rows=_times(1, -1), sums="quadratic",
    ),
    Indicator(
        "roc", "momentum", "100 (x / x[period bars ago] - 1)", TALIB, "period + 1", _times(1, 1),
        "rolling_volume:roc", "exact", (_period(10),), ticks=("x",), rows=_n,
    ),
    Indicator(
        "mom", "momentum", "x - x[period bars ago]", TALIB, "period + 1", _times(1, 1),
        "rolling_volume:mom", "exact", (_period(10),), ticks=("x",), rows=_n,
    ),
    Indicator(
        "williams_r", "momentum", "-100 (highest - close) / (highest - lowest)",
        f"{TALIB}; -50 where highest = lowest", "period", _n, "rolling_ranges:williams_r", "exact",
        (_period(14),), ticks=PRICES, rows=_times(1, -1),
    ),
    Indicator(
        "ultimate_osc", "momentum",
        "100 (4 a + 2 b + c) / 7; a, b, c = sum(close - min(low, close before)) / sum(true range)",
        f"Williams, {TALIB}", "max(short, medium, long) + 1", lambda v: _longest(v) + 1,
        "rolling_ranges:ultimate_osc", "exact",
        (_whole("short", 7, "bars"), _whole("medium", 14, "bars"), _whole("long", 28, "bars")),
        ticks=PRICES, rows=_longest, sums="linear",
    ),
]  # fmt: skip

VOLATILITY = [
    Indicator(
        "atr", "volatility", "average of max(high, close before) - min(low, close before)",
        f"{WILDER}, {TALIB}; simple: the mean", "period + 1", _times(1, 1),
        "rolling_trend:atr", "recursion (simple: exact)",
        (_period(14), _method("wilder", "simple", "which average")), ticks=PRICES, state=2,
        rows=lambda v: _n(v) if v["method"] == "simple" else 1, sums="linear",
    ),
    Indicator(
        "natr", "volatility", "100 atr / close", TALIB, "period + 1", _times(1, 1),
        "rolling_trend:natr", "recursion (simple: exact)",
        (_period(14), _method("wilder", "simple", "which average")), ticks=PRICES, state=2,
        rows=lambda v: _n(v) if v["method"] == "simple" else 1, sums="linear",
    ),
    Indicator(
        "bbands", "volatility", "sma +- width x stddev; bandwidth = (upper - lower) / middle",
        f"Bollinger, {TALIB}", "period", _n, "rolling_averages:bbands", "exact",
        (_period(20), Parameter("width", 2.0, "standard deviations", low=0.0, high=100.0)),
        outputs=("upper", "middle", "lower", "bandwidth"), ticks=("x",), rows=_times(1, -1), sums="distances",
    ),
    Indicator(
        "keltner", "volatility", "ema +- multiplier x atr(atr_period)", "Keltner, as Raschke",
        "max(period, atr_period + 1)", _keltner_warmup, "rolling_trend:keltner", "recursion",
        (_period(20), Parameter("multiplier", 2.0, "ATRs", low=0.0, high=100.0),
         _whole("atr_period", 10, "bars"), _method("wilder", "simple", "which average of true ranges")),
        outputs=("upper", "middle", "lower"), ticks=("x", *PRICES), state=4,
        rows=lambda v: _n(v, "atr_period") if v["method"] == "simple" else 1, sums="linear",
    ),
    Indicator(
        "donchian", "volatility", "highest high, (upper + lower) / 2, lowest low of the last period bars",
        "Donchian", "period", _n, "rolling_ranges:donchian", "exact", (_period(20),),
        outputs=("upper", "middle", "lower"), floats=("high", "low"), rows=_times(1, -1),
    ),
    Indicator(
        "stddev", "volatility", "population standard deviation of the last period values", TALIB, "period", _n,
        "rolling_averages:stddev", "exact", (_period(20),), ticks=("x",), rows=_times(1, -1), sums="distances",
    ),
    Indicator(
        "histvol", "volatility",
        "100 sqrt(bars a year) x population standard deviation of the last period log changes",
        "bars a year by the exchange's calendar", "period + 1", _times(1, 1),
        "rolling_averages:histvol", "window", (_period(20),), ticks=("x",), state=1, rows=_n,
    ),
]  # fmt: skip

VOLUME = [
    Indicator(
        "obv", "volume", "volume added where the close rises, taken where it falls; 0 at the first bar",
        "Granville; TA-Lib begins with the first volume", "1", lambda _: 1, "rolling_volume:obv", "exact",
        ticks=("close", "volume"), state=2, rows=lambda _: 1, window=_since_open, sums="total",
    ),
    Indicator(
        "pvt", "volume", "sum of volume x (close / close before - 1); 0 at the first bar", "price volume trend",
        "1", lambda _: 1, "rolling_volume:pvt", "recursion", floats=("volume",), ticks=("close",), state=1,
        rows=lambda _: 1, window=_since_open,
    ),
    Indicator(
        "mfi", "volume", "100 x typical x volume of rising bars / of changing bars, typical against the bar before",
        f"Quong and Soudack, {TALIB}; 50 without any", "period + 1", _times(1, 1), "rolling_volume:mfi", "window",
        (_period(14),), floats=("volume",), ticks=PRICES, state=1, rows=_n,
    ),
    Indicator(
        "volume_sma", "volume", "mean volume of the last period bars", TALIB, "period", _n,
        "rolling_averages:sma", "exact", (_period(20),), ticks=("x",), reads="volume", rows=_times(1, -1),
        sums="linear",
    ),
    Indicator(
        "volume_ratio", "volume", "volume / mean volume of the last period bars, this one included",
        "null without volume", "period", _n, "rolling_volume:volume_ratio", "exact", (_period(20),),
        ticks=("volume",), rows=_times(1, -1), sums="linear",
    ),
]  # fmt: skip

LEVELS = [
    Indicator(
        "high_low", "levels", "highest high and lowest low of the last period bars", "TA-Lib MAX, MIN",
        "period", _n, "rolling_ranges:high_low", "exact", (_period(20),), outputs=("high", "low"),
        floats=("high", "low"), rows=_times(1, -1),
    ),
    Indicator(
        "swing_high", "levels", "the high period bars ago if none within period bars of it is above it",
        "Williams' fractal for period 2", "2 * period + 1", _times(2, 1), "rolling_ranges:swing_high", "exact",
        (_period(5, high=1000),), floats=("high",), rows=_times(2, 0), known="period bars after the swing; else null",
    ),
    Indicator(
        "swing_low", "levels", "the low period bars ago if none within period bars of it is below it",
        "Williams' fractal for period 2", "2 * period + 1", _times(2, 1), "rolling_ranges:swing_low", "exact",
        (_period(5, high=1000),), floats=("low",), rows=_times(2, 0), known="period bars after the swing; else null",
    ),
    Indicator(
        "pivot_points", "levels",
        "pp = (H + L + C) / 3; r1 = 2 pp - L; r2 = pp + H - L; r3 = H + 2 (pp - L); s1 = 2 pp - H; "
        "s2 = pp - (H - L); s3 = L - 2 (H - pp), of the last session with bars, in the run's hours",
        "floor traders'", "1", lambda _: 1, "rolling_ranges:pivot_points", "recursion",
        outputs=("pp", "r1", "r2", "r3", "s1", "s2", "s3"), floats=PRICES, state=4, scopes=("continuous",),
        of_session=True,
        known="before the session, from its second one on",
    ),
    Indicator(
        "opening_range", "levels", "highest high and lowest low of the first `minutes` of the session",
        "Crabel", "the bar known `minutes` after the open", lambda _: 1, "rolling_ranges:opening_range", "exact",
        (Parameter("minutes", 30, "minutes after the open", low=1, high=1440),), outputs=("high", "low"),
        floats=("high", "low", "elapsed"), scopes=("session",), window=_since_open,
        known="when the minutes are over; null before",
    ),
]  # fmt: skip

ENTRIES = {each.name: each for each in [*TREND, *MOMENTUM, *VOLATILITY, *VOLUME, *LEVELS]}
