"""The sections around the ledger: [strategy], [quality] and [metrics]."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator

from backtester.config.strict import STRICT, Problem, refuse

# What is wrong with a strategy as named: its `use` and `params`, checked by whoever can import it.
StrategyProblems = Callable[[str, dict[str, Any]], list[Problem]]


class Strategy(BaseModel):
    """Which strategy decides, with which parameters."""

    model_config = STRICT

    use: str
    params: dict[str, Any] = {}

    @field_validator("use")
    @classmethod
    def _use_names_a_class(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", value):
            raise ValueError("expected module:Class, such as my_strategy:Breakout for a class in my_strategy.py")
        return value

    @model_validator(mode="after")
    def _strategy_can_be_made(self, info: ValidationInfo) -> Strategy:
        problems_of: StrategyProblems | None = (info.context or {}).get("strategy_problems")
        if problems_of is not None:
            problems = problems_of(self.use, self.params)
            if problems:
                refuse("strategy", problems)
        return self


class Quality(BaseModel):
    """When a symbol's bars are good enough to enter; 0 and None are off."""

    model_config = STRICT

    minimum_pct: float = Field(default=0.0, ge=0, le=100)
    max_stale_bars: int | None = Field(default=None, ge=0)


class Metrics(BaseModel):
    """What the metrics are measured against."""

    model_config = STRICT

    benchmark: str | None = Field(default=None, min_length=1)
    risk_free_frac: float = Field(default=0.0, gt=-1)
