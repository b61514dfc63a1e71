"""The indicators a config asks for: everything that is wrong with them, and their uses once nothing is."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from backtester.config import Config
from backtester.errors import ConfigError, StrategyError
from backtester.features import catalog, trailing_catalog
from backtester.features.catalog import Indicator
from backtester.interval import Interval
from backtester.strategy.loading import Loaded, import_beside, role_of, where_raised


def problems_of(raw: dict[str, Any], *, folder: Path = Path()) -> list[str]:
    """What is wrong with the indicators of a config as read, a line each, beginning with its key.

    folder  where the modules of a user's own indicators are looked for first
    """
    run_interval = _run_interval(raw)
    sections = _sections(raw, "indicators")
    uses, problems = catalog.uses_of(sections, run_interval=str(run_interval), find=_finder(folder))
    problems += _interval_problems(sections, run_interval)
    past, wrong = trailing_catalog.historical_uses(
        _sections(raw, "historical_indicators"), run_interval=run_interval, source=run_interval, has_daily=False
    )
    problems += wrong
    taken = {name.lower() for use in uses for name in (use.key, *use.columns)}
    for use in past:
        problems += [
            f"historical_indicators: {column} is an indicator too; give one of them another key"
            for column in trailing_catalog.row_columns_of(use)
            if column.lower() in taken
        ]
    return problems


def with_declared(config: Config, strategy: Loaded, *, folder: Path) -> Config:
    """The config with the indicators a strategy or scanner declares; one that the config lists word for word is one.

    So that the config as resolved, which lists them, means the same run.
    """
    raw: dict[str, Any] = {"run": {"interval": str(config.interval)}}
    lists = {"indicators": list(config.indicators), "historical_indicators": list(config.historical_indicators)}
    for name, listed in lists.items():
        raw[name] = declared = _declared(strategy, name)
        lists[name] = [*listed, *(section for section in declared if section not in listed)]
    problems = problems_of(raw, folder=folder)
    if problems:
        raise StrategyError(f"{role_of(strategy)} {strategy.use} declares what cannot be: " + "; ".join(problems))
    return config.model_copy(update=lists)


def _declared(strategy: Loaded, name: str) -> list[dict[str, Any]]:
    method = getattr(strategy.strategy, name, None)
    if method is None:
        return []
    try:
        found = method()
    except Exception as error:
        raise StrategyError(f"{role_of(strategy)} {strategy.use}: {name}: {where_raised(error)}") from error
    if not isinstance(found, list) or not all(isinstance(section, dict) for section in found):
        raise StrategyError(
            f"{role_of(strategy)} {strategy.use}: {name}() gave {found!r}; expected a list of sections, {{}} each"
        )
    return found


def session_uses(config: Config, *, folder: Path) -> list[catalog.Use]:
    """The session indicators, checked."""
    find = _finder(folder)
    uses, problems = catalog.uses_of(list(config.indicators), run_interval=str(config.interval), find=find)
    _require_none(problems)
    return uses


def historical_uses(config: Config, *, source: Interval, has_daily: bool) -> list[trailing_catalog.Use]:
    """The historical indicators, checked; `has_daily` says that the store holds daily bars for them."""
    uses, problems = trailing_catalog.historical_uses(
        list(config.historical_indicators), run_interval=config.interval, source=source, has_daily=has_daily
    )
    _require_none(problems)
    return uses


def foreign_digests(uses: list[catalog.Use], *, folder: Path) -> dict[str, str]:
    """What indicators that are not of the catalog depend on: their modules' digests, and the libraries' versions."""
    found: dict[str, str] = {}
    names = [use.name for use in uses if use.name not in catalog.indicators()]
    for name in names:
        library = "talib" if name.lower().startswith("talib.") else "polars"
        found[library] = importlib.metadata.version("ta-lib" if library == "talib" else library)
        if library == "polars":
            found |= import_beside(name.partition(":")[0], folder)
    return found


def _finder(folder: Path) -> Callable[[str], Indicator]:
    def find(name: str) -> Indicator:
        # Imported late: it brings in Polars, which an indicator of the catalog has no use for.
        from backtester.features import foreign

        module, colon, _ = name.partition(":")
        if module and colon and not name.lower().startswith("talib."):
            try:
                import_beside(module, folder)
            except StrategyError as error:
                raise ValueError(str(error)) from error
        return foreign.find(name)

    return find


def _require_none(problems: list[str]) -> None:
    if problems:
        raise ConfigError(f"{len(problems)} problem(s)\n" + "\n".join(f"  {line}" for line in problems))


def _run_interval(raw: dict[str, Any]) -> Interval:
    """The run's interval, or the default where it is not to be read: its own line of errors says so."""
    run = raw.get("run")
    try:
        return Interval.parse(run["interval"] if isinstance(run, dict) else "1m")
    except (ConfigError, KeyError, AttributeError):
        return Interval.parse("1m")


def _sections(raw: dict[str, Any], name: str) -> list[Mapping[str, object]]:
    """The sections that are any; what else stands there is an error of the config's own."""
    found = raw.get(name, [])
    return [section for section in found if isinstance(section, dict)] if isinstance(found, list) else []


def _interval_problems(sections: list[Mapping[str, object]], run_interval: Interval) -> list[str]:
    problems = []
    for k, section in enumerate(sections):
        found = section.get("interval", str(run_interval))
        try:
            interval = Interval.parse(found) if isinstance(found, str) else None
        except ConfigError as error:
            problems.append(f"indicators[{k}].interval is {found!r}; {str(error).partition('; ')[2]}")
            continue
        if interval is None or not (interval == run_interval or run_interval.divides(interval)):
            problems.append(
                f"indicators[{k}].interval is {found!r}; expected {run_interval} or a multiple of it, or 1d"
            )
    return problems
