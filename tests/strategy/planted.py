"""Strategies and indicators that look ahead, thirty of them, and thirty that do not, though some nearly do.

A strategy is `signals(bars, indicators)`; an indicator is a Polars expression over one symbol's bars. A leak is planted
with what must be told of it: the column, the first bar (counted in labels of a session without gaps) and how many bars
ahead it sees; LAST stands for the session's last bar.
"""

from typing import NamedTuple

import numpy as np
import polars as pl

LAST = -1
BARS = 40  # labels of the session

close, high, low, volume, symbol = (pl.col(name) for name in ("close", "high", "low", "volume", "symbol"))
number = pl.int_range(pl.len()).over("symbol")  # the bar's place in its symbol's session


class Planted(NamedTuple):
    """A leak, and what an audit must say of it."""

    signals: object
    column: str
    bar: int
    distance: int


def wish(**columns):
    """A strategy of expressions over its bars."""
    return lambda bars, indicators: bars.select(**columns)


def per_symbol(function):
    """A strategy that computes a weight from one symbol's closes as a NumPy array."""

    def signals(bars, indicators):
        parts = []
        for part in bars.with_row_index("row").partition_by("symbol"):
            weights = np.asarray(function(part["close"].to_numpy()), dtype=np.float64)
            parts.append(part.select("row").with_columns(target_weight=pl.Series(weights)))
        return pl.concat(parts).sort("row").select("target_weight")

    return signals


def on_own_bars(join):
    """A strategy that makes frames of its own and joins them: (its value a row) -> enter where the close is above."""

    def signals(bars, indicators):
        joined = join(bars.with_row_index("row")).sort("row")
        return joined.select(enter=close > pl.col("value"))

    return signals


def five_minutes_by_label(bars):
    wide = bars.sort("timestamp").group_by_dynamic("timestamp", every="5m", group_by="symbol").agg(value=close.last())
    return bars.sort("timestamp").join_asof(wide.sort("timestamp"), on="timestamp", by="symbol")


def five_minutes_when_known(bars):
    wide = bars.sort("timestamp").group_by_dynamic("timestamp", every="5m", group_by="symbol").agg(value=close.last())
    wide = wide.with_columns(known_at=pl.col("timestamp") + pl.duration(minutes=5)).drop("timestamp").sort("known_at")
    return bars.sort("known_at").join_asof(wide, on="known_at", by="symbol")


def next_mark(bars):
    marks = bars.filter(number % 10 == 0).select("timestamp", "symbol", value=close).sort("timestamp")
    return bars.sort("timestamp").join_asof(marks, on="timestamp", by="symbol", strategy="forward")


def last_mark(bars):
    marks = bars.filter(number % 10 == 0).select("known_at", "symbol", value=close).sort("known_at")
    return bars.sort("known_at").join_asof(marks, on="known_at", by="symbol")


def ten_minutes_on(bars):
    later = bars.select(pl.col("timestamp") - pl.duration(minutes=10), "symbol", value=close)
    return bars.join(later, on=["timestamp", "symbol"], how="left")


def ten_minutes_back(bars):
    earlier = bars.select(pl.col("timestamp") + pl.duration(minutes=10), "symbol", value=close)
    return bars.join(earlier, on=["timestamp", "symbol"], how="left")


def window_ahead(bars):
    sums = bars.sort("timestamp").rolling("timestamp", period="5m", offset="0m", closed="left", group_by="symbol")
    return bars.join(sums.agg(value=close.mean()), on=["timestamp", "symbol"])


def window_behind(bars):
    sums = bars.sort("timestamp").rolling("timestamp", period="5m", group_by="symbol")
    return bars.join(sums.agg(value=close.mean()), on=["timestamp", "symbol"])


def closing_prices(bars):
    return bars.join(bars.group_by("symbol").agg(value=close.last()), on="symbol")


def wrapped(closes):
    return closes / closes[np.arange(len(closes)) - 1] - 1.0  # of the first bar: the session's last


def smoothed(closes):
    return np.convolve(closes, np.ones(3) / 3.0, mode="same")


def fitted(closes):
    return closes - np.polyval(np.polyfit(np.arange(len(closes)), closes, 1), np.arange(len(closes)))


def low_passed(closes):
    waves = np.fft.rfft(closes)
    waves[4:] = 0.0
    return np.fft.irfft(waves, len(closes))


def there_and_back(closes):
    def average(values):
        out = [values[0]]
        for value in values[1:]:
            out.append(out[-1] + 0.3 * (value - out[-1]))
        return np.array(out)

    return average(average(closes)[::-1])[::-1]


every_fourth = pl.when(number % 4 == 0).then(close)
window = (pl.col("timestamp") - pl.col("session_open")).dt.total_minutes() // 15

LEAKY_STRATEGIES = {
    "shift -1": Planted(wish(enter=close.shift(-1).over("symbol") > close), "enter", 0, 1),
    "next return": Planted(wish(target_weight=close.shift(-1).over("symbol") / close - 1), "target_weight", 0, 1),
    "difference to a later bar": Planted(wish(rank=close.diff(-5).over("symbol")), "rank", 0, 5),
    "negative index": Planted(per_symbol(wrapped), "target_weight", 0, LAST),
    "centred window": Planted(wish(limit=close.rolling_mean(5, center=True).over("symbol")), "limit", 2, 2),
    "session max": Planted(wish(target_weight=close / high.max().over("symbol")), "target_weight", 0, LAST),
    "full-sample z": Planted(wish(rank=((close - close.mean()) / close.std()).over("symbol")), "rank", 0, LAST),
    "full-sample range": Planted(
        wish(rank=((close - close.min()) / (close.max() - close.min())).over("symbol")), "rank", 0, LAST
    ),
    "resample label": Planted(on_own_bars(five_minutes_by_label), "enter", 0, 4),
    "forward as-of join": Planted(on_own_bars(next_mark), "enter", 1, 9),
    "backward fill": Planted(wish(limit=every_fourth.backward_fill().over("symbol")), "limit", 1, 3),
    "interpolation": Planted(wish(limit=every_fourth.interpolate().over("symbol")), "limit", 1, 3),
    "derived bar before it is known": Planted(wish(stop=high.max().over("symbol", window)), "stop", 0, 14),
    "trailing average with today": Planted(wish(rank=(4e5 + volume.sum().over("symbol")) / 5), "rank", 0, LAST),
    "future calendar": Planted(on_own_bars(ten_minutes_on), "enter", 0, 10),
    "window ahead": Planted(on_own_bars(window_ahead), "enter", 0, 4),
    "closing price": Planted(on_own_bars(closing_prices), "enter", 0, LAST),
    "low to come": Planted(wish(stop_loss=low.rolling_min(10).shift(-10).over("symbol")), "stop_loss", 0, 10),
    "last bar by its place": Planted(
        wish(exit=pl.col("timestamp") == pl.col("timestamp").max().over("symbol")), "exit", 0, 1
    ),
    "share of the rows": Planted(wish(rank=number / pl.len().over("symbol")), "rank", 1, LAST),
    "smoothing in the middle": Planted(per_symbol(smoothed), "target_weight", 0, 1),
    "fitted trend": Planted(per_symbol(fitted), "target_weight", 0, LAST),
    "Fourier filter": Planted(per_symbol(low_passed), "target_weight", 0, LAST),
    "filter there and back": Planted(per_symbol(there_and_back), "target_weight", 0, LAST),
}
LEAKY_INDICATORS = {
    "two bars on": Planted(close.shift(-2), "value", 0, 2),
    "centred mean": Planted(close.rolling_mean(7, center=True), "value", 3, 3),
    "share of the maximum": Planted(close / close.max(), "value", 0, LAST),
    "volume left": Planted(volume.reverse().cum_sum().reverse(), "value", 0, LAST),
    "rank in the session": Planted(close.rank() / close.len(), "value", 0, LAST),
    "average from behind": Planted(close.reverse().ewm_mean(span=20, adjust=False).reverse(), "value", 0, LAST),
}

CLEAN_STRATEGIES = {
    "nothing": wish(),
    "always": wish(target_weight=pl.when(close > 0).then(0.5)),
    "shift 1": wish(enter=close > close.shift(1).over("symbol")),
    "return so far": wish(target_weight=close / close.shift(5).over("symbol") - 1),
    "average cross": wish(enter=close.rolling_mean(5).over("symbol") > close.rolling_mean(20).over("symbol")),
    "indicator": lambda bars, indicators: indicators.select(enter=pl.col("sma") > pl.col("sma_lag1")),
    "indicator against bar": lambda bars, indicators: bars.hstack(indicators).select(
        enter=pl.col("sma") < close, exit=pl.col("sma") > close
    ),
    "centred window, late by half": wish(limit=close.rolling_mean(5, center=True).shift(2).over("symbol")),
    "high so far": wish(stop=high.cum_max().over("symbol")),
    "z so far": wish(rank=(close - close.cum_sum() / (pl.int_range(pl.len()) + 1)).over("symbol")),
    "band": wish(limit=(close.rolling_mean(20) - 2 * close.rolling_std(20)).over("symbol")),
    "resample when known": on_own_bars(five_minutes_when_known),
    "backward as-of join": on_own_bars(last_mark),
    "ten minutes back": on_own_bars(ten_minutes_back),
    "window behind": on_own_bars(window_behind),
    "forward fill": wish(limit=every_fourth.forward_fill().over("symbol")),
    "first minutes": wish(
        enter=close
        > pl.when(pl.col("known_at") <= pl.col("session_open") + pl.duration(minutes=15))
        .then(high)
        .cum_max()
        .forward_fill()
        .over("symbol")
    ),
    "running values": wish(enter=close < pl.col("running_vwap"), stop_loss=pl.col("running_low")),
    "quality so far": wish(enter=pl.col("quality_pct") >= 95.0, exit=pl.col("missing_before") > 0),
    "calendar's close": wish(exit=pl.col("known_at") >= pl.col("session_close") - pl.duration(minutes=5)),
    "rank at this label": wish(target_weight=(close / pl.col("open")).rank().over("timestamp") / 100.0),
    "market's mean at this label": wish(rank=close - close.mean().over("timestamp")),
    "volume above its average": wish(enter=volume > 2.0 * volume.rolling_mean(10).over("symbol")),
    "first bar": wish(enter=number == 0),
}
CLEAN_INDICATORS = {
    "exponential": close.ewm_mean(span=20, adjust=False),
    "breakout level": high.rolling_max(20).shift(1),
    "change": close.diff(1),
    "confirmed peak": (close.shift(1) > close.shift(2)) & (close.shift(1) > close),
    "share of volume so far": volume / volume.cum_sum(),
    "rolling quantile": close.rolling_quantile(0.9, window_size=15),
}
