"""A strategy in columns: long above the highest high of the bars before, out below the average."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl


@dataclass(frozen=True)
class Breakout:
    """Its fields are the parameters of the config; what a combination cannot be, __post_init__ may refuse."""

    period: int = 30
    stop_frac: float = 0.004

    def __post_init__(self) -> None:
        if self.period < 2:
            raise ValueError(f"period is {self.period}; expected at least 2")

    def indicators(self) -> list[dict[str, Any]]:
        """What it needs, as in [[indicators]] of a config; each comes as a column named by its key."""
        return [
            {"name": "donchian", "period": self.period, "lag": 1, "key": "channel"},
            {"name": "sma", "period": self.period, "key": "average"},
        ]

    def signals(self, bars: pl.DataFrame, indicators: pl.DataFrame) -> pl.DataFrame:
        """One row a bar, asked for when that bar is over; what has no value yet is null, and wishes nothing."""
        rows = bars.hstack(indicators)
        return rows.select(
            enter=pl.col("close") > pl.col("channel_upper"),
            exit=pl.col("close") < pl.col("average"),
            stop_loss_frac=pl.lit(self.stop_frac),
            rank=pl.col("running_volume"),  # where cash is short, the busiest symbol comes first
        )
