"""`backtester data indicators`: what a config's [[indicators]] and [[historical_indicators]] may name."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from backtester.features.catalog import Indicator, Parameter
    from backtester.features.trailing_catalog import Historical


@click.command()
@click.argument("names", nargs=-1)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(names: tuple[str, ...], as_json: bool) -> None:
    """The indicators a config may ask for: parameters with defaults, formula, warm-up; all of them, or NAMES.

    \b
    backtester data indicators
    backtester data indicators macd volume_profile
    backtester data indicators --json
    """
    from backtester.errors import UsageError
    from backtester.features.catalog import indicators
    from backtester.features.trailing_catalog import ENTRIES

    known = {name: _session(each) for name, each in indicators().items()}
    past = {name: _historical(each) for name, each in ENTRIES.items()}
    unknown = [name for name in names if name not in known | past]
    if unknown:
        from backtester.config.strict import nearest

        raise UsageError(f"no indicator {unknown[0]}; {nearest(unknown[0], known | past)}")
    chosen = [each for each in [*known.values(), *past.values()] if not names or each["name"] in names]
    if as_json:
        click.echo(json.dumps({"indicators": chosen}))
        return
    group = ""
    for each in chosen:
        if each["group"] != group:
            group = each["group"]
            click.echo(f"{group}\n")
        _print(each)


def _print(each: dict[str, Any]) -> None:
    given = ", ".join(f"{parameter['name']} = {parameter['default']!r}" for parameter in each["parameters"])
    outputs = "" if each["outputs"] == ["value"] else f" -> {', '.join(each['outputs'])}"
    click.echo(f"  {each['name']}({given}){outputs}")
    click.echo(f"      {each['formula']}")
    told = [f"{name}: {each[name]}" for name in ("warm_up", "window", "known", "exactness", "source") if name in each]
    click.echo(f"      {'; '.join(told)}")
    for parameter in each["parameters"]:
        bounds = " or ".join(parameter["choices"]) or f"{parameter['low']:g} to {parameter['high']:g}"
        click.echo(f"      {parameter['name']}: {parameter['meaning']}, {bounds}")
    click.echo()


def _session(each: Indicator) -> dict[str, Any]:
    return {
        "section": "indicators",
        "group": each.group,
        "name": each.name,
        "parameters": [_parameter(parameter) for parameter in each.parameters],
        "outputs": list(each.outputs),
        "formula": each.formula,
        "source": each.source,
        "warm_up": f"{each.warmup_says} bars",
        "known": each.known,
        "exactness": each.exactness,
        "scopes": list(each.scopes),
    }


def _historical(each: Historical) -> dict[str, Any]:
    return {
        "section": "historical_indicators",
        "group": "historical",
        "name": each.name,
        "parameters": [_parameter(parameter) for parameter in each.parameters],
        "outputs": [output or "value" for output in each.outputs],
        "formula": each.formula,
        "window": " or ".join(f"{unit} = N" for unit in each.units),
        "known": "before the session",
        "units": list(each.units),
        "missing": list(each.missing),
    }


def _parameter(each: Parameter) -> dict[str, Any]:
    bounds = {"low": each.low, "high": each.high, "choices": list(each.choices)}
    return {"name": each.name, "default": each.default, "meaning": each.meaning, **bounds}
