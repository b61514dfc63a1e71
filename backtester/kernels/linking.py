"""How Numba compiles kernels that call kernels: each is lowered by itself, and all are optimized once, together.

Numba optimizes and emits a function with everything it calls, and again within each of its callers: with the ledger's
hundred kernels, ten deep, that is most of the time to compile. Here a callee is kept as lowered, and the entry, which
Python calls, links every callee it reaches and is optimized whole. Uses Numba's compiler classes, whose names are not
part of its documented interface; the tests compile every kernel this way.
"""

from __future__ import annotations

from typing import Any

from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import Compiler, Flags


class _Flags(Flags):
    """Numba's options of a function, compared by what is set: it asks for equality at every call it types."""

    def __eq__(self, other: object) -> bool:
        return (isinstance(other, _Flags) and self._values == other._values) or bool(super().__eq__(other))

    def __hash__(self) -> int:
        return _HASH  # as theirs, the same for all


_HASH = hash(Flags())


class CalleeLibrary(JITCodeLibrary):
    """A kernel as lowered; no machine code is made of it."""

    def finalize(self) -> None:
        """Nothing: what it calls is linked where it is."""
        self._finalized = True

    def get_pointer_to_function(self, name: str) -> int:  # noqa: ARG002  # as Numba asks
        """No address, since there is no machine code."""
        return 0

    @property
    def called(self) -> list[Any]:
        """The libraries of what it calls."""
        called: list[Any] = self._linking_libraries
        return called

    @property
    def codegen(self) -> Any:
        """The code generator, with no address to write an environment to."""
        return _WithoutEnvironments(self._codegen)


class _WithoutEnvironments:
    def __init__(self, codegen: Any) -> None:
        self._codegen = codegen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codegen, name)

    def set_env(self, name: str, environment: object) -> None:
        """Nothing: a kernel makes no Python object, so none looks into its environment."""


class EntryLibrary(JITCodeLibrary):
    """A kernel that Python calls, with every kernel it reaches."""

    def finalize(self) -> None:
        """Link all that is reached, then optimize."""
        waiting: list[Any] = list(self._linking_libraries)
        reached: list[Any] = []
        while waiting:
            library = waiting.pop()
            if library not in reached:
                reached.append(library)
                waiting += library.called if isinstance(library, CalleeLibrary) else []
        self._linking_libraries = reached
        super().finalize()


class CalleeCompiler(Compiler):
    """Compiles a kernel that other kernels call."""

    def __init__(
        self, typingctx: Any, targetctx: Any, library: Any, args: Any, result: Any, flags: Any, known: Any
    ) -> None:
        library = library or CalleeLibrary(targetctx.codegen(), "callee")
        super().__init__(typingctx, targetctx, library, args, result, _Flags(flags), known)


class EntryCompiler(Compiler):
    """Compiles a kernel that Python calls."""

    def __init__(
        self, typingctx: Any, targetctx: Any, library: Any, args: Any, result: Any, flags: Any, known: Any
    ) -> None:
        if library is None:
            library = EntryLibrary(targetctx.codegen(), "entry")
            library.enable_object_caching()
        super().__init__(typingctx, targetctx, library, args, result, _Flags(flags), known)

    def compile_extra(self, func: Any) -> Any:
        """Compile; a function that was made without its globals asks for them now."""
        if needed := getattr(func, "needed", None):
            func.__globals__.update(needed())
        return super().compile_extra(func)
