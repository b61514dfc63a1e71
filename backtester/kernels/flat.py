"""Kernels whose groups of arrays are taken apart before they are compiled: each gets the fields it uses and no others.

Numba hands a group on as one value of all its fields' parts: with the ledger's six groups that is six hundred words a
call, and a load of a whole group at every mention, which took minutes to compile. So a parameter whose annotation is a
NamedTuple becomes one parameter for each field that the kernel, or one it calls, mentions. Records are taken as one run
of numbers and indexed without a sign: a width known to the compiler and no wrap-around test. As plain Python such a
kernel is the function it is.

Rules that are known when it is compiled leave what they rule out behind: `variant` (kernels.pruning). What is derived
for a kernel that Python calls is kept beside its machine code, so that a later process rewrites nothing.
"""

from __future__ import annotations

import ast
import copy
import functools
import inspect
import marshal
import textwrap
import types
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from backtester.kernels.addresses import address_of, reader
from backtester.kernels.held import FLOAT, Held, Slot, slots_of
from backtester.kernels.jit import Arguments, Kernel, Result, kept, tell
from backtester.kernels.pruning import pruned
from backtester.kernels.state import WIDTHS, Rules

# What a kernel takes to compile, measured on one core of a busy machine.
SECONDS = 0.19


class Flat(Kernel[Arguments, Result]):
    """A kernel that may mention a group only as `group.field`, or whole as an argument of another such kernel."""

    name = ""  # the variant's
    known: dict[str, int]  # the rules it was made for

    def variant(self, name: str, known: dict[str, int]) -> Self:
        """The same kernel, and all it calls, for rules of which some are known; as Python it is the same function."""
        made: dict[str, Self] = self.__dict__.setdefault("_variants", {})
        if name not in made:
            made[name] = type(self)(self.python, inline=self.inline, folder=self.folder)
            made[name].name, made[name].known = name, known
        return made[name]

    def held(self, **groups: Any) -> Held:
        """The kernel with its groups laid out, for calls that give the numbers only."""
        return Held(self, groups)

    @functools.cached_property
    def machine(self) -> Callable[..., Any]:
        """The compiled function behind one that takes groups and lays them out."""

        def call(*args: Any) -> Any:
            given = dict(zip(self.parameters, args, strict=True))
            held = self.held(**{name: given.pop(name) for name in self.groups})
            return held(*given.values())

        return call

    @functools.cached_property
    def entry(self) -> tuple[Callable[..., Any], dict[str, list[Slot]], int]:
        """The compiled function of numbers and a table, where each field lies in the table, and its length."""
        name = f"{self.python.__qualname__}-{self.name or 'full'}"
        derived = kept(self.folder, name, lambda: marshal.dumps(self._derived()))
        code, places, size = marshal.loads(derived)  # noqa: S302  # kept as machine code is, from no other user
        # Another installation of the same sources may have left it and be gone since; Numba looks for the file.
        code = code.replace(co_filename=self.python.__code__.co_filename)
        function = types.FunctionType(code, {"__name__": self.python.__module__}, self.python.__name__)
        function.__qualname__, function.__module__ = self.python.__qualname__, self.python.__module__
        # Its globals are kernels that are compiled for it, if it is not compiled already.
        function.needed = self._announced  # type: ignore[attr-defined]  # kernels.linking asks for it
        slots = {
            group: [Slot(field, at, np.dtype(kind) if axes else kind, axes) for field, at, kind, axes in fields]
            for group, fields in places.items()
        }
        return self.jit(function), slots, size

    @functools.cached_property
    def address(self) -> int:
        """The machine code's address, for kernels.addresses.call_at; its numbers are two."""
        return address_of(self.entry[0], numbers=2)

    def _announced(self) -> dict[str, Any]:
        """The globals of the code of single fields, asked for because it is compiled now, which takes its time."""
        # A step takes a second: nothing to announce.
        if not self.folder:
            count = len(self.reached({}))
            loop = f"{self.name} loop" if self.name else "full loop"
            seconds = f"about {SECONDS * count:.0f} seconds"
            tell(f"compiling the ledger's {loop}, {count} kernels, once after install: {seconds}")
        return self._names()

    def reached(self, seen: dict[str, Flat[Any, Any]]) -> dict[str, Flat[Any, Any]]:
        """This kernel and all it calls, by name, added to `seen`."""
        seen[self.python.__qualname__] = self
        for name in self._code.co_names:
            value = self.python.__globals__.get(name)
            if isinstance(value, Flat) and value.python.__qualname__ not in seen:
                self.of_variant(value).reached(seen)
        return seen

    def _derived(self) -> tuple[types.CodeType, dict[str, list[tuple[Any, ...]]], int]:
        """(code of numbers and a table, where each field lies in the table, its length)."""
        slots, size = slots_of(self._kinds, self.fields, set(WIDTHS))
        module = self._flattened()
        function = module.body[0]
        assert isinstance(function, ast.FunctionDef)
        numbers = [name for name in self.parameters if name not in self.groups]
        function.args.args = [ast.arg(arg=name) for name in (*numbers, "slots", "amounts")]
        reads = [
            f"{_part(name, self.groups[name][slot.field])} = {_read(slot)}" for name in slots for slot in slots[name]
        ]
        function.body = [*ast.parse("\n".join(reads)).body, *function.body]
        places = {name: [tuple(slot) for slot in fields] for name, fields in slots.items()}
        return self._compiled(ast.fix_missing_locations(module)), places, size

    @functools.cached_property
    def linked(self) -> Any:
        """The compiled function of single fields, for kernels to call."""
        known = {**self._names(), "__name__": self.python.__module__}
        function = types.FunctionType(self._code, known, self.python.__name__)
        function.__qualname__, function.__module__ = self.python.__qualname__, self.python.__module__
        return self.jit(function, is_entry=False)

    @functools.cached_property
    def _code(self) -> types.CodeType:
        return self._compiled(self._flattened())

    def _compiled(self, module: ast.Module) -> types.CodeType:
        namespace: dict[str, Any] = {}
        code = compile(module, self.python.__code__.co_filename, "exec")
        exec(code, namespace)  # noqa: S102  # our own source, rewritten
        made: types.CodeType = namespace[self.python.__name__].__code__
        return made

    def _names(self) -> dict[str, Any]:
        """The globals of the code of single fields."""
        known, mentioned = self.python.__globals__, self._code.co_names
        names: dict[str, Any] = {
            name: self.compiled_callee(self.of_variant(known[name])) for name in mentioned if name in known
        }
        # Numba types a Python number as that very number, and would compile a kernel for each it is called with.
        names = {name: np.int64(value) if type(value) is int else value for name, value in names.items()}
        names |= {_constant(value): _NUMPY[type(value)](value) for value in self._constants()}
        names |= {_width(field): np.uint64(width) for field, width in WIDTHS.items()}
        names |= {f"{_width(field)}_signed": np.int64(width) for field, width in WIDTHS.items()}
        names["uint64"] = np.uint64
        slots, _ = slots_of(self._kinds, self.fields, set(WIDTHS))
        arrays = {(slot.kind, slot.axes) for fields in slots.values() for slot in fields if slot.axes}
        names |= {_reader(kind, axes): reader(kind, axes) for kind, axes in arrays}
        return names | {f"group_{name}": kind for name, kind in self._kinds.items()}

    def of_variant(self, value: Any) -> Any:
        """A global as this variant of the kernel has it."""
        return value.variant(self.name, self.known) if self.name and isinstance(value, Flat) else value

    @functools.cached_property
    def fields(self) -> dict[str, list[str]]:
        """For each group parameter the fields mentioned here and in the kernels it is handed to, in their order."""
        mentioned: dict[str, set[str]] = {name: set() for name in self.groups}
        for node in ast.walk(self._tree):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in mentioned:
                mentioned[node.value.id].add(node.attr)
            if isinstance(node, ast.Call):
                for name, wanted in self._handed_on(node):
                    mentioned[name].update(wanted)
                for name in self._handed_whole(node):
                    mentioned[name].update(self.groups[name])
        return {name: [field for field in group if field in mentioned[name]] for name, group in self.groups.items()}

    @functools.cached_property
    def _tree(self) -> ast.FunctionDef:
        tree = ast.parse(textwrap.dedent(inspect.getsource(self.python)))
        ast.increment_lineno(tree, self.python.__code__.co_firstlineno - 1)
        function = tree.body[0]
        assert isinstance(function, ast.FunctionDef)
        if not self.name:
            return function
        numbers = {name: value for name, value in self.python.__globals__.items() if type(value) is int}
        groups = {name for name, kind in _kinds(function, self.python.__globals__).items() if kind is Rules}
        return pruned(function, groups, self.known, numbers)

    @functools.cached_property
    def parameters(self) -> list[str]:
        """The parameters' names."""
        return [argument.arg for argument in self._tree.args.args]

    @functools.cached_property
    def groups(self) -> dict[str, tuple[str, ...]]:
        """The parameters that are groups, with all their fields."""
        return {name: tuple(kind._fields) for name, kind in self._kinds.items()}

    @functools.cached_property
    def _kinds(self) -> dict[str, Any]:
        return _kinds(self._tree, self.python.__globals__)

    def callee(self, call: ast.Call) -> Flat[Any, Any] | None:
        """The kernel of groups that is called, if one is."""
        value = self.python.__globals__.get(call.func.id) if isinstance(call.func, ast.Name) else None
        return self.of_variant(value) if isinstance(value, Flat) else None

    def _constants(self) -> list[Any]:
        return [node.value for node in ast.walk(self._tree) if _is_whole(node) and isinstance(node, ast.Constant)]

    def _handed_on(self, call: ast.Call) -> list[tuple[str, list[str]]]:
        callee = self.callee(call)
        if callee is None:
            return []
        pairs = zip(call.args, callee.parameters, strict=True)
        return [
            (given.id, callee.fields[name])
            for given, name in pairs
            if isinstance(given, ast.Name) and given.id in self.groups and name in callee.groups
        ]

    def _handed_whole(self, call: ast.Call) -> list[str]:
        """Groups that are arguments of a kernel that takes them as they are."""
        if self.callee(call) is not None:
            return []
        return [given.id for given in call.args if isinstance(given, ast.Name) and given.id in self.groups]

    def _flattened(self) -> ast.Module:
        function = copy.deepcopy(self._tree)
        function.decorator_list, function.returns = [], None
        arguments = []
        for name in self.parameters:
            parts = [_part(name, field) for field in self.fields[name]] if name in self.groups else [name]
            arguments += [ast.arg(arg=part) for part in parts]
        function.args.args = arguments
        function.body = [_Apart(self).visit(statement) for statement in function.body]
        return ast.fix_missing_locations(ast.Module(body=[function], type_ignores=[]))


class _Apart(ast.NodeTransformer):
    """Replaces mentions of a group by its parts."""

    def __init__(self, kernel: Flat[Any, Any]) -> None:
        self.kernel = kernel

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:  # the name ast looks for
        if isinstance(node.value, ast.Name) and node.value.id in self.kernel.groups:
            return ast.copy_location(ast.Name(id=_part(node.value.id, node.attr), ctx=node.ctx), node)
        return self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        field = self._field(node.value)
        self.generic_visit(node)
        if field is None:
            return node
        if isinstance(node.slice, ast.Tuple) and field in WIDTHS:
            row, column = (_unsigned(each) for each in node.slice.elts)
            width = ast.Name(id=_width(field), ctx=ast.Load())
            node.slice = ast.BinOp(ast.BinOp(row, ast.Mult(), width), ast.Add(), column)
        elif not isinstance(node.slice, ast.Tuple):
            node.slice = _unsigned(node.slice)
        return node

    def _field(self, node: ast.expr) -> str | None:
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in self.kernel.groups:
            return node.attr
        return None

    def visit_Constant(self, node: ast.Constant) -> ast.AST:  # the name ast looks for
        return ast.copy_location(ast.Name(id=_constant(node.value), ctx=ast.Load()), node) if _is_whole(node) else node

    def visit_Call(self, node: ast.Call) -> ast.AST:  # the name ast looks for
        callee = self.kernel.callee(node)
        measured = self._field(node.args[0]) if isinstance(node.func, ast.Name) and node.func.id == "len" else None
        self.generic_visit(node)
        if measured in WIDTHS:
            return ast.BinOp(node, ast.FloorDiv(), ast.Name(id=f"{_width(str(measured))}_signed", ctx=ast.Load()))
        if callee is None:
            node.args = [self._whole(value) for value in node.args]
            return node
        given: list[ast.expr] = []
        for value, name in zip(node.args, callee.parameters, strict=True):
            if name not in callee.groups:
                given.append(value)
                continue
            assert isinstance(value, ast.Name), f"{callee.python.__name__}: a group is handed on by its name"
            given += [ast.Name(id=_part(value.id, field), ctx=ast.Load()) for field in callee.fields[name]]
        node.args = given
        return node

    def _whole(self, value: ast.expr) -> ast.expr:
        """A group put together again."""
        if not (isinstance(value, ast.Name) and value.id in self.kernel.groups):
            return value
        parts: list[ast.expr] = [
            ast.Name(id=_part(value.id, field), ctx=ast.Load()) for field in self.kernel.groups[value.id]
        ]
        return ast.Call(func=ast.Name(id=f"group_{value.id}", ctx=ast.Load()), args=parts, keywords=[])


def _kinds(function: ast.FunctionDef, known: dict[str, Any]) -> dict[str, Any]:
    """The parameters that are groups, and of which kind."""
    kinds = {}
    for argument in function.args.args:
        if isinstance(argument.annotation, ast.Name):
            kind = known.get(argument.annotation.id)
            if hasattr(kind, "_fields"):
                kinds[argument.arg] = kind
    return kinds


_NUMPY: dict[type, Any] = {int: np.int64, bool: np.bool_}


def _is_whole(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and type(node.value) in _NUMPY


def _reader(kind: str, axes: int) -> str:
    return f"read_{kind}_{axes}"


def _read(slot: Slot) -> str:
    """The expression that reads a field from the table."""
    if slot.axes:
        return f"{_reader(slot.kind, slot.axes)}(slots, {slot.at})"
    return f"{'amounts' if slot.kind == FLOAT else 'slots'}[{slot.at}]"


def _unsigned(index: ast.expr) -> ast.expr:
    return ast.Call(func=ast.Name(id="uint64", ctx=ast.Load()), args=[index], keywords=[])


def _width(field: str) -> str:
    return f"width_{field}"


def _constant(value: Any) -> str:
    return f"{type(value).__name__}_{value}"


def _part(group: str, field: str) -> str:
    return f"{group}__{field}"


def step(python: Callable[Arguments, Result]) -> Flat[Arguments, Result]:
    """Mark a kernel of groups that is compiled into those that call it."""
    return Flat(python)


def outlined(python: Callable[Arguments, Result]) -> Flat[Arguments, Result]:
    """Mark a kernel of groups that is called rarely, or from many places: compiled once, and called."""
    return Flat(python, inline=False)
