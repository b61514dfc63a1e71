"""Sample strategies as compiled steps: the same as those of samples.py, row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from backtester.kernels.codes import STOP_LOSS_FRAC
from backtester.strategy import samples
from backtester.strategy.step import enter, leave


@dataclass(frozen=True)
class SmaCross(samples.Cross):
    """Long when the fast average crosses above the slow one; out, or short, when it crosses below."""

    def step(self, row: Any, desk: Any) -> None:
        """A comparison with NaN, where an average has no value yet, is false."""
        if row.fast > row.slow and row.fast_before <= row.slow_before:
            enter(row, desk, 1)
        elif row.fast < row.slow and row.fast_before >= row.slow_before:
            if self.short != 0.0:
                enter(row, desk, -1)
            else:
                leave(row, desk)


@dataclass(frozen=True)
class OpeningRange:
    """Long on the session's first close above the high of its first minutes; the exit is [limits] flat_by."""

    memory = 1  # whether it has entered this session

    minutes: int = 30
    stop_at_low: bool = False

    def indicators(self) -> list[dict[str, Any]]:
        """The range, known from its last minute on."""
        return [{"name": "opening_range", "minutes": self.minutes, "key": "range"}]

    def step(self, row: Any, desk: Any) -> None:
        """One entry a symbol and session."""
        if row.running_bars == 1.0:
            row.memory[row.symbol, 0] = 0.0
        if row.close > row.range_high and row.memory[row.symbol, 0] == 0.0:
            row.memory[row.symbol, 0] = 1.0
            if self.stop_at_low != 0.0:
                enter(row, desk, 1, stop_loss=row.range_low)
            else:
                enter(row, desk, 1)


@dataclass(frozen=True)
class VwapReversion:
    """Long below the session's VWAP by a margin, out when the price is back at it."""

    below_bps: float = 30.0
    minimum_bars: int = 30
    stop_bps: float = 50.0

    def step(self, row: Any, desk: Any) -> None:
        """running_vwap includes this bar, which is over by the time of the decision."""
        if row.close >= row.running_vwap:
            leave(row, desk)
        elif row.close < row.running_vwap * (1.0 - self.below_bps / 10_000.0) and row.running_bars >= self.minimum_bars:
            enter(row, desk, 1, stop_loss=self.stop_bps / 10_000.0, fractions=STOP_LOSS_FRAC)


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

    def step(self, row: Any, desk: Any) -> None:
        """Levels, not crosses."""
        if row.rsi < self.low:
            enter(row, desk, 1)
        elif row.rsi > self.high:
            leave(row, desk)


@dataclass(frozen=True)
class Momentum:
    """The first minutes decide the side of the last; the exit is [limits] flat_by."""

    memory = 3  # the session's open, the move of its first minutes, whether it has decided

    first: int = 30
    last: int = 30
    minimum_bps: float = 0.0

    def step(self, row: Any, desk: Any) -> None:
        """Both times are the session's own."""
        if row.running_bars == 1.0:
            row.memory[row.symbol, 0] = row.open
            row.memory[row.symbol, 1] = 0.0
            row.memory[row.symbol, 2] = 0.0
        if row.minutes_open <= self.first:
            row.memory[row.symbol, 1] = row.close / row.memory[row.symbol, 0] - 1.0
        if row.minutes_left <= self.last and row.memory[row.symbol, 2] == 0.0:
            row.memory[row.symbol, 2] = 1.0
            move = row.memory[row.symbol, 1]
            if abs(move) * 10_000.0 > self.minimum_bps:
                enter(row, desk, 1 if move > 0.0 else -1)
