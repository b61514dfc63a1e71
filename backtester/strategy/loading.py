"""A strategy by its name `module:Class`: imported from the config's folder or an installed package, and made."""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
import traceback
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from backtester.config.strict import MISSING, Problem, nearest
from backtester.errors import StrategyError

# The method that tells which kind a strategy is.
KINDS = {"signals": "columns", "step": "step", "on_bar": "event"}
CALLBACKS = ("on_session_start", "on_bar", "on_derived_bar", "on_quality", "on_fill", "on_session_end")
ROLES = {"strategy": KINDS, "scanner": {"select": "scanner"}}
PLAIN = (bool, int, float, str)
INSTALLED = {"site-packages", "dist-packages"}
OURS = Path(__file__).parents[1]


@dataclass(frozen=True)
class Loaded:
    """A strategy ready to decide, and what its decisions depend on besides the config."""

    use: str
    strategy: Any  # an instance of the user's class
    kind: str  # one of ROLES' values
    sources: dict[str, str]  # name of each module of the config's folder that was imported -> sha256 of its file

    @cached_property
    def digest(self) -> str:
        """Changes with any source file the strategy was imported from."""
        lines = [f"{name} {digest}\n" for name, digest in sorted(self.sources.items())]
        return hashlib.sha256("".join(lines).encode()).hexdigest()


def load(use: str, params: Mapping[str, Any], *, folder: Path, role: str = "strategy") -> Loaded:
    """Import and make a strategy or a scanner; StrategyError tells everything that is wrong with it.

    use     `module:Class`; the module is looked for in `folder` first, then among installed packages
    params  its class's keyword arguments
    role    one of ROLES; a scanner is imported beside what the strategy imported
    """
    module, sources = _module_of(use, folder, role)
    made_from = _class_of(module, use, role)
    kind = _kind(use, made_from, role)
    made, problems = _made(made_from, params)
    if problems:
        lines = [f"{'.'.join(map(str, problem.where))} is {problem.found!r}; {problem.message}" for problem in problems]
        raise StrategyError(f"{role} {use}: " + "; ".join(lines))
    return Loaded(use, made, kind, sources)


def problems_of(use: str, params: Mapping[str, Any], *, folder: Path, role: str = "strategy") -> list[Problem]:
    """What is wrong with the section of a strategy or a scanner, as lines of the config's errors."""
    try:
        module, _ = _module_of(use, folder, role)
        made_from = _class_of(module, use, role)
        _kind(use, made_from, role)
    except StrategyError as error:
        return [Problem(("use",), use, str(error))]
    return _made(made_from, params)[1]


def role_of(loaded: Loaded) -> str:
    """The one of ROLES it was loaded for."""
    return next(role for role, kinds in ROLES.items() if loaded.kind in kinds.values())


def where_raised(error: BaseException) -> str:
    """An error of the user's code in one line, with the line of code it came from: not one of ours or a library's."""
    if isinstance(error, SyntaxError):
        at = f"{Path(error.filename or '').name}:{error.lineno}: {(error.text or '').strip()}"
        return f"{type(error).__name__}: {error.msg} ({at})"
    if type(error).__name__ == "BdbQuit":  # of a module that is not imported otherwise
        return "the debugger was left; --resume finishes the run"
    every = traceback.extract_tb(error.__traceback__)
    mine = [frame for frame in every if not INSTALLED & set(Path(frame.filename).parts)]
    frames = [frame for frame in mine if not Path(frame.filename).is_relative_to(OURS)] or mine or every
    at = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno}: {frames[-1].line})" if frames else ""
    # What we refuse says all in its words.
    kind = "" if isinstance(error, StrategyError) else f"{type(error).__name__}: "
    return f"{kind}{error}{at}"


def is_of_users(error: BaseException) -> bool:
    """Was a line of the user's code among those that led to it?"""
    frames = traceback.extract_tb(error.__traceback__)
    names = [Path(frame.filename) for frame in frames if not INSTALLED & set(Path(frame.filename).parts)]
    return any(not name.is_relative_to(OURS) for name in names)


def forget() -> None:
    """Read the modules of config folders anew from here on."""
    for name in _Modules.names:
        sys.modules.pop(name, None)
    _Modules.names.clear()


def import_beside(module: str, folder: Path) -> dict[str, str]:
    """Import a module as a strategy's is, beside those already imported, and digest what lies in the folder.

    It stays importable by name until the modules are forgotten.
    """
    held = set(_Modules.names)
    if module not in held:
        _Modules.names.clear()
        try:
            _imported(module, folder)
        finally:
            _Modules.names.update(held)
    root = folder.resolve()
    own = {name: Path(str(each.__file__)) for name, each in list(sys.modules.items()) if _lies_in(each, root)}
    return {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in own.items()}


class _Modules:
    """The modules imported for strategies in this process, so that another folder's of the same name can follow."""

    names: typing.ClassVar[set[str]] = set()


def _module_of(use: str, folder: Path, role: str) -> tuple[types.ModuleType, dict[str, str]]:
    name = use.partition(":")[0]
    if role == "strategy":
        return _imported(name, folder)
    sources = import_beside(name, folder)
    return sys.modules[name], sources


def _imported(module: str, folder: Path) -> tuple[types.ModuleType, dict[str, str]]:
    """A module and the sources it was made from; those of the config's folder are read anew."""
    root = folder.resolve()
    for name in _Modules.names | {module}:
        if name in _Modules.names or _lies_in(sys.modules.get(name), root):
            sys.modules.pop(name, None)
    _Modules.names.clear()
    sys.path.insert(0, str(root))
    importlib.invalidate_caches()
    try:
        imported = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and (module == error.name or module.startswith(error.name + ".")):
            raise StrategyError(f"no module {module} in {root} or installed; {_nearest_module(module, root)}") from None
        raise StrategyError(f"importing {module} failed: {error}; install it, or put it in {root}") from error
    except (Exception, SystemExit) as error:  # a script's sys.exit() would end the program without a word
        raise StrategyError(f"importing {module} failed: {where_raised(error)}") from error
    finally:
        sys.path.remove(str(root))
    own = {name: Path(str(each.__file__)) for name, each in sys.modules.items() if _lies_in(each, root)}
    _Modules.names.update(own)
    return imported, {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in own.items()}


def _lies_in(module: types.ModuleType | None, root: Path) -> bool:
    """True for the user's own modules: in the config's folder, and neither installed there nor of this package."""
    found = getattr(module, "__file__", None)
    if module is None or found is None or module.__name__.partition(".")[0] in ("backtester", "__main__"):
        return False
    path = Path(found)
    return path.is_relative_to(root) and not INSTALLED & set(path.parts)


def _nearest_module(module: str, root: Path) -> str:
    found = sorted(
        {path.stem for path in root.glob("*.py")} | {path.parent.name for path in root.glob("*/__init__.py")}
    )
    return nearest(module, found) if found else "the folder holds no module"


def _class_of(module: types.ModuleType, use: str, role: str) -> type:
    name = use.partition(":")[2]
    found = getattr(module, name, None)
    if isinstance(found, type):
        return found
    classes = [key for key, value in vars(module).items() if isinstance(value, type) and _methods(value, role)]
    raise StrategyError(f"{module.__name__} ({module.__file__}) has no class {name}; {nearest(name, classes)}")


def _methods(made_from: type, role: str) -> list[str]:
    return [method for method in ROLES[role] if callable(getattr(made_from, method, None))]


def _kind(use: str, made_from: type, role: str) -> str:
    methods = _methods(made_from, role)
    if len(methods) != 1:
        wanted = "exactly one of " * (len(ROLES[role]) > 1) + ", ".join(ROLES[role])
        raise StrategyError(f"{use} has {' and '.join(methods) or 'none'}; a {role} has {wanted}")
    kind = ROLES[role][methods[0]]
    for name in dir(made_from):
        # A misspelt callback would never be told anything, without a word.
        if kind == "event" and name.startswith("on_") and name not in CALLBACKS:
            raise StrategyError(f"{use} has {name}, which is no callback; {nearest(name, CALLBACKS)}")
    return kind


def _made(made_from: type, params: Mapping[str, Any]) -> tuple[Any, list[Problem]]:
    """An instance, or what is wrong with its parameters."""
    known = {
        name: parameter
        for name, parameter in inspect.signature(made_from).parameters.items()
        if parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    }
    hints = _hints(made_from)
    problems = [
        Problem(("params", name), found, f"no such parameter of {made_from.__name__}; {nearest(name, known)}")
        for name, found in params.items()
        if name not in known
    ]
    for name, parameter in known.items():
        if name not in params:
            if parameter.default is parameter.empty:
                problems.append(Problem(("params", name), None, MISSING))
        elif (wanted := _wrong_type(params[name], hints.get(name))) is not None:
            problems.append(Problem(("params", name), params[name], f"expected {wanted}"))
    if problems:
        return None, problems
    try:
        return made_from(**params), []
    except ValueError as error:
        return None, [Problem(("params",), dict(params), str(error))]
    except (Exception, SystemExit) as error:
        return None, [Problem(("params",), dict(params), f"making {made_from.__name__} failed: {where_raised(error)}")]


def _hints(made_from: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(made_from) | typing.get_type_hints(vars(made_from).get("__init__"))
    except (NameError, TypeError):
        return {}


def _wrong_type(value: object, hint: Any) -> str | None:
    """What is expected instead, for hints of plain types; other hints are the strategy's own affair."""
    kinds = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    if not all(kind in (*PLAIN, type(None)) for kind in kinds):
        return None
    whole = isinstance(value, int) and not isinstance(value, bool)
    if type(value) in kinds or (whole and float in kinds):
        return None
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
    return " or ".join(words[kind] for kind in kinds if kind is not type(None))
