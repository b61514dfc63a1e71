"""Reading a config file: TOML or JSON in, a `Config` or every error at once out."""

from __future__ import annotations

import difflib
import json
import tomllib
import types
import typing
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import BaseModel, ValidationError

from backtester.config.strategy import StrategyProblems
from backtester.config.strict import MISSING, nearest
from backtester.config.whole import Config
from backtester.errors import ConfigError

# What is wrong with the indicators of a config as read, a line each, beginning with its key.
IndicatorProblems = Callable[[dict[str, Any]], list[str]]


def load(
    path: Path,
    *,
    exchanges: Sequence[str],
    overrides: dict[str, Any] | None = None,
    strategy_problems: StrategyProblems | None = None,
    scanner_problems: StrategyProblems | None = None,
    indicator_problems: IndicatorProblems | None = None,
) -> Config:
    """Read a TOML or JSON config; ConfigError lists everything that is wrong with it.

    exchanges           those the calendar knows
    overrides           values of the [run] section given on the command line
    strategy_problems   asks whether a strategy can be made; not asked when None
    scanner_problems    the same of a scanner
    indicator_problems  asks what is wrong with the indicators, if there are any; not asked when None
    """
    raw = _read(path)
    if overrides and isinstance(raw.get("run"), dict):
        raw["run"].update(overrides)
    context = {
        "exchanges": list(exchanges),
        "strategy_problems": strategy_problems,
        "scanner_problems": scanner_problems,
    }
    lines: list[str] = []
    if indicator_problems is not None and (raw.get("indicators") or raw.get("historical_indicators")):
        lines += indicator_problems(raw)
    try:
        config = Config.model_validate(raw, context=context)
    except ValidationError as error:
        lines = [line_of(problem, Config) for problem in error.errors(include_url=False)] + lines
    if lines:
        raise ConfigError(f"{path}: {len(lines)} problem(s)\n" + "\n".join(f"  {line}" for line in lines)) from None
    return config


def resolved_toml(config: Config) -> str:
    """The config with every default written out; a value of None is left out."""
    return tomli_w.dumps(_without_none(config.model_dump()))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    if isinstance(value, list | tuple):
        return [_without_none(each) for each in value if each is not None]
    return value


def line_of(problem: Any, root: type[BaseModel]) -> str:
    """One error of pydantic's about a config of model `root`: the key, what was found, what would do."""
    where, holders, kind = _place(root, [part for part in problem["loc"] if not _is_internal(part)])
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in where).lstrip(".")
    found = problem.get("input")
    message = problem["msg"].removeprefix("Value error, ").replace("Input should be", "expected", 1)
    if problem["type"] == "extra_forbidden":
        known = dict.fromkeys(name for holder in holders for name in holder.model_fields)
        return f"{key}: unknown key (found {found!r}); {nearest(str(where[-1]), known)}"
    if problem["type"] == "missing" or message == MISSING:
        return f"{key}: {MISSING}"
    if isinstance(found, dict):
        return f"{key}: {message}" if key else message
    if problem["type"] == "list_type" and isinstance(found, str):
        return f"{key} is {found!r}; expected a list: {json.dumps([found])}"
    return f"{key} is {found!r}; {message}{_nearest_choice(kind, found)}"


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


def _is_internal(part: int | str) -> bool:
    return str(part).startswith(("literal[", "list[", "dict[", "function-"))


def _place(root: Any, parts: list[int | str]) -> tuple[list[int | str], list[type[BaseModel]], list[Any]]:
    """The key as the user wrote it, the models that could hold its last part, and that part's types.

    A part that is no field of what is reached so far names a member of a union: it narrows the models and is no key.
    """
    where: list[int | str] = []
    holders: list[type[BaseModel]] = []
    reached = _members(root)
    for index, part in enumerate(parts):
        models = [kind for kind in reached if isinstance(kind, type) and issubclass(kind, BaseModel)]
        below = [below for kind in reached if (below := _below(kind, part)) is not None]
        if not below and index < len(parts) - 1 and models:
            reached = [model for model in models if _is_tagged(model, part)] or models
            continue
        where.append(part)
        holders, reached = models, [member for kind in below for member in _members(kind)]
    return where, holders, reached


def _members(kind: Any) -> list[Any]:
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return _members(typing.get_args(kind)[0])
    if origin in (typing.Union, types.UnionType):
        return [member for each in typing.get_args(kind) for member in _members(each)]
    return [kind]


def _below(kind: Any, part: int | str) -> Any:
    arguments = typing.get_args(kind)
    if typing.get_origin(kind) is list and isinstance(part, int):
        return arguments[0]
    if typing.get_origin(kind) is dict and len(arguments) == 2:
        return arguments[1]
    if isinstance(kind, type) and issubclass(kind, BaseModel) and str(part) in kind.model_fields:
        return kind.model_fields[str(part)].annotation
    return None


def _is_tagged(model: type[BaseModel], part: int | str) -> bool:
    return model.__name__ == part or any(
        part in typing.get_args(field.annotation)
        for field in model.model_fields.values()
        if typing.get_origin(field.annotation) is typing.Literal
    )


def _nearest_choice(kinds: list[Any], found: object) -> str:
    choices = [
        str(choice) for kind in kinds if typing.get_origin(kind) is typing.Literal for choice in typing.get_args(kind)
    ]
    near = difflib.get_close_matches(str(found), choices, n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
