"""A run's directory: its paths, its commit records, its manifest.

    OUT/<run_id>/
      MANIFEST.json                  written last; lists every session's record with its digest
      config.toml                    as resolved
      sessions/2025-07-02.json       commit record: the session exists only if this does and its digests match
      tables/<table>/session=2025-07-02/part-0.parquet
      log/flow/2025-07-02.parquet    clock readings, so outside the record
      log/session_flow.log

Everything but log/ is a function of config, inputs and code: the same bytes whenever and wherever it is run.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from backtester.data.durable import canonical_json, sha256, sha256_of, write_whole
from backtester.errors import StoreError, UsageError

FORMAT = 1


class TableFile(TypedDict):
    """One committed file: its path under the run, its rows, its digest."""

    path: str
    rows: int
    sha256: str


class Record(TypedDict):
    """What one session committed; `failed` counts its rows in `failures`."""

    session: str
    bars: int
    failed: int
    tables: dict[str, TableFile]


class Manifest(TypedDict):
    """The whole run; `sessions` maps each session to the sha256 of its record, `inputs` each to its input digest."""

    format: int
    run_id: str
    name: str
    exchange: str
    interval: str
    start: str
    end: str
    symbols: int
    bars: int
    failed: int
    versions: dict[str, str]
    code: str
    sessions: dict[str, str]
    inputs: dict[str, str]
    tables: dict[str, int]


@dataclass(frozen=True)
class RunDir:
    """The paths of one run, and what they hold."""

    root: Path

    @classmethod
    def open(cls, root: Path) -> RunDir:
        """A run that exists, finished or not; UsageError otherwise, naming the runs found nearby."""
        run = cls(root)
        if not run.config_path.is_file():
            nearby = sorted(path.parent.name for path in root.glob("*/config.toml")) if root.is_dir() else []
            hint = f"; it holds the runs {', '.join(nearby)}" if nearby else ""
            raise UsageError(f"{root} is not a run directory (no config.toml){hint}")
        return run

    @property
    def config_path(self) -> Path:
        """The resolved config."""
        return self.root / "config.toml"

    @property
    def manifest_path(self) -> Path:
        """Written last: a run without it is unfinished."""
        return self.root / "MANIFEST.json"

    @property
    def flow_log_path(self) -> Path:
        """The SESSION_FLOW lines."""
        return self.root / "log" / "session_flow.log"

    def record_path(self, session: str) -> Path:
        """The commit record of a session (ISO date)."""
        return self.root / "sessions" / f"{session}.json"

    def flow_path(self, session: str) -> Path:
        """The flow rows of a session."""
        return self.root / "log" / "flow" / f"{session}.parquet"

    def table_path(self, table: str, session: str) -> Path:
        """The file of one table and session."""
        return self.root / "tables" / table / f"session={session}" / "part-0.parquet"

    def manifest(self) -> Manifest | None:
        """The manifest, or None while the run is unfinished."""
        if not self.manifest_path.is_file():
            return None
        manifest: Manifest = _read_json(self.manifest_path)
        if manifest.get("format") != FORMAT:
            raise StoreError(f"{self.manifest_path}: format {manifest.get('format')!r}; this version reads {FORMAT}")
        return manifest

    def sessions(self) -> list[str]:
        """The sessions with a commit record, in order; of a finished run, those its manifest lists."""
        manifest = self.manifest()
        if manifest is not None:
            return sorted(manifest["sessions"])
        return sorted(path.stem for path in (self.root / "sessions").glob("*.json"))

    def record(self, session: str) -> Record:
        """The commit record of a session; StoreError if it is missing or torn."""
        record: Record = _read_json(self.record_path(session))
        return record

    def files(self, table: str) -> list[tuple[str, Path]]:
        """(session, file) of every committed part of a table, in session order; nothing else under tables/ counts."""
        records = [(session, self.record(session)) for session in self.sessions()]
        return [(session, self.root / r["tables"][table]["path"]) for session, r in records if table in r["tables"]]

    def commit(self, session: str, *, bars: int, failed: int, tables: dict[str, tuple[int, memoryview]]) -> None:
        """Write the session's tables ({name: (rows, content)}), then the record without which none of it exists."""
        files: dict[str, TableFile] = {}
        for name, (rows, content) in tables.items():
            path = self.table_path(name, session)
            write_whole(path, content, sync=False)
            files[name] = {"path": str(path.relative_to(self.root)), "rows": rows, "sha256": sha256(content)}
        record: Record = {"session": session, "bars": bars, "failed": failed, "tables": files}
        # Not synced here: after a loss of power a torn session fails its digests and is computed again.
        write_whole(self.record_path(session), canonical_json(record), sync=False)

    def write_flow(self, session: str, content: memoryview) -> None:
        """Keep the flow rows of a session; they are a log, not part of its record."""
        write_whole(self.flow_path(session), content, sync=False)

    def log(self, lines: list[str]) -> None:
        """Append SESSION_FLOW lines in one write."""
        self.flow_log_path.parent.mkdir(parents=True, exist_ok=True)
        with self.flow_log_path.open("a", encoding="utf-8") as file:
            file.write("".join(f"{line}\n" for line in lines))

    def damage(self, session: str) -> list[str]:
        """What is wrong with a committed session's files, in words; empty when every digest matches."""
        try:
            record = self.record(session)
        except StoreError as error:
            return [str(error)]
        found = []
        for table, file in record["tables"].items():
            path = self.root / file["path"]
            if not path.is_file():
                found.append(f"{session}: {table}: {path} is missing")
            elif (digest := sha256_of(path)) != file["sha256"]:
                found.append(f"{session}: {table}: {path} is {digest[:12]}, its record says {file['sha256'][:12]}")
        return found

    def manifest_damage(self) -> list[str]:
        """What the manifest says of the records that they do not; empty when they agree."""
        manifest = self.manifest()
        if manifest is None:
            return [f"{self.manifest_path} is missing: the run did not finish; resume it with `run --resume`"]
        found = []
        for session, digest in manifest["sessions"].items():
            path = self.record_path(session)
            if not path.is_file():
                found.append(f"{session}: record {path} is missing")
            elif sha256_of(path) != digest:
                found.append(f"{session}: record {path} is not the one the manifest lists")
        return found


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StoreError(f"{path}: not readable as JSON ({error}); `run --resume` computes it again") from error
