"""Sample strategies in columns: a start for one's own, and what the peers' published runs are repeated with.

Each reads only its own row and rows before it. Times of day are counted from the session's own open and close, so half
days need no rule. Sizes, costs and stops at the close are the config's: [execution] and [limits].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl

MINUTE_US = 60_000_000


@dataclass(frozen=True)
class Cross:
    """The parameters of a cross of two averages, and the averages."""

    fast: int = 20
    slow: int = 50
    short: bool = False  # sell short on a cross below instead of only closing
    interval: str | None = None  # of the averages; the run's own without one
    scope: str = "continuous"  # averages go on overnight; "session" begins them anew at each open

    def __post_init__(self) -> None:
        if not 0 < self.fast < self.slow:
            raise ValueError(f"fast is {self.fast} and slow {self.slow}; expected 0 < fast < slow")

    def indicators(self) -> list[dict[str, Any]]:
        """Both averages, as they are and as they were a bar earlier, the session before included."""
        interval = {} if self.interval is None else {"interval": self.interval}
        return [
            {"name": "sma", "period": period, "scope": self.scope, "lag": lag, "key": key + suffix, **interval}
            for key, period in (("fast", self.fast), ("slow", self.slow))
            for lag, suffix in ((0, ""), (1, "_before"))
        ]


@dataclass(frozen=True)
class SmaCross(Cross):
    """Long when the fast average crosses above the slow one; out, or short, when it crosses below."""

    def signals(self, bars: pl.DataFrame, indicators: pl.DataFrame) -> pl.DataFrame:  # noqa: ARG002
        """A cross needs both averages on both bars: null compares as null, and a null claim is none."""
        above = (pl.col("fast") > pl.col("slow")) & (pl.col("fast_before") <= pl.col("slow_before"))
        below = (pl.col("fast") < pl.col("slow")) & (pl.col("fast_before") >= pl.col("slow_before"))
        if self.short:
            return indicators.select(enter=pl.when(above).then(1).when(below).then(-1))
        return indicators.select(enter=above, exit=below)


@dataclass(frozen=True)
class OpeningRange:
    """Long on the session's first close above the high of its first minutes; the exit is [limits] flat_by."""

    minutes: int = 30
    stop_at_low: bool = False  # a stop loss at the range's low

    def indicators(self) -> list[dict[str, Any]]:
        """The range, known from its last minute on."""
        return [{"name": "opening_range", "minutes": self.minutes, "key": "range"}]

    def signals(self, bars: pl.DataFrame, indicators: pl.DataFrame) -> pl.DataFrame:
        """One entry a symbol and session: the first close above."""
        rows = bars.hstack(indicators)
        above = (pl.col("close") > pl.col("range_high")).fill_null(False)
        is_first = above & (above.cum_sum().over("symbol") == 1)
        stop = {"stop_loss": pl.col("range_low")} if self.stop_at_low else {}
        return rows.select(enter=is_first, **stop)


@dataclass(frozen=True)
class VwapReversion:
    """Long below the session's VWAP by a margin, out when the price is back at it."""

    below_bps: float = 30.0
    minimum_bars: int = 30  # bars of the session before the VWAP means something
    stop_bps: float = 50.0

    def signals(self, bars: pl.DataFrame, indicators: pl.DataFrame) -> pl.DataFrame:  # noqa: ARG002
        """running_vwap includes this bar, which is over by the time of the decision."""
        is_far = pl.col("close") < pl.col("running_vwap") * (1.0 - self.below_bps / 10_000.0)
        return bars.select(
            enter=is_far & (pl.col("running_bars") >= self.minimum_bars),
            exit=pl.col("close") >= pl.col("running_vwap"),
            stop_loss_frac=pl.lit(self.stop_bps / 10_000.0),
        )


@dataclass(frozen=True)
class Rsi:
    """Long when RSI is below `low`, out when it is above `high`."""

    period: int = 14
    low: float = 30.0
    high: float = 70.0
    scope: str = "continuous"

    def indicators(self) -> list[dict[str, Any]]:
        """Wilder's RSI."""
        return [{"name": "rsi", "period": self.period, "scope": self.scope, "key": "rsi"}]

    def signals(self, bars: pl.DataFrame, indicators: pl.DataFrame) -> pl.DataFrame:  # noqa: ARG002
        """Levels, not crosses: a wish that is there already changes nothing."""
        return indicators.select(enter=pl.col("rsi") < self.low, exit=pl.col("rsi") > self.high)


@dataclass(frozen=True)
class Momentum:
    """The first minutes decide the side of the last: Gao, Han, Li and Zhou, JFE 129 (2018), without the overnight move.

    The exit is [limits] flat_by.
    """

    first: int = 30  # minutes from the open whose return decides
    last: int = 30  # minutes before the close at which it enters
    minimum_bps: float = 0.0

    def signals(self, bars: pl.DataFrame, indicators: pl.DataFrame) -> pl.DataFrame:  # noqa: ARG002
        """Both times are the session's own: a half day's last minutes begin earlier."""
        early = pl.col("known_at") <= pl.col("session_open") + pl.duration(minutes=self.first)
        opened = pl.col("open").first().over("symbol")
        move = pl.when(early).then(pl.col("close") / opened - 1.0).forward_fill().over("symbol")
        is_time = pl.col("known_at") >= pl.col("session_close") - pl.duration(minutes=self.last)
        is_first = is_time & (is_time.cum_sum().over("symbol") == 1)
        is_large = move.abs() * 10_000.0 > self.minimum_bps
        return bars.select(enter=pl.when(is_first & is_large).then(move.sign().cast(pl.Int8, strict=False)))


@dataclass(frozen=True)
class CrossSectionalRank:
    """Every so many minutes: long the symbols that rose most since the open, short those that fell most.

    Where there are fewer than two times `top` symbols, each side has half of them; of an odd number one is left out.
    """

    top: int = 10
    every: int = 30  # minutes
    gross: float = 1.0  # of equity, both sides together
    reverse: bool = False  # buy what fell, sell what rose

    def __post_init__(self) -> None:
        if self.top < 1 or self.every < 1:
            raise ValueError(f"top is {self.top} and every {self.every}; expected at least 1 of each")

    def signals(self, bars: pl.DataFrame, indicators: pl.DataFrame) -> pl.DataFrame:  # noqa: ARG002
        """Targets at the chosen times only; a symbol without a bar then keeps the target it had."""
        since = (pl.col("known_at") - pl.col("session_open")).dt.total_microseconds()
        is_time = (since % (self.every * MINUTE_US) == 0) & (pl.col("known_at") < pl.col("session_close"))
        # A column of its own: an `over` inside another would see the outer one's group alone.
        rows = bars.with_columns(move=pl.col("close") / pl.col("open").first().over("symbol") - 1.0)
        # Equal moves rank in symbol order, which is the order of the rows.
        from_top = (-pl.col("move")).rank("ordinal").over("timestamp")
        from_bottom = pl.col("move").rank("ordinal").over("timestamp")
        # Never both of a symbol, which would come to 0: the sides share the symbols that have a bar.
        each = pl.min_horizontal(pl.lit(self.top), pl.len().over("timestamp") // 2)
        side = (from_top <= each).cast(pl.Float64) - (from_bottom <= each).cast(pl.Float64)
        weight = pl.when(each > 0).then(self.gross / (2 * each)).otherwise(0.0) * (-1.0 if self.reverse else 1.0)
        return rows.select(target_weight=pl.when(is_time).then(side * weight), rank=pl.col("move").abs())
