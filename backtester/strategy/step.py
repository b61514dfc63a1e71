"""Compiled strategies: one method of a row, called in the ledger's loop at every row once its label is marked.

A class with `step(self, row, desk)`. In it `self` holds the class's numbers (its parameters), `row` the bar, what is
known at it, the indicators by key, the symbol's position and the account; it asks through the functions below, which
take `row` and `desk` first. It is compiled into the ledger's loop and kept in the cache; plain Python asks the same.
"""

from __future__ import annotations

import hashlib
import inspect
import keyword
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from backtester.arrays import Float64
from backtester.data.durable import write_whole
from backtester.errors import StrategyError
from backtester.features.rows import Rows
from backtester.kernels import jit
from backtester.kernels.flat import Flat
from backtester.kernels.stepping import Desk, Row, Stepper, count, number, with_step
from backtester.kernels.stepping import cancel as cancel
from backtester.kernels.stepping import enter as enter
from backtester.kernels.stepping import leave as leave
from backtester.kernels.stepping import place as place
from backtester.kernels.stepping import target as target
from backtester.strategy.loading import Loaded, is_of_users, where_raised

MINUTE_US = 60_000_000.0
# What a row holds of the ledger's own, and what is laid out beside the indicators, one number a row.
GIVEN = (
    *("row", "symbol", "timestamp", "known_at", "open", "high", "low", "close", "volume", "position", "average"),
    *("cash", "memory"),
)
BESIDE = (
    *("minutes_open", "minutes_left", "running_volume", "running_high", "running_low", "running_vwap"),
    *("running_bars", "quality_pct", "missing_before"),
)
TALK = ("print", "breakpoint", "input")
# How often a strategy may ask at one label, on average over the symbols.
ASKS_PER_SYMBOL = 8

SOURCE = '''"""Between the ledger's loop and the step of {use}; written by backtester.strategy.step."""

from typing import NamedTuple


class Parameters(NamedTuple):
    """The strategy's numbers."""

{parameters}


class Row(NamedTuple):
    """A bar, what is known at it, the indicators, and the account."""

{fields}


def between(row, desk):
    """Hand a row to the step, its columns by name."""
    step(Parameters({parameter_values}), Row({values}), desk)
'''


class Stepping(NamedTuple):
    """A strategy's step in the loop over rows; in a replay the step as Python, which is called row by row."""

    loop: Flat[..., int] | None
    python: Callable[[Row, Desk], None] | None
    keys: list[str]  # the indicators of a row, in the order of its columns
    numbers: dict[str, float]  # the parameters
    memory: int  # numbers a symbol keeps


_made: dict[str, Flat[..., int]] = {}


def stepping_of(loaded: Loaded, keys: Sequence[str], *, is_replayed: bool = False) -> Stepping:
    """The loop of a strategy whose rows have these indicators; StrategyError if its step cannot stand in it."""
    step, numbers = _step_of(loaded), _numbers_of(loaded.strategy)
    for key in keys:
        if not key.isidentifier() or keyword.iskeyword(key) or key.startswith("_") or key in (*GIVEN, *BESIDE):
            raise StrategyError(f"strategy {loaded.use}: {key!r} cannot be a field of a row; give it another key")
    text = SOURCE.format(
        use=loaded.use,
        parameters=_fields(numbers or ["none"]),
        fields=_fields([*GIVEN, *BESIDE, *keys]),
        parameter_values=", ".join(f"row.numbers[{2 + k}]" for k in range(len(numbers) or 1)),
        values=", ".join([*(f"row.{name}" for name in GIVEN), *_read(keys)]),
    )
    memory = int(getattr(loaded.strategy, "memory", 0))
    if is_replayed:
        return Stepping(None, _between(text, "backtester_step", _python(step)), list(keys), numbers, memory)
    name = hashlib.sha256(f"{text}\0{loaded.digest}\0{step.__qualname__}\0{jit.is_compiled()}".encode()).hexdigest()[
        :24
    ]
    if name not in _made:
        try:
            module = f"backtester_step_{name}"
            _made[name] = with_step(_between(text, module, _kernel(step, module), is_kept=jit.is_compiled()))
        except Exception as error:
            raise StrategyError(f"strategy {loaded.use}: {error}") from error
    return Stepping(_made[name], None, list(keys), numbers, memory)


def stepper_of(stepping: Stepping, rows: Rows, indicators: Mapping[str, Float64], memory: Float64) -> Stepper:
    """A step with a session's columns; indicators by key, NaN where there is no value yet; memory [symbols, size]."""
    running = rows.running
    columns: list[Any] = [
        *(running.volume, running.high, running.low, running.vwap, running.bars),
        *(rows.quality_pct, rows.missing_before),
        *(indicators[key] for key in stepping.keys),
    ]
    numbers = np.array([rows.session.open_at, rows.session.close_at, *(stepping.numbers.values() or [0.0])], np.float64)
    return Stepper(stepping.loop, columns, room=ASKS_PER_SYMBOL * len(memory), numbers=numbers, memory=memory)


def _read(keys: Sequence[str]) -> list[str]:
    """How a row's BESIDE and indicators are read: nothing is computed or copied that the step does not look at."""
    # Microseconds since 1970 are whole in a float64 up to the year 2255.
    times = [f"(row.known_at - row.numbers[0]) / {MINUTE_US}", f"(row.numbers[1] - row.known_at) / {MINUTE_US}"]
    counted = [name in ("running_bars", "missing_before") for name in BESIDE[len(times) :]]
    return times + [f"{'count' if c else 'number'}(row, {k})" for k, c in enumerate([*counted, *(False for _ in keys)])]


def failure(loaded: Loaded, where: str, error: BaseException) -> StrategyError:
    """What a step's own code did wrong, or what Numba cannot compile of it."""
    # Numba says once for every level of calls that it failed, and then what and where.
    lines = [line.strip() for line in str(error).splitlines()]
    told = [line for line in lines if line and not line.startswith(("Failed in nopython", "During: resolving callee"))]
    is_numba = type(error).__module__.partition(".")[0] == "numba"
    words = " ".join(told[:4]) if is_numba else where_raised(error)
    if isinstance(error, IndexError) and not is_of_users(error):
        # Machine code does not tell its line.
        words = "an index lies beyond row.memory or another array; --mode replay names the line"
    return StrategyError(f"strategy {loaded.use}, {where}: {words}")


def _step_of(loaded: Loaded) -> types.FunctionType:
    found = inspect.getattr_static(type(loaded.strategy), "step")
    if not isinstance(found, types.FunctionType) or len(inspect.signature(found).parameters) != 3:
        raise StrategyError(f"strategy {loaded.use}: step is no plain method; write `def step(self, row, desk)`")
    return found


def _numbers_of(strategy: object) -> dict[str, float]:
    """The parameters a step can read: those that are numbers, flags as 0 and 1."""
    names = inspect.signature(type(strategy)).parameters
    found = {name: getattr(strategy, name, None) for name in names}
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float)}


def _fields(names: Sequence[str] | Mapping[str, float]) -> str:
    return "\n".join(f"    {name}: float" for name in names)


def _between(text: str, name: str, step: Callable[..., Any], *, is_kept: bool = False) -> types.FunctionType:
    """The function of SOURCE around a step, in a module that Numba can name and, if it is kept, find as a file."""
    path = f"<{name}>"
    if is_kept:
        file = jit.cache_folder() / f"{name}.py"
        if not file.is_file():
            write_whole(file, text.encode(), sync=False)
        path = str(file)
    module = types.ModuleType(name)
    sys.modules[name] = module
    exec(compile(text, path, "exec"), vars(module))  # noqa: S102  # our own text; every name in it is an identifier
    # What the text calls.
    is_python = not isinstance(step, jit.Kernel)
    known = {"step": step, "number": number, "count": count}
    vars(module).update({name: getattr(value, "plain", value) if is_python else value for name, value in known.items()})
    between: types.FunctionType = module.between
    return between


def _python(step: types.FunctionType) -> types.FunctionType:
    """The user's function as it stands in its file, for debuggers too, but that kernels it calls are Python as well."""
    known = dict(step.__globals__)
    made = types.FunctionType(step.__code__, known, step.__name__, step.__defaults__)
    made.__module__, made.__qualname__ = step.__module__, step.__qualname__
    for name in step.__code__.co_names:
        value = known.get(name)
        if isinstance(value, types.FunctionType):
            known[name] = made if value is step else _python(value)
        elif isinstance(value, jit.Kernel):
            known[name] = value.plain
    return made


def _kernel(python: types.FunctionType, folder: str) -> jit.Kernel[..., Any]:
    """A function of the user's as a kernel, and with it what it calls.

    The functions that ask are compiled for this strategy's rows, so their code is kept with it too: in the common cache
    another process would meet a type it does not know.
    """
    own: dict[str, Any] = {}
    for name in python.__code__.co_names:
        # Numba compiles a print that then waits for ever: the code around it has let go of the interpreter's lock.
        if name in TALK and name not in python.__globals__ and jit.is_compiled():
            raise StrategyError(
                f"{python.__name__} calls {name}, which machine code cannot do and this run is compiled; "
                "run it with --mode replay, or leave it out"
            )
        value = python.__globals__.get(name)
        if isinstance(value, types.FunctionType) and value is not python:
            own[name] = _kernel(value, folder)
        elif isinstance(value, jit.Kernel):
            own[name] = value.bound({}, folder=folder)
    return jit.Checked(python, folder=folder).bound(own, folder=folder)
