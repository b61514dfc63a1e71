"""The one decorator for kernels: machine code when the work is worth it, plain Python when not, the same bits.

Importing Numba and loading one cached kernel costs a second; a session of two symbols costs plain Python a tenth of
one. So a kernel starts as the function it is, and `compiled()` turns all of them into machine code from then on.
Compiled code is kept in a folder named for everything it depends on: Numba's own cache does not see an edit in another
file.
"""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import stat
import threading
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Generic, ParamSpec, Self, TypeVar

import numpy as np

from backtester.errors import OutputError

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class _Mode:
    compiled = False
    tell: Callable[[str], None] | None = None


class Kernel(Generic[Arguments, Result]):
    """A function of arrays and numbers; calls run it as Python until `compiled()` has been called."""

    # Whether compiled code looks if an index lies in its array; ours are known to.
    is_checked = False

    def __init__(self, python: Callable[Arguments, Result], *, inline: bool = True, folder: str = "") -> None:
        functools.update_wrapper(self, python)
        self.python = python
        self.inline = inline
        self.folder = folder

    def bound(self, names: dict[str, Any], *, folder: str) -> Self:
        """The same kernel with other globals; `folder` names everything that its machine code now depends on."""
        known = {**self.python.__globals__, **names}
        code, defaults = self.python.__code__, self.python.__defaults__
        python = types.FunctionType(code, known, self.python.__name__, defaults)
        python.__module__, python.__qualname__ = self.python.__module__, self.python.__qualname__
        return type(self)(python, inline=self.inline, folder=folder)

    def __call__(self, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
        if _Mode.compiled:
            return self.machine(*args, **kwargs)
        named = {name: plain_of(value) for name, value in kwargs.items()}
        return self.plain(*(plain_of(value) for value in args), **named)

    @functools.cached_property
    def plain(self) -> Callable[Arguments, Result]:
        """The function as Python; kernels it calls are called as they are, their arguments being plain already."""
        return self._bound({name: value.plain for name, value in self.callees().items() if isinstance(value, Kernel)})

    @functools.cached_property
    def machine(self) -> Callable[Arguments, Result]:
        """The compiled function, made at first use; kernels it calls are compiled into it."""
        return self.jit(self._bound({name: self.compiled_callee(value) for name, value in self.callees().items()}))

    @functools.cached_property
    def linked(self) -> Callable[Arguments, Result]:
        """The function as compiled kernels call it: part of their machine code, with none of its own."""
        return self.jit(
            self._bound({name: self.compiled_callee(value) for name, value in self.callees().items()}), is_entry=False
        )

    def jit(self, python: Callable[Arguments, Result], *, is_entry: bool = True) -> Callable[Arguments, Result]:
        """A function compiled as kernels are, to be called by Python or by kernels."""
        import numba

        from backtester.kernels import linking

        # numpy error model: no zero-division branch, which would keep LLVM from vectorizing; kernels guard.
        # _nrt off: no reference counts, which cost more than a short run of rows; allocating then fails to compile.
        options = {"nogil": True, "_nrt": False, "fastmath": False, "parallel": False, "error_model": "numpy"}
        if self.is_checked:
            options["boundscheck"] = True
        if not is_entry:
            return numba.njit(  # type: ignore[no-any-return, call-overload]  # its types lack these
                forceinline=self.inline,
                no_cpython_wrapper=True,
                no_cfunc_wrapper=True,
                pipeline_class=linking.CalleeCompiler,
                **options,
            )(python)
        root = numba.config.CACHE_DIR  # type: ignore[attr-defined]  # made at import
        if self.folder:
            numba.config.CACHE_DIR = str(cache_folder() / self.folder)  # type: ignore[attr-defined]  # made at import
        jitted: Callable[Arguments, Result] = numba.njit(  # type: ignore[call-overload]  # its types lack these
            cache=True, no_cfunc_wrapper=True, pipeline_class=linking.EntryCompiler, **options
        )(python)
        numba.config.CACHE_DIR = root  # type: ignore[attr-defined]  # made at import
        return jitted

    def callees(self) -> dict[str, Any]:
        """The globals the function mentions."""
        known = self.python.__globals__
        return {name: known[name] for name in self.python.__code__.co_names if name in known}

    def compiled_callee(self, value: object) -> object:
        """What a global is for compiled code."""
        if isinstance(value, Kernel):
            return value.linked
        if isinstance(value, types.FunctionType):
            twin = _twins.get(value)
            return Kernel(value, inline=self.inline, folder=self.folder).linked if twin is None else twin()
        return value

    def _bound(self, names: dict[str, Any]) -> Callable[Arguments, Result]:
        known = {**self.callees(), **names, "__name__": self.python.__module__}
        python = types.FunctionType(self.python.__code__, known, self.python.__name__, self.python.__defaults__)
        functools.update_wrapper(python, self.python)
        return python


class Checked(Kernel[Arguments, Result]):
    """A user's function: an index beyond an array is an error, not whatever lies there."""

    is_checked = True


def kept(folder: str, name: str, make: Callable[[], bytes]) -> bytes:
    """What was made for a kernel's machine code, read from beside it, or made now and left there."""
    path = cache_folder() / folder / f"{name}.derived"
    try:
        return path.read_bytes()
    except FileNotFoundError:
        made = make()
    path.parent.mkdir(mode=0o700, exist_ok=True)
    # Another process may read or make it meanwhile.
    written = path.with_suffix(f".{os.getpid()}-{threading.get_ident()}")
    written.write_bytes(made)
    written.replace(path)
    return made


def kernel(python: Callable[Arguments, Result]) -> Kernel[Arguments, Result]:
    """Mark a function of arrays and numbers as a kernel."""
    return Kernel(python)


def unsigned(index: int) -> int:
    """An index that cannot be negative: compiled code then needs no wrap-around test and can be vectorized."""
    return index


def _unsigned_machine(index: int) -> np.uint64:
    return np.uint64(index)


@functools.cache
def _unsigned_jitted() -> Any:
    import numba

    return numba.njit(cache=False, inline="always")(_unsigned_machine)


# Functions that compiled code has another form of, and what makes it.
_twins: dict[Callable[..., Any], Callable[[], Any]] = {unsigned: _unsigned_jitted}


def twin(python: Callable[..., Any], make: Callable[[], Any]) -> None:
    """Have compiled kernels call what `make` makes where `python` is written."""
    _twins[python] = make


def plain_of(value: Any) -> Any:
    """What interpreted kernels are given for an array, or a tuple of them."""
    # A memoryview hands out Python numbers, several times faster than NumPy scalars and with the same arithmetic.
    if isinstance(value, np.ndarray):
        return value.data
    if isinstance(value, tuple):
        return type(value)(*(plain_of(field) for field in value))
    if isinstance(value, list):
        return [plain_of(each) for each in value]
    return value


def compiled(tell: Callable[[str], None] | None = None) -> None:
    """Run kernels as machine code from now on, in this process; `tell` is given a word before a long compilation."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") != "0":
        return
    import numba

    numba.config.CACHE_DIR = str(cache_folder())  # type: ignore[attr-defined]  # made at import
    _Mode.compiled, _Mode.tell = True, tell


def tell(words: str) -> None:
    """Say what is about to be compiled to whoever asked for machine code."""
    if _Mode.tell is not None:
        _Mode.tell(words)


def is_compiled() -> bool:
    """True once kernels run as machine code."""
    return _Mode.compiled


@contextmanager
def interpreted() -> Iterator[None]:
    """Run kernels as plain Python inside, whatever they run as outside; no other thread may call one meanwhile."""
    before, _Mode.compiled = _Mode.compiled, False
    try:
        yield
    finally:
        _Mode.compiled = before


def is_cached(module: str = "") -> bool:
    """True if an earlier process left compiled kernels, of that module, for this code, these versions and this CPU."""
    return any(cache_folder().rglob(f"{module}.*.nbc" if module else "*.nbc"))


def source_digest() -> str:
    """Sixteen hexadecimal digits that change with any kernel's source."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    digest.update((Path(__file__).parent.parent / "arrays.py").read_bytes())
    return digest.hexdigest()[:16]


def cache_folder() -> Path:
    """The folder of compiled kernels, made if missing; OutputError if another user could have written to it."""
    import llvmlite
    import numba

    cpu = os.environ.get("NUMBA_CPU_NAME") or _cpu_digest()
    bounds = os.environ.get("NUMBA_BOUNDSCHECK", "0")
    key = f"{source_digest()}-{numba.__version__}-{llvmlite.__version__}-{np.__version__}-{platform.python_version()}"
    name = hashlib.sha256(f"{key}-{platform.machine()}-{cpu}-{bounds}".encode()).hexdigest()[:24]
    root = Path(os.environ.get("BACKTESTER_CACHE") or os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = root / "backtester" / "kernels" / name
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise OutputError(f"{folder}: {error.strerror}; set BACKTESTER_CACHE to a writable folder") from error
    # Numba unpickles what it finds here, so whoever can write here can run code as this user.
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o022:
        raise OutputError(f"{folder} can be written by others; remove it or set BACKTESTER_CACHE to a private folder")
    return folder


def _cpu_digest() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    told = [line for line in lines if line.startswith(("model name", "flags", "cpu family", "model\t"))]
    return hashlib.sha256("\n".join(sorted(set(told))).encode()).hexdigest()[:16]
