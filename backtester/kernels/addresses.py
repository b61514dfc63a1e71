"""What compiled code does with addresses: reads arrays from a table of them, numbers of a column, and calls a kernel.

A kernel that is called by its address need not be known when what calls it is compiled. Built on the parts of Numba
that generate code, whose names are not part of its documented interface; the tests run every one of these.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from backtester.kernels import jit


def _known(function: Any) -> Any:
    """A function that generates code, known to Numba at once: it is made while another is being compiled."""
    from numba.core.registry import cpu_target

    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()
    return function


@functools.cache
def reader(kind: str, axes: int) -> Any:
    """What compiled code reads an array of the table with: (slots, at) -> the array."""
    from numba import from_dtype, types
    from numba.core import cgutils
    from numba.extending import intrinsic
    from numba.np.arrayobj import make_array, populate_array

    array = types.Array(from_dtype(np.dtype(kind)), axes, "C")

    @intrinsic
    def read(typingctx: Any, slots: Any, at: Any) -> Any:  # noqa: ARG001
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            table = make_array(signature.args[0])(context, builder, args[0]).data
            word = [
                builder.load(builder.gep(table, [builder.add(args[1], args[1].type(place))]))
                for place in range(1 + axes)
            ]
            # The table stays as it is while compiled code runs: so each word is read where it is needed, if it is.
            for each in word:
                each.set_metadata("invariant.load", builder.module.add_metadata([]))
            item = context.get_data_type(array.dtype)
            width = context.get_constant(types.intp, context.get_abi_sizeof(item))
            made = make_array(array)(context, builder)
            populate_array(
                made,
                data=builder.inttoptr(word[0], item.as_pointer()),
                shape=cgutils.pack_array(builder, word[1:]),
                strides=cgutils.pack_array(builder, [width] if axes == 1 else [builder.mul(word[2], width), width]),
                itemsize=width,
                meminfo=None,
            )
            return made._getvalue()  # noqa: SLF001  # as Numba's own code generation does

        return array(slots, types.int64), build

    return _known(read)


def call_at(entry: Any, first: int, end: int, slots: Any, amounts: Any) -> int:  # noqa: ARG001  # compiled code needs them
    """Call a kernel of two numbers by its address, with its table; as Python `entry` is the kernel itself."""
    found: int = entry(first, end)
    return found


@functools.cache
def call_at_machine() -> Any:
    """`call_at` for compiled code: what the kernel raises goes on to who called."""
    from numba import types
    from numba.core import cgutils
    from numba.extending import intrinsic

    @intrinsic
    def call(typingctx: Any, entry: Any, first: Any, end: Any, slots: Any, amounts: Any) -> Any:  # noqa: ARG001
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            kinds = signature.args[1:]
            kernel = context.call_conv.get_function_type(types.int64, kinds)
            callee = builder.inttoptr(args[0], kernel.as_pointer())
            status, found = context.call_conv.call_function(builder, callee, types.int64, kinds, args[1:])
            with cgutils.if_unlikely(builder, status.is_error):
                context.call_conv.return_status_propagate(builder, status)
            return found

        return types.int64(types.int64, types.int64, types.int64, slots, amounts), build

    return _known(call)


def number_at(columns: Any, column: int, row: int) -> float:
    """A number of one of many columns, of which compiled code has the addresses: a float64 one."""
    found: float = columns[column][row]
    return found


def count_at(columns: Any, column: int, row: int) -> float:
    """The same of an int32 column."""
    return float(columns[column][row])


def at_machine(kind: str) -> Any:
    """`number_at` or `count_at` for compiled code."""
    from numba import from_dtype, types
    from numba.extending import intrinsic
    from numba.np.arrayobj import make_array

    held = from_dtype(np.dtype(kind))

    @intrinsic
    def read(typingctx: Any, columns: Any, column: Any, row: Any) -> Any:  # noqa: ARG001
        def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            addresses = make_array(signature.args[0])(context, builder, args[0]).data
            address = builder.load(builder.gep(addresses, [args[1]]))
            values = builder.inttoptr(address, context.get_data_type(held).as_pointer())
            found = builder.load(builder.gep(values, [args[2]]))
            return context.cast(builder, found, held, types.float64)

        return types.float64(columns, types.int64, types.int64), build

    return _known(read)


jit.twin(call_at, call_at_machine)
jit.twin(number_at, functools.cache(functools.partial(at_machine, "float64")))
jit.twin(count_at, functools.cache(functools.partial(at_machine, "int32")))


def address_of(machine: Callable[..., Any], *, numbers: int) -> int:
    """Where the machine code of a kernel of so many numbers and a table lies; it stays while the kernel does."""
    from numba import types

    dispatcher: Any = machine
    kinds = (types.int64,) * numbers + (types.Array(types.int64, 1, "C"), types.Array(types.float64, 1, "C"))
    dispatcher.compile(kinds)
    made = dispatcher.overloads[kinds]
    found: int = made.library.get_pointer_to_function(made.fndesc.llvm_func_name)
    return found
