"""The sections [run] and [history]: which bars are run, and what is loaded of the sessions before."""

from __future__ import annotations

import difflib
from datetime import date
from typing import Literal

from pydantic import BaseModel, Field, ValidationInfo, field_validator

from backtester.config.strict import STRICT, Day
from backtester.errors import ConfigError
from backtester.interval import BASES, Interval

MAX_SYMBOL_BYTES = 256


class Run(BaseModel):
    """Which bars are run."""

    model_config = STRICT

    name: str = Field(min_length=1, max_length=200)
    exchange: str
    start: Day
    end: Day
    symbols: list[str] | Literal["*"]
    interval: str = "1m"
    derived: list[str] = []
    hours: Literal["regular", "extended"] = "regular"
    tables: list[Literal["running", "indicators", "historical_profiles"]] = []

    @field_validator("name")
    @classmethod
    def _name_is_not_blank(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("expected a name that is not blank")
        return value

    @field_validator("exchange")
    @classmethod
    def _exchange_is_known(cls, value: str, info: ValidationInfo) -> str:
        known: list[str] = (info.context or {}).get("exchanges", [value])
        if value not in known:
            near = difflib.get_close_matches(value.upper(), known, n=3, cutoff=0.4)
            remedy = f"did you mean {' or '.join(near)}?" if near else "see `backtester calendar --list`"
            raise ValueError(f"no such exchange; {remedy}")
        return value

    @field_validator("end")
    @classmethod
    def _end_is_not_before_start(cls, value: date, info: ValidationInfo) -> date:
        start = info.data.get("start")
        if start is not None and value < start:
            raise ValueError(f"expected a date from {start} (run.start) on")
        return value

    @field_validator("symbols")
    @classmethod
    def _symbols_are_distinct(cls, value: list[str] | str) -> list[str] | str:
        if isinstance(value, str):
            return value
        if not value:
            raise ValueError('expected at least one symbol, or "*" for every symbol of the store')
        for symbol in value:
            if not symbol or len(symbol.encode()) > MAX_SYMBOL_BYTES or symbol == "*":
                raise ValueError(f"{symbol!r} is no symbol; expected 1 to {MAX_SYMBOL_BYTES} bytes of text")
        repeated = sorted({symbol for symbol in value if value.count(symbol) > 1})
        if repeated:
            raise ValueError(f"{', '.join(repeated)} named twice; name each symbol once")
        return value

    @field_validator("interval")
    @classmethod
    def _interval_is_a_base(cls, value: str) -> str:
        try:
            parsed = Interval.parse(value)
        except ConfigError as error:
            raise ValueError(_remedy(error)) from None
        if parsed.text not in BASES:
            raise ValueError(f"expected a source interval: {', '.join(BASES)}; others are derived (run.derived)")
        return parsed.text

    @field_validator("derived")
    @classmethod
    def _derived_are_divided(cls, value: list[str], info: ValidationInfo) -> list[str]:
        base = info.data.get("interval")
        problems, parsed = [], []
        for text in value:
            try:
                parsed.append(Interval.parse(text))
            except ConfigError as error:
                problems.append(f"{text}: {_remedy(error)}")
                continue
            if base is not None and not Interval.parse(base).divides(parsed[-1]):
                problems.append(f"{text} cannot be built from {base} bars; {_multiples(base)}")
        if len(set(parsed)) < len(parsed):
            problems.append("an interval is named twice")
        if problems:
            raise ValueError("; ".join(problems))
        return [interval.text for interval in sorted(parsed)]


class History(BaseModel):
    """What is loaded of the sessions before each session."""

    model_config = STRICT

    trailing_sessions: int = Field(default=0, ge=0, le=2520)
    warm_up_sessions: int = Field(default=0, ge=0, le=2520)  # that continuous indicators see before the first session


def _remedy(error: ConfigError) -> str:
    # Interval.parse names what it found, which our line already does.
    return str(error).partition("; ")[2]


def _multiples(base: str) -> str:
    interval = Interval.parse(base)
    if not interval.is_intraday:
        return "wider bars than a session's are history, not derived bars"
    unit = base[-1]
    step = int(base[:-1])
    return f"expected a multiple such as {', '.join(f'{step * n}{unit}' for n in (2, 5, 15))}, or 1d"
