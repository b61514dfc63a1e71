"""Indicators that are not of the catalog: TA-Lib's functions by name, and a user's own from the user's module.

`talib.ADX` is TA-Lib's function with its parameters (the extra `ta`). `my_module:name` is a Polars expression over the
columns open, high, low, close and volume, evaluated symbol by symbol, or a `Custom`.

In session scope they see the session's rows. In continuous scope they see those and the `lookback` rows before: a
number that is declared, carried, and the same however a run is split. What needs every bar there ever was is refused.
"""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
import polars as pl

from backtester.arrays import Bars, Float64, Int64, Spans
from backtester.errors import StrategyError
from backtester.features.catalog import SUMS, Indicator, Parameter, Use, Value, Values
from backtester.kernels.jit import Kernel

COLUMNS = Bars._fields
# Their values are sums from the first bar there ever was.
_ENDLESS = ("AD", "OBV")
_ANY = 1e9


@dataclass(frozen=True)
class Custom:
    """A user's indicator: expressions, one an output, or a kernel with the arguments of kernels/rolling_averages.py.

    lookback  bars before a bar that its value depends on; continuous scope carries them
    state     numbers a kernel carries for each symbol beside those bars
    """

    lookback: int
    expressions: Mapping[str, pl.Expr] | None = None
    kernel: Kernel[Any, Any] | None = None
    outputs: tuple[str, ...] = ("value",)
    parameters: tuple[Parameter, ...] = ()
    state: int = 0
    talib: str = ""


def find(name: str) -> Indicator:
    """The indicator `talib.NAME` or `module:name`; ValueError says what is missing and what would do."""
    if name.lower().startswith("talib."):
        return _of_talib(name)
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise ValueError("expected talib.NAME or module:name")
    try:
        holder = importlib.import_module(module)
    except Exception as error:  # a user's module can fail in any way
        raise ValueError(f"{module} cannot be imported: {error!r}") from error
    found = getattr(holder, attribute, None)
    if isinstance(found, pl.Expr):
        return _of_custom(name, Custom(0, {"value": found}))
    if isinstance(found, Custom):
        return _of_custom(name, found)
    names = [each for each in vars(holder) if isinstance(getattr(holder, each), pl.Expr | Custom)]
    near = difflib.get_close_matches(attribute, names, n=1)
    what = "is no pl.Expr and no Custom" if found is not None else "does not exist"
    hint = f"did you mean {near[0]}?" if near else f"{module} has {', '.join(names) or 'none'}"
    raise ValueError(f"{attribute} {what}; {hint}")


def run_custom(custom: Custom, use: Use, spans: Spans, bars: Bars, rows: Int64, outputs: int) -> Float64:
    """[outputs, session rows] of expressions or of a TA-Lib function, symbol by symbol."""
    if custom.talib:
        out = _run_talib(custom, use, spans, bars, outputs)
    else:
        assert custom.expressions is not None
        symbol = np.repeat(np.arange(len(spans.first)), spans.end - spans.first)
        try:
            out = _evaluated(custom.expressions, symbol, bars)
        except pl.exceptions.PolarsError as error:
            raise StrategyError(f"indicator {use.key}: {use.name}: {_first_line(error)}") from error
    return out if len(rows) == out.shape[1] else out[:, rows]


def _evaluated(expressions: Mapping[str, pl.Expr], symbol: Int64, bars: Bars) -> Float64:
    """[outputs, rows], NaN for null; rows of a symbol stand together."""
    frame = pl.DataFrame({"symbol": symbol} | dict(zip(COLUMNS, bars, strict=True)))
    found = frame.select(**{str(k): each.over("symbol") for k, each in enumerate(expressions.values())})
    columns = [column.cast(pl.Float64).fill_null(float("nan")).to_numpy() for column in found.iter_columns()]
    return np.stack(columns) if len(symbol) else np.empty((len(columns), 0))


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _require_numbers(custom: Custom, outputs: tuple[str, ...]) -> None:
    """ValueError where an output's name is no column's, or an expression fails on bars such as there are."""
    for output in outputs:
        if not output.replace("_", "a").isalnum() or not output.isascii():
            raise ValueError(f"its output {output!r} cannot be a column; expected letters, digits and _")
    if custom.expressions is None:
        return
    try:
        _evaluated(custom.expressions, np.repeat(np.arange(2), 8), Bars(*(np.arange(1.0, 17.0) for _ in COLUMNS)))
    except pl.exceptions.PolarsError as error:
        raise ValueError(
            f"{_first_line(error)}; an indicator is an expression over {', '.join(COLUMNS)} that gives a number a bar"
        ) from error


def _of_custom(name: str, custom: Custom) -> Indicator:
    outputs = tuple(custom.expressions) if custom.expressions is not None else custom.outputs
    _require_numbers(custom, outputs)

    def check(_values: Values, scope: str, lookback: int) -> str | None:
        if scope == "continuous" and not (lookback or custom.lookback or custom.state):
            return f"{name} in continuous scope needs to know how many bars it looks back; declare lookback"
        return None

    return Indicator(
        name,
        "yours",
        f"{name}, from its module",
        "yours",
        "lookback + 1",
        lambda _: custom.lookback + 1,
        "",
        "yours",
        custom.parameters,
        outputs,
        floats=COLUMNS if custom.kernel is not None else (),
        ticks=COLUMNS if custom.kernel is not None else (),
        state=custom.state,
        rows=lambda _: custom.lookback,
        check=check,
        custom=custom,
    )


def talib_module() -> ModuleType:
    """TA-Lib, or ValueError with how to install it."""
    try:
        return importlib.import_module("talib")
    except ImportError as error:
        raise ValueError("TA-Lib is not installed; pip install 'backtester[ta]'") from error


def _of_talib(name: str) -> Indicator:
    talib = talib_module()
    known: list[str] = talib.get_functions()
    function = name[len("talib.") :].upper()
    if function not in known:
        near = difflib.get_close_matches(function, known, n=2)
        raise ValueError(f"TA-Lib has no {function}; did you mean {' or '.join(near) or 'one of its functions'}?")
    info = importlib.import_module("talib.abstract").Function(function).info
    inputs = _talib_inputs(function)
    outputs = tuple(_snake(each) for each in info["output_names"])

    def check(values: Values, scope: str, lookback: int) -> str | None:
        needed = _talib_lookback(function, values)
        if needed < 0:
            return f"TA-Lib refuses these parameters of {function}: {dict(values)}"
        if scope != "continuous":
            return None
        if function in _ENDLESS:
            return f"talib.{function} sums every bar there ever was, which no run carries; use scope = 'session'"
        if lookback < needed:
            return (
                f"talib.{function} in continuous scope sees the session and `lookback` bars before it; "
                f"declare lookback = {needed} or more (10 times as many for a recursion)"
            )
        return None

    return Indicator(
        f"talib.{function}",
        "talib",
        f"TA-Lib's {info['display_name']}",
        "TA-Lib",
        "TA-Lib's lookback + 1",
        lambda values: _talib_lookback(function, values) + 1,
        "",
        "TA-Lib's",
        tuple(Parameter(key, value, "TA-Lib's", low=-_ANY, high=_ANY) for key, value in info["parameters"].items()),
        ("value",) if len(outputs) == 1 else outputs,
        ticks=("x",) if "x" in inputs else (),
        check=check,
        custom=Custom(0, talib=function),
    )


def _talib_inputs(function: str) -> list[str]:
    """The columns TA-Lib takes, in its order; the close alone is the chosen input."""
    names = importlib.import_module("talib.abstract").Function(function).input_names
    columns = [each for value in names.values() for each in ([value] if isinstance(value, str) else value)]
    if "periods" in columns:
        raise ValueError(f"TA-Lib's {function} takes a column of periods, which bars do not have")
    return ["x"] if columns == ["close"] else columns


def _talib_lookback(function: str, values: Values) -> int:
    abstract = importlib.import_module("talib.abstract").Function(function)
    abstract.parameters = _talib_values(function, values)
    return int(abstract.lookback)


def _talib_values(function: str, values: Values) -> dict[str, Value]:
    """The parameters as TA-Lib takes them: it refuses a whole number where it wants a fraction."""
    defaults = importlib.import_module("talib.abstract").Function(function).info["parameters"]
    return {name: float(value) if isinstance(defaults[name], float) else value for name, value in values.items()}


def _run_talib(custom: Custom, use: Use, spans: Spans, bars: Bars, outputs: int) -> Float64:
    function = getattr(talib_module(), custom.talib)
    inputs = [_input(use.input, bars) if each == "x" else getattr(bars, each) for each in _talib_inputs(custom.talib)]
    # Its own copies: TA-Lib refuses arrays that are read-only.
    columns, values = [np.array(each) for each in inputs], _talib_values(custom.talib, use.values)
    out = np.full((outputs, len(columns[0])), np.nan)
    for first, end in zip(spans.first.tolist(), spans.end.tolist(), strict=True):
        if first == end:
            continue
        found = function(*(column[first:end] for column in columns), **values)
        for k, column in enumerate(found if isinstance(found, tuple) else (found,)):
            out[k, first:end] = column
    return out


def _input(name: str, bars: Bars) -> Float64:
    if name not in SUMS:
        return getattr(bars, name)  # type: ignore[no-any-return]  # a column of bars
    parts, count = SUMS[name]
    total: Float64 = np.sum([getattr(bars, part) for part in parts], axis=0) / count
    return total


def _snake(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()).strip("_")
