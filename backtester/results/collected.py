"""What the metrics need of the sessions of a run: kept as they are computed, or read back where they are committed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from backtester.arrays import Float64
from backtester.data.columns import dates, empty
from backtester.data.run_dir import RunDir
from backtester.errors import StoreError
from backtester.results.facts import COLUMNS
from backtester.schema import SESSION_TABLES

_SUMMARY = ("symbol", "close")


class Collected:
    """The columns of COLUMNS by session, and the benchmark's closes; `add` may be called from any thread."""

    def __init__(self, *, benchmark: str | None = None) -> None:
        self._benchmark = benchmark
        self._parts: dict[str, dict[str, pa.Table]] = {}
        self._closes: dict[str, float] = {}

    def add(self, session: str, tables: Mapping[str, pa.Table]) -> None:
        """Keep what is needed of a session's tables; a table that is absent counts as empty."""
        if self._benchmark is not None:
            self._closes[session] = _close(tables.get("session_summary"), self._benchmark)
        self._parts[session] = {name: _columns(tables.get(name), name) for name in COLUMNS}

    def read(self, run_dir: RunDir, sessions: Iterable[str]) -> None:
        """The same from the committed files of those sessions that were not added."""
        for session in sessions:
            if session not in self._parts:
                held = run_dir.record(session)["tables"]
                wanted = {name: [c for c in columns if c != "session"] for name, columns in COLUMNS.items()}
                if self._benchmark is not None:
                    wanted["session_summary"] = list(_SUMMARY)
                names = [name for name in wanted if name in held]
                self.add(session, {name: _read(run_dir, name, session, wanted[name]) for name in names})

    def tables(self) -> dict[str, pa.Table]:
        """Every table over the whole run, in session order."""
        ordered = [self._parts[session] for session in sorted(self._parts)]
        tables = {name: pa.concat_tables([part[name] for part in ordered]) for name in COLUMNS if ordered}
        if ordered:
            days = [(session, part["session_equity"].num_rows) for session, part in sorted(self._parts.items())]
            each = np.array([session for session, _ in days], dtype="datetime64[D]").astype(np.int32)
            of_row = dates(np.repeat(each, [rows for _, rows in days]))
            tables["session_equity"] = tables["session_equity"].append_column("session", of_row)
        return tables

    def benchmark_returns(self) -> Float64 | None:
        """The benchmark's return of each session, close to close, NaN in the first; None where none was asked for."""
        if self._benchmark is None:
            return None
        closes = np.array([self._closes[session] for session in sorted(self._closes)])
        returns = np.full(closes.size, np.nan)
        returns[1:] = closes[1:] / closes[:-1] - 1.0
        return returns


def _columns(table: pa.Table | None, name: str) -> pa.Table:
    wanted = [column for column in COLUMNS[name] if column != "session"]
    table = empty(SESSION_TABLES[name]) if table is None else table
    return table.select(wanted)


def _close(summary: pa.Table | None, symbol: str) -> float:
    if summary is None:
        return np.nan
    symbols = summary["symbol"].to_pylist()
    close = summary["close"][symbols.index(symbol)].as_py() if symbol in symbols else None
    return np.nan if close is None else float(close)


def _read(run_dir: RunDir, table: str, session: str, columns: list[str]) -> pa.Table:
    path = run_dir.inside(run_dir.table_path(table, session))
    try:
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            return file.read(columns=columns, use_threads=False)
    except (OSError, pa.ArrowException) as error:
        raise StoreError(f"{path}: not readable as Parquet ({error}); `run --resume` computes it again") from error
