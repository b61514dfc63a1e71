"""Kernels of groups called with numbers only: the groups lie in a table of addresses that is kept between calls.

Handing a hundred arrays to a compiled function costs Python 20 microseconds a call, a table of their addresses one.
"""

from __future__ import annotations

import typing
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from backtester.errors import UsageError
from backtester.kernels import jit
from backtester.kernels.state import DIMENSIONS

if TYPE_CHECKING:
    from backtester.kernels.flat import Flat

INTEGER, FLOAT = "int64", "float64"


class Slot(NamedTuple):
    """Where a field of a group lies in the table: an array's address and what its axes count, or a number."""

    field: int
    at: int
    kind: Any  # the type of its values, a NumPy one where it is an array
    axes: int  # 0: a number


class Held:
    """A kernel with its groups; a call gives the numbers, in their order."""

    def __init__(self, kernel: Flat[Any, Any], groups: dict[str, Any]) -> None:
        self._kernel = kernel
        self._is_compiled = jit.is_compiled()
        self._groups: dict[str, Any] = {}
        size = 0
        if self._is_compiled:
            self._machine, self._slots, size = kernel.entry
        self.slots = np.zeros(size, dtype=np.int64)
        self.amounts = self.slots.view(np.float64)
        if self._is_compiled:
            self._words = {INTEGER: self.slots.data, FLOAT: self.amounts.data}
        for name, group in groups.items():
            self.put(name, group)

    def put(self, name: str, group: Any) -> None:
        """Another group in a parameter's place."""
        if not self._is_compiled:
            self._groups[name] = jit.plain_of(group)
            return
        # The table has addresses only: what they point to must stay.
        self._groups[name] = group
        slots = self._words[INTEGER]
        for field, at, kind, axes in self._slots[name]:
            value = group[field]
            if axes == 0:
                self._words[kind][at] = value
                continue
            if value.dtype != kind or not value.flags.c_contiguous:
                raise UsageError(f"{name}: {value.dtype} at place {field}, expected {kind}, one row after the other")
            slots[at] = pa.py_buffer(value).address
            slots[at + 1] = value.size if axes == 1 else value.shape[0]
            if axes == 2:
                slots[at + 2] = value.shape[1]

    def __call__(self, *numbers: int) -> int:
        """What the kernel returns."""
        if self._is_compiled:
            found: int = self._machine(*numbers, self.slots, self.amounts)
            return found
        given = iter(numbers)
        groups = self._groups
        result: int = self._kernel.plain(*(groups[n] if n in groups else next(given) for n in self._kernel.parameters))
        return result


def slots_of(
    kinds: dict[str, Any], fields: dict[str, list[str]], records: set[str]
) -> tuple[dict[str, list[Slot]], int]:
    """The table of the fields that a kernel mentions of its groups, and its length.

    records  fields that are taken as one run of numbers
    """
    made: dict[str, list[Slot]] = {}
    at = 0
    for name, kind in kinds.items():
        hints = typing.get_type_hints(kind)
        made[name] = []
        for field in fields[name]:
            words, axes = INTEGER, 0
            if hints[field] is float:
                words = FLOAT
            elif hints[field] is not int:
                words = np.dtype(typing.get_args(typing.get_args(hints[field])[1])[0]).name
                axes = 1 if field in records else DIMENSIONS.get(field, 1)
            made[name].append(Slot(kind._fields.index(field), at, words, axes))
            at += 1 + axes
    return made, at
