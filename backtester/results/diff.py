"""Two runs side by side: the first fill in which they part, and the setting or input that made them part."""

from __future__ import annotations

import itertools
from datetime import date
from typing import Any, NamedTuple

from backtester.data.run_dir import RunDir
from backtester.results.ledger_rows import Row, every_row, settings_of

# What makes a fill the same, in the order in which one difference explains those after it.
COMPARED = ("symbol", "timestamp", "filled_at", "side", "rule", "reference_price", "price", "quantity", "commission")
# Which settings can move a column while those before it in COMPARED are the same.
MOVED_BY = {
    "rule": ("fill_bar", "market_price", "intrabar", "arm", "exits_first", "limit_", "stop_", "trail_", "end"),
    "reference_price": ("market_price", "intrabar", "limit_price", "stop_price", "trail_", "stop_loss", "take_profit"),
    "price": (
        "slippage_",
        "spread_",
        "share_",
        "round_fills",
        "limit_slippage",
        "stop_slippage",
        "slip_within",
        "tick",
    ),
    "quantity": (
        *("size_", "lot", "capital", "cash", "leverage", "volume_", "max_", "params", "commission"),
        *("interest_rate", "debit_rate", "borrow_rate"),
    ),
    "commission": ("commission",),
}


class Difference(NamedTuple):
    """How two runs part; fills are None where a run has none more, column None where the runs have the same fills."""

    fill_a: Row | None
    fill_b: Row | None
    number: int  # of the first fill that differs, counted from 0; of fills, where there is no difference
    column: str | None
    cause: str
    settings: dict[str, tuple[Any, Any]]  # every setting that differs
    inputs: list[str]  # sessions whose source bars differ
    sources: list[str]  # modules of the user's whose files differ
    code: tuple[str, str] | None  # digests of the code, and versions of what it stands on, if they differ


def diff(a: RunDir, b: RunDir) -> Difference:
    """Compare the runs' fills in order, and their manifests."""
    number, column, fill_a, fill_b = 0, None, None, None
    for pair in itertools.zip_longest(every_row(a, "fills"), every_row(b, "fills")):
        column = _parted(*pair)
        if column is not None:
            fill_a, fill_b = pair
            break
        number += 1
    settings = _settings(settings_of(a), settings_of(b))
    inputs, sources, code = _inputs(a, b)
    cause = _cause(column, fill_a, fill_b, settings, inputs, sources, code)
    return Difference(fill_a, fill_b, number, column, cause, settings, inputs, sources, code)


def shown(value: object) -> str:
    """A setting as a config has it."""
    return value.isoformat() if isinstance(value, date) else repr(value)


def _parted(fill_a: Row | None, fill_b: Row | None) -> str | None:
    if fill_a is None or fill_b is None:
        return "fill"
    return next((name for name in COMPARED if fill_a[name] != fill_b[name]), None)


def _settings(a: dict[str, Any], b: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    flat_a, flat_b = _flat(a), _flat(b)
    keys = [*flat_a, *(key for key in flat_b if key not in flat_a)]
    return {key: (flat_a.get(key), flat_b.get(key)) for key in keys if flat_a.get(key) != flat_b.get(key)}


def _flat(sections: dict[str, Any], before: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in sections.items():
        name = f"{before}{key}"
        found |= _flat(value, f"{name}.") if isinstance(value, dict) and value else {name: value}
    return found


def _inputs(a: RunDir, b: RunDir) -> tuple[list[str], list[str], tuple[str, str] | None]:
    one, other = a.manifest(), b.manifest()
    if one is None or other is None:
        return [], [], None
    codes = tuple(" ".join([each["code"], *map(" ".join, sorted(each["versions"].items()))]) for each in (one, other))
    return (
        _differing(one["inputs"], other["inputs"]),
        _differing(one.get("sources", {}), other.get("sources", {})),
        (codes[0], codes[1]) if codes[0] != codes[1] else None,
    )


def _differing(one: dict[str, str], other: dict[str, str]) -> list[str]:
    return [key for key in sorted({*one, *other}) if one.get(key) != other.get(key)]


def _cause(
    column: str | None,
    fill_a: Row | None,
    fill_b: Row | None,
    settings: dict[str, tuple[Any, Any]],
    inputs: list[str],
    sources: list[str],
    code: tuple[str, str] | None,
) -> str:
    if column is None:
        return "none: the fills are the same"
    decided = {key: pair for key, pair in settings.items() if key != "run.name"}
    likely = [key for key in decided if column in MOVED_BY and _names(key, MOVED_BY[column])]
    told = [f"{key} is {shown(decided[key][0])} and {shown(decided[key][1])}" for key in likely or decided]
    if sources and not likely:
        told.append(f"the source of {', '.join(sources)} differs")
    if told:
        return "; ".join(told)
    day = max(fill["session"] for fill in (fill_a, fill_b) if fill is not None)
    before = [session for session in inputs if session <= day]
    if before:
        return f"the source bars of {', '.join(before[:5])}{' and more' if len(before) > 5 else ''} differ"
    if code is not None:
        return f"the code differs: {code[0]} and {code[1]}"
    return "unknown: settings, inputs and code are the same, so one of the runs is not what it says; verify both"


def _names(key: str, beginnings: tuple[str, ...]) -> bool:
    parts = key.split(".")[1:]
    return any(part.startswith(beginning) for part in parts for beginning in beginnings)
