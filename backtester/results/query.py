"""Questions in SQL, answered by a child process that can read the run's tables and nothing else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import backtester
from backtester.errors import BacktestError, StoreError, UsageError

if TYPE_CHECKING:
    import pyarrow as pa

MIB = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What one statement may cost; memory and threads are bounded by the machine's (views.Resources)."""

    seconds: float = 60.0
    result_bytes: int = 1024 * MIB


def ask(root: Path, sql: str, *, limits: Limits | None = None) -> pa.Table:
    """The rows of one SELECT or EXPLAIN over the run at `root`.

    UsageError for any other statement, for one that DuckDB refuses, and for one that goes beyond a limit; StoreError
    for files that cannot be read. The child process that runs it is gone when this returns, however it returns.
    """
    limits = limits or Limits()
    request = {"root": str(root.resolve()), "sql": sql, **asdict(limits)}
    with _start() as child:
        try:
            import pyarrow as pa  # while the child starts: a quarter of a second

            answer, talk = child.communicate(json.dumps(request).encode(), timeout=limits.seconds)
        except subprocess.TimeoutExpired as error:
            raise UsageError(
                f"the statement was stopped after {limits.seconds:g} s; "
                "ask for less (say, one session) or raise --timeout"
            ) from error
        finally:
            # Also on Ctrl-C: DuckDB itself ignored it past 8 s, so the process is killed.
            child.kill()
    if child.returncode != 0:
        raise _failure(child.returncode, talk)
    with pa.ipc.open_stream(answer) as stream:
        table = stream.read_all()
    return table.rename_columns(_distinct(table.column_names))


def _start() -> subprocess.Popen[bytes]:
    package_root = str(Path(backtester.__file__).parent.parent)
    paths = [package_root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return subprocess.Popen(
        # -P: a file in the working directory must not stand in for a module.
        [sys.executable, "-P", "-m", "backtester.results.sandbox"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
    )


def _failure(code: int, talk: bytes) -> Exception:
    """The child's last word as an error of ours."""
    text = talk.decode(errors="replace").strip()
    try:
        said = json.loads(text.rsplit("\n", 1)[-1])
        kind: type[BacktestError] = {"usage": UsageError, "store": StoreError}[said["kind"]]
        return kind(said["message"])
    except (ValueError, KeyError, TypeError):
        pass
    if code < 0:
        name = signal.Signals(-code).name
        return UsageError(f"the statement brought its process down ({name}); nothing was changed, ask for less")
    return RuntimeError(f"the query process ended with {code}: {text}")


def _distinct(names: list[str]) -> list[str]:
    """The names with `_2`, `_3` added where one comes again: an object or a data frame holds each name once."""
    taken: set[str] = set()
    result = []
    for name in names:
        candidate, count = name, 1
        while candidate in taken:
            count += 1
            candidate = f"{name}_{count}"
        taken.add(candidate)
        result.append(candidate)
    return result
