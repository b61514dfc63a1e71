"""The child process that answers one SQL statement: reads a request on stdin, writes Arrow IPC on stdout.

Three fences, each enough by itself for what it guards: the statement's syntax tree may hold only what reads, DuckDB is
locked to registered tables before the statement is planned, and the operating system lets this process write no file.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

from backtester.errors import BacktestError, StoreError, UsageError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

# The parts of a tree that only read. DuckDB 2.0 also has COPY, INSERT, UPDATE and DELETE nodes, which may stand in a
# WITH clause of a statement whose type is SELECT.
READING_NODES = {"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"}

# Not here: functions that read files, run other text as SQL, take addresses in memory, or write logs and profiles.
TABLE_FUNCTIONS = {
    "duckdb_columns",
    "duckdb_functions",
    "duckdb_keywords",
    "duckdb_types",
    "duckdb_views",
    "generate_series",
    "json_each",
    "json_tree",
    "pg_timezone_names",
    "range",
    "unnest",
}

BATCH_ROWS = 65_536


class Request(TypedDict):
    """What the parent sends as JSON."""

    root: str
    sql: str
    seconds: float
    result_bytes: int


class _NoFrames:
    """Refuses pandas and Polars: pyarrow would load pandas where it is installed, for 0.25 s and no use here."""

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:  # noqa: ARG002  a protocol
        if name.partition(".")[0] in ("pandas", "polars"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def main() -> int:
    """Answer the request on stdin; 0, or 2 with the reason as one JSON line on stderr."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides when this ends
    request: Request = json.load(sys.stdin)
    sys.meta_path.insert(0, _NoFrames())
    import duckdb

    try:
        _answer(request)
    except (duckdb.Error, OSError) as error:
        # OSError: Arrow's name for what DuckDB says while a result is being read.
        said = one_line(str(error))
        is_damage = "reading the stream registered as" in said
        return _refuse(*(("store", f"{said}; ask `backtester verify`") if is_damage else ("usage", said)))
    except StoreError as error:
        return _refuse("store", str(error))
    except BacktestError as error:
        return _refuse("usage", str(error))
    except MemoryError:
        return _refuse("usage", "the statement needs more memory than it may use; aggregate, or ask for less")
    return 0


def _refuse(kind: str, message: str) -> int:
    print(json.dumps({"kind": kind, "message": message}), file=sys.stderr)  # noqa: T201  this is the protocol
    return 2


def _answer(request: Request) -> None:
    from backtester.data.run_dir import RunDir
    from backtester.results import views

    resources = views.Resources.of_machine()
    _limit_process(request["seconds"], resources.memory_bytes)
    connection = views.connect(resources)
    names = references(connection, request["sql"], views={file.name for file in views.view_files()})
    run = RunDir.open(Path(request["root"]))
    files, tables = views.needed(names)
    views.attach(connection, views.stored_tables(run, views.records(run), tables), files)
    views.lock(connection)
    _send(connection.sql(request["sql"]).to_arrow_reader(BATCH_ROWS), request["result_bytes"])


def _limit_process(seconds: float, memory_bytes: int) -> None:
    """Bounds that hold even if the parent is gone: no byte into any file, no core dump, an end in time."""
    for kind in (resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        resource.setrlimit(kind, (0, 0))
    # Twice the memory and 4 GiB: Arrow and the threads' stacks reserve addresses that they do not use.
    address_space = 2 * memory_bytes + (4 << 30)
    with contextlib.suppress(ValueError):  # a stricter limit from outside stays
        resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))
    # The default action of SIGALRM ends a process inside native code too.
    signal.setitimer(signal.ITIMER_REAL, seconds + 1.0)


def _send(reader: pa.RecordBatchReader, limit_bytes: int) -> None:
    """Write the batches to stdout; UsageError beyond the limit."""
    import pyarrow as pa

    sent = 0
    with pa.ipc.new_stream(pa.PythonFile(sys.stdout.buffer, "w"), reader.schema) as sink:
        for batch in reader:
            sent += batch.nbytes
            if sent > limit_bytes:
                raise UsageError(f"the result is over {limit_bytes >> 20} MiB; aggregate, or ask for less")
            sink.write_batch(batch)
    sys.stdout.buffer.flush()


def references(connection: duckdb.DuckDBPyConnection, sql: str, *, views: set[str]) -> set[str] | None:
    """Which of the views one reading statement names; None where every view must be there.

    That is so for `show tables` and its like, and for an unknown name: DuckDB then says which was meant.

    UsageError for no statement, several, one that is neither SELECT nor EXPLAIN, and one that does more than read.
    """
    import duckdb

    statements = connection.extract_statements(sql)
    if len(statements) != 1:
        raise UsageError(f"found {len(statements)} statements; expected exactly one")
    text = statements[0].query
    if statements[0].type == duckdb.StatementType.EXPLAIN:
        explained = re.match(r"\s*explain(\s+analyze\b|\s*\([^()]*\))?(.*)", text, re.IGNORECASE | re.DOTALL)
        inner = connection.extract_statements(explained[2]) if explained else []
        if len(inner) != 1:
            raise UsageError(
                "this EXPLAIN cannot be checked; write `explain select ...` or `explain analyze select ...`"
            )
        statements, text = inner, explained[2] if explained else text
    if statements[0].type != duckdb.StatementType.SELECT:
        kind = statements[0].type.name
        remedy = "; give the pivot its values (`pivot t on c in (...)`)" if kind == "MULTI" else ""
        raise UsageError(f"the statement is {kind}; only SELECT and EXPLAIN are answered{remedy}")
    return _tables_of(_tree(connection, text), views)


def _tree(connection: duckdb.DuckDBPyConnection, text: str) -> Any:
    rows = connection.execute("select json_serialize_sql(?::varchar)", [text]).fetchall()
    try:
        tree = json.loads(rows[0][0])
    except RecursionError as error:
        raise UsageError("the statement is nested too deeply") from error
    if tree.get("error", True):
        raise UsageError(f"the statement cannot be checked: {tree.get('error_message', 'no tree')}")
    return tree["statements"]


def _tables_of(tree: Any, views: set[str]) -> set[str] | None:
    """The views named in a tree, None for all; UsageError where it holds a node or function not on the lists."""
    tables: set[str] = set()
    defined: set[str] = set()
    is_known = True
    pending = [tree]
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(node)
            continue
        if not isinstance(node, dict):
            continue
        pending.extend(node.values())
        kind = node.get("type")
        if isinstance(kind, str) and kind.endswith("_NODE") and kind not in READING_NODES:
            raise UsageError(f"the statement holds a {kind.removesuffix('_NODE')}; only reading is answered")
        if kind == "TABLE_FUNCTION":
            name = node["function"]["function_name"].lower()
            if name not in TABLE_FUNCTIONS:
                raise UsageError(f"table function {name} is refused; there are {', '.join(sorted(TABLE_FUNCTIONS))}")
            is_known = is_known and not name.startswith("duckdb_")
        elif kind == "BASE_TABLE":
            tables.add(node["table_name"].lower())
        elif kind == "SHOW_REF" and node.get("query") is None:
            is_known = False
        if "cte_map" in node:
            defined |= {entry["key"].lower() for entry in node["cte_map"]["map"]}
    return tables & views if is_known and tables <= views | defined else None


def one_line(message: str) -> str:
    """DuckDB's message without the quoted source, its suggestions kept."""
    said = re.split(r"\n\s*\n|\nLINE \d+:", message, maxsplit=1)[0]
    return " ".join(said.split())


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Not sys.exit: there is nothing to tear down, and DuckDB's bindings talk on stderr while they try.
    os._exit(code)
