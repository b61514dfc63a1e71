"""The whole config: its sections as one model."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, model_validator

from backtester.config.execution import Execution, Limits
from backtester.config.run import History, Run
from backtester.config.strategy import Metrics, Quality, Scanner, Strategy
from backtester.config.strict import STRICT
from backtester.interval import Interval


class Config(BaseModel):
    """A whole config; a section that is absent is off."""

    model_config = STRICT

    run: Run
    history: History = History()
    # What may stand in a section depends on the indicator it names: config.load asks whoever knows them.
    indicators: list[dict[str, Any]] = []
    historical_indicators: list[dict[str, Any]] = []
    strategy: Strategy | None = None
    scanners: list[Scanner] = []
    execution: Execution = Execution()
    limits: Limits = Limits()
    quality: Quality = Quality()
    metrics: Metrics = Metrics()

    @model_validator(mode="after")
    def _orders_have_a_strategy(self) -> Config:
        if self.strategy is None:
            for name in ("scanners", "execution", "limits", "quality", "metrics"):
                if getattr(self, name) != type(self).model_fields[name].default:
                    raise ValueError(f"[{name}] is about the orders of a strategy, and there is none; add [strategy]")
        return self

    @model_validator(mode="after")
    def _scanners_have_names_of_their_own(self) -> Config:
        titles = [scanner.title for scanner in self.scanners]
        twice = sorted({title for title in titles if titles.count(title) > 1})
        if twice:
            raise ValueError(f'two [[scanners]] are called {twice[0]}; give one of them a name = "..." of its own')
        return self

    @property
    def interval(self) -> Interval:
        """The source interval."""
        return Interval.parse(self.run.interval)

    @property
    def derived(self) -> list[Interval]:
        """The derived intervals, from narrow to wide."""
        return [Interval.parse(text) for text in self.run.derived]
