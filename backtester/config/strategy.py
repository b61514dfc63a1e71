"""The sections around the ledger: [strategy], [[scanners]], [quality] and [metrics]."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, Field, ValidationInfo, field_validator, model_validator

from backtester.config.strict import STRICT, Problem, refuse
from backtester.errors import ConfigError
from backtester.interval import Interval

A_MINUTE_US = 60_000_000

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
        return _class_name(value)

    @model_validator(mode="after")
    def _strategy_can_be_made(self, info: ValidationInfo) -> Strategy:
        problems_of: StrategyProblems | None = (info.context or {}).get("strategy_problems")
        if problems_of is not None:
            problems = problems_of(self.use, self.params)
            if problems:
                refuse("strategy", problems)
        return self


class Scanner(BaseModel):
    """What chooses the symbols that may be entered, and when it is asked."""

    model_config = STRICT

    use: str
    params: dict[str, Any] = {}
    at: list[str] = Field(default=["open"], min_length=1)
    keep: bool = True  # false: what it selects replaces what it selected before
    name: str = ""  # the class's name without one

    @field_validator("use")
    @classmethod
    def _use_names_a_class(cls, value: str) -> str:
        return _class_name(value)

    @field_validator("at")
    @classmethod
    def _at_are_times(cls, value: list[str]) -> list[str]:
        wrong = [text for text in value if scan_time(text) is None]
        if wrong:
            raise ValueError(
                f'{wrong[0]!r} is no time of a session; expected "open", "open+30m", "close-60m" or "10:30"'
            )
        return value

    @model_validator(mode="after")
    def _scanner_can_be_made(self, info: ValidationInfo) -> Scanner:
        problems_of: StrategyProblems | None = (info.context or {}).get("scanner_problems")
        if problems_of is not None:
            problems = problems_of(self.use, self.params)
            if problems:
                refuse("scanner", problems)
        return self

    @property
    def title(self) -> str:
        """What its selections are listed under."""
        return self.name or self.use.partition(":")[2]


def scan_time(text: str) -> tuple[str, int] | None:
    """A time of the session: from `open`, before `close`, or of the `clock` since midnight, in microseconds."""
    if text in ("open", "close"):
        return None if text == "close" else (text, 0)
    if clock := re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", text):
        return "clock", (int(clock[1]) * 60 + int(clock[2])) * A_MINUTE_US
    relative = re.fullmatch(r"(open)\+(.+)|(close)-(.+)", text)
    if relative is None:
        return None
    edge, away = relative[1] or relative[3], relative[2] or relative[4]
    try:
        interval = Interval.parse(away)
    except ConfigError:
        return None
    return (edge, interval.us) if interval.is_intraday else None


def _class_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", value):
        raise ValueError("expected module:Class, such as my_strategy:Breakout for a class in my_strategy.py")
    return value


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
