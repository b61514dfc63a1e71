"""Sample scanners: gaps and momentum, by the daily closes, the session's volume and its latest bar."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import polars as pl


@dataclass(frozen=True)
class _Daily:
    """What both look back on; [history] warm_up_sessions gives them their closes before the run's first session."""

    sessions: int = 20  # daily closes in the average

    def indicators(self) -> list[dict[str, Any]]:
        """The mean of the latest daily closes, today's not among them, and the latest of them."""
        return [
            {"name": "sma", "interval": "1d", "scope": "continuous", "period": period, "key": key}
            for period, key in ((self.sessions, "average_close"), (1, "previous_close"))
        ]


@dataclass(frozen=True)
class GapScanner(_Daily):
    """Symbols that lie above their average close by a margin, trade enough and are not too dear.

    Before a symbol's first bar its price is the close before, and its volume what it trades in a session on average.
    """

    minimum_gap: float = 0.02  # of the average
    minimum_volume: float = 1_000_000.0
    maximum_price: float = 500.0

    def historical_indicators(self) -> list[dict[str, Any]]:
        """The volume that stands for today's before the open."""
        return [{"name": "avg_volume", "sessions": self.sessions, "key": "usual_volume"}]

    def select(self, now: pl.DataFrame) -> pl.DataFrame:
        """Null where there is no average yet, and null selects nothing."""
        price = pl.coalesce("close", "previous_close")
        gap = price / pl.col("average_close") - 1.0
        volume = pl.coalesce("running_volume", "usual_volume")
        is_liquid = (volume >= self.minimum_volume) & (price <= self.maximum_price)
        return now.select(selected=(gap >= self.minimum_gap) & is_liquid, gap=gap)


@dataclass(frozen=True)
class MomentumScanner(_Daily):
    """Symbols that have traded enough today, lie above their average close and whose latest bar rose."""

    minimum_volume: float = 500_000.0

    def select(self, now: pl.DataFrame) -> pl.DataFrame:
        """Nothing before the first bar."""
        is_above, is_up = pl.col("close") > pl.col("average_close"), pl.col("close") > pl.col("open")
        is_traded = pl.col("running_volume") >= self.minimum_volume
        return now.select(selected=is_above & is_up & is_traded, volume="running_volume")
