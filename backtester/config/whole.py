"""The whole config: its sections as one model."""

from __future__ import annotations

from pydantic import BaseModel

from backtester.config.run import History, Run
from backtester.config.strict import STRICT
from backtester.interval import Interval


class Config(BaseModel):
    """A whole config; a section that is absent is off."""

    model_config = STRICT

    run: Run
    history: History = History()

    @property
    def interval(self) -> Interval:
        """The source interval."""
        return Interval.parse(self.run.interval)

    @property
    def derived(self) -> list[Interval]:
        """The derived intervals, from narrow to wide."""
        return [Interval.parse(text) for text in self.run.derived]
