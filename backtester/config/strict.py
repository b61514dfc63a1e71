"""What every section's model shares: strictness, dates, and how a validator says that keys are wrong."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from datetime import date
from typing import Annotated, NamedTuple, NoReturn

from pydantic import BeforeValidator, ConfigDict, ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

STRICT = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def _as_date(value: object) -> object:
    # TOML has dates; JSON and the command line write them as text.
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise ValueError(f"{error}; expected a date such as 2025-07-02") from None
    return value


Day = Annotated[date, BeforeValidator(_as_date)]
# What is said of a key that is not there.
MISSING = "missing; add it"


class Problem(NamedTuple):
    """One wrong key of a section, by its place within the section."""

    where: tuple[int | str, ...]
    found: object
    message: str  # what would do


def refuse(section: str, problems: Iterable[Problem]) -> NoReturn:
    """Raise all problems of a section at once, from inside a validator of its model."""
    errors = [
        InitErrorDetails(
            type=PydanticCustomError("setting", problem.message),
            loc=problem.where,
            input=problem.found,
        )
        for problem in problems
    ]
    raise ValidationError.from_exception_data(section, errors)


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean X?`, or all that is known."""
    choices = list(known)
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"known here: {', '.join(choices) or 'nothing'}"
