"""The run's settings: strict, every error at once, each with its key, what was found and what would do."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal

# Before pydantic: looking for its plugins reads the metadata of every installed package, 0.1 s that we have no use for.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

import tomli_w
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from backtester.errors import ConfigError
from backtester.interval import BASES, Interval

MAX_SYMBOL_BYTES = 256


def _as_date(value: object) -> object:
    # TOML has dates; JSON and the command line write them as text.
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise ValueError(f"{error}; expected a date such as 2025-07-02") from None
    return value


Day = Annotated[date, BeforeValidator(_as_date)]
_STRICT = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Run(BaseModel):
    """Which bars are run."""

    model_config = _STRICT

    name: str = Field(min_length=1, max_length=200)
    exchange: str
    start: Day
    end: Day
    symbols: list[str] | Literal["*"]
    interval: str = "1m"
    derived: list[str] = []
    hours: Literal["regular", "extended"] = "regular"
    tables: list[Literal["running"]] = []

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

    model_config = _STRICT

    trailing_sessions: int = Field(default=0, ge=0, le=2520)


class Config(BaseModel):
    """A whole config; a section that is absent is off."""

    model_config = _STRICT

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


def load(path: Path, *, exchanges: Sequence[str], overrides: dict[str, Any] | None = None) -> Config:
    """Read a TOML or JSON config; ConfigError lists everything that is wrong with it.

    exchanges  those the calendar knows
    overrides  values of the [run] section given on the command line
    """
    raw = _read(path)
    if overrides and isinstance(raw.get("run"), dict):
        raw["run"].update(overrides)
    try:
        return Config.model_validate(raw, context={"exchanges": list(exchanges)})
    except ValidationError as error:
        lines = [_line(problem) for problem in error.errors(include_url=False)]
        raise ConfigError(f"{path}: {len(lines)} problem(s)\n" + "\n".join(f"  {line}" for line in lines)) from None


def resolved_toml(config: Config) -> str:
    """The config with every default written out."""
    return tomli_w.dumps(config.model_dump())


def _read(path: Path) -> dict[str, Any]:
    try:
        text = path.read_bytes().decode("utf-8-sig")
        raw = json.loads(text, object_pairs_hook=_distinct) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        kind = "JSON" if path.suffix == ".json" else "TOML"
        raise ConfigError(f"{path}: not {kind}: {error}") from error
    if not isinstance(raw, dict):
        raise ConfigError(f"{path}: expected sections such as [run], found {type(raw).__name__}")
    return raw


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = [key for key, _ in pairs]
    repeated = sorted({key for key in keys if keys.count(key) > 1})
    if repeated:
        raise ValueError(f"{', '.join(repeated)} given twice")
    return dict(pairs)


def _line(problem: Any) -> str:
    where = [part for part in problem["loc"] if not str(part).startswith(("literal[", "list[", "function-"))]
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")
    found = problem.get("input")
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "extra_forbidden":
        return f"{key}: unknown key (found {found!r}); {_nearest_key(where)}"
    if problem["type"] == "missing":
        return f"{key}: missing; add it"
    message = message.replace("Input should be", "expected", 1)
    return f"{key} is {found!r}; {message}{_nearest_value(key, found)}"


def _nearest_key(where: list[Any]) -> str:
    sections: dict[str, type[BaseModel]] = {"run": Run, "history": History}
    section = sections.get(str(where[0])) if len(where) > 1 else Config
    known = list(section.model_fields) if section is not None else []
    near = difflib.get_close_matches(str(where[-1]), known, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(known)}"


def _nearest_value(key: str, found: object) -> str:
    choices = {"run.hours": ["regular", "extended"], "run.tables[0]": ["running"]}.get(key, [])
    near = difflib.get_close_matches(str(found), choices, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


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
