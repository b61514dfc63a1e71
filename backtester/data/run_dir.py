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

import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, NotRequired, TypedDict, cast

from backtester.data.durable import (
    canonical_json,
    make_folder,
    read_sealed,
    sealed_json,
    sha256,
    sha256_of,
    write_whole,
)
from backtester.errors import StoreError, UsageError
from backtester.schema import RUN_TABLES, SESSION_TABLES

FORMAT = 1
REMEDY = "`run` with its config computes it again"


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
    """The whole run; `sessions` maps each session to the sha256 of its record, `inputs` each to its input digest.

    config      the sha256 of config.toml
    run_tables  tables of the whole run; manifests of earlier versions have no such key
    """

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
    config: str
    sessions: dict[str, str]
    inputs: dict[str, str]
    tables: dict[str, int]
    run_tables: dict[str, TableFile]
    sources: NotRequired[dict[str, str]]  # sha256 of each module of the user's that the run was made with
    attestation: NotRequired[dict[str, Any]]  # of a run with --attest: what it looked for and found
    audit: NotRequired[dict[str, Any]]  # of `backtester audit --out`: the same


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
        return Path(f"{self.root}/{_table_path(table, session)}")

    def run_table_path(self, table: str) -> Path:
        """The file of a table of the whole run."""
        return Path(f"{self.root}/{_run_table_path(table)}")

    def config(self) -> dict[str, Any]:
        """The resolved config, section by section."""
        try:
            return tomllib.loads(self.config_path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise StoreError(f"{self.config_path}: not readable as TOML ({error}); {REMEDY}") from error

    def settings(self) -> dict[str, Any]:
        """The [run] section of the resolved config."""
        settings = self.config().get("run", {})
        if not isinstance(settings, dict):
            raise StoreError(f"{self.config_path}: run is a {type(settings).__name__}, expected a section; {REMEDY}")
        return settings

    def manifest(self) -> Manifest | None:
        """The manifest, None while the run is unfinished; StoreError if it is not the one that was written."""
        path = self.manifest_path
        if not path.is_file():
            return None
        found = read_sealed(path, remedy=REMEDY)
        if found.get("format") != FORMAT:
            raise StoreError(f"{path}: format {found.get('format')!r}; this version reads {FORMAT}")
        for key, kind in _MANIFEST_TYPES.items():
            if type(found.get(key)) is not kind:
                raise StoreError(f"{path}: {key} is {found.get(key)!r}, expected {kind.__name__}; {REMEDY}")
        held = [("sessions", str), ("inputs", str), ("versions", str), ("tables", int), ("sources", str)]
        for key, kind in held:
            values = found.get(key, {})
            if type(values) is not dict or any(type(value) is not kind for value in values.values()):
                raise StoreError(f"{path}: {key} holds other values than {kind.__name__}; {REMEDY}")
        run_tables = found.setdefault("run_tables", {})
        if type(run_tables) is not dict:
            raise StoreError(f"{path}: run_tables is {run_tables!r}, expected dict; {REMEDY}")
        for table, file in run_tables.items():
            _refuse_misplaced(path, table, file, _run_table_path(table), known=table in RUN_TABLES)
        return cast(Manifest, found)

    def sessions(self) -> list[str]:
        """The sessions with a commit record, in order; of a finished run, those its manifest lists."""
        manifest = self.manifest()
        names = [path.stem for path in (self.root / "sessions").glob("*.json")] if manifest is None else None
        found = sorted(manifest["sessions"] if manifest is not None else names or [])
        for name in found:
            if not _is_iso_date(name):
                raise StoreError(f"{self.root}: session {name!r} is not a date; expected YYYY-MM-DD, remove its record")
        return found

    def record(self, session: str) -> Record:
        """The commit record of a session; StoreError if it is missing, damaged or points elsewhere than its tables."""
        path = self.record_path(session)
        found = read_sealed(path, remedy=REMEDY)
        tables = found.get("tables")
        counts = [found.get("bars"), found.get("failed")]
        if found.get("session") != session or not isinstance(tables, dict) or not all(map(_is_count, counts)):
            raise StoreError(f"{path}: not the commit record of {session}; {REMEDY}")
        for table, file in tables.items():
            _refuse_misplaced(path, table, file, _table_path(table, session), known=table in SESSION_TABLES)
        return cast(Record, found)

    def inside(self, path: Path) -> Path:
        """`path`, one of the above; StoreError if it is missing, or a link out of the run."""
        if not path.is_file() or not path.resolve().is_relative_to(self.root.resolve()):
            raise StoreError(f"{path} is missing, or a link out of its run; `backtester verify` says what else is")
        return path

    def files(self, table: str) -> list[tuple[str, Path]]:
        """(session, file) of every committed part of a table, in session order; nothing else under tables/ counts."""
        records = [(session, self.record(session)) for session in self.sessions()]
        held = [session for session, record in records if table in record["tables"]]
        return [(session, self.inside(self.table_path(table, session))) for session in held]

    def commit(self, session: str, *, bars: int, failed: int, tables: dict[str, tuple[int, memoryview]]) -> None:
        """Write the session's tables ({name: (rows, content)}), then the record without which none of it exists."""
        files: dict[str, TableFile] = {}
        for name, (rows, content) in tables.items():
            path = _table_path(name, session)
            place = f"{self.root}/{path}"
            make_folder(place.rpartition("/")[0])
            write_whole(place, content, sync=False)
            files[name] = {"path": path, "rows": rows, "sha256": sha256(content)}
        record: Record = {"session": session, "bars": bars, "failed": failed, "tables": files}
        # Not synced here: after a loss of power a torn session fails its digests and is computed again.
        write_whole(self.record_path(session), sealed_json({**record}), sync=False)

    def write_run_table(self, table: str, rows: int, content: memoryview) -> TableFile:
        """Write a table of the whole run; it counts once a manifest lists what this returns."""
        path = self.run_table_path(table)
        write_whole(path, content, sync=False)
        return {"path": _run_table_path(table), "rows": rows, "sha256": sha256(content)}

    def finish(self, manifest: Manifest) -> None:
        """Write the manifest: the run is finished once it is there."""
        write_whole(self.manifest_path, sealed_json({**manifest}), sync=True)

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
            found += self._file_damage(f"{session}: {table}", self.table_path(table, session), file)
        return found

    def _file_damage(self, name: str, place: Path, file: TableFile) -> list[str]:
        try:
            path = self.inside(place)
            digest = sha256_of(path)
        except (StoreError, OSError) as error:
            return [f"{name}: {error}"]
        if digest != file["sha256"]:
            return [f"{name}: {path} is {digest[:12]}, its record says {file['sha256'][:12]}"]
        return []

    def manifest_damage(self) -> list[str]:
        """What the manifest says of the config and the records that they do not; empty when they agree."""
        try:
            manifest = self.manifest()
        except StoreError as error:
            return [str(error)]
        if manifest is None:
            return [f"{self.manifest_path} is missing: the run did not finish; resume it with `run --resume`"]
        found = []
        if not self.config_path.is_file() or sha256_of(self.config_path) != manifest["config"]:
            found.append(f"{self.config_path} is not the config the manifest lists; {REMEDY}")
        for session, digest in manifest["sessions"].items():
            path = self.record_path(session)
            if not path.is_file():
                found.append(f"{session}: record {path} is missing")
            elif sha256_of(path) != digest:
                found.append(f"{session}: record {path} is not the one the manifest lists")
        for table, file in manifest["run_tables"].items():
            found += self._file_damage(table, self.run_table_path(table), file)
        for name, proof in (("attestation", manifest.get("attestation")), ("audit", manifest.get("audit"))):
            if proof is not None and proof.get("sha256") != _digest_of_rest(proof):
                found.append(f"{self.manifest_path}: {name} is not what its sha256 says; {REMEDY}")
        return found


# What readers of a manifest count on; bool is no int here.
_MANIFEST_TYPES: dict[str, type] = {
    **dict.fromkeys(("run_id", "name", "exchange", "interval", "start", "end", "code", "config"), str),
    **dict.fromkeys(("symbols", "bars", "failed"), int),
    **dict.fromkeys(("versions", "sessions", "inputs", "tables"), dict),
}


def _refuse_misplaced(path: Path, table: str, file: Any, expected: str, *, known: bool) -> None:
    """StoreError unless `file`, read from `path`, says where its table lies, its rows and its digest."""
    stated = file.get("path") if isinstance(file, dict) else file
    if not known or stated != expected:
        raise StoreError(
            f"{path}: {table} lies at {stated!r}; expected a table of this version at {expected!r}; {REMEDY}"
        )
    if not _is_count(file.get("rows")) or not isinstance(file.get("sha256"), str):
        raise StoreError(f"{path}: {table} has no count of rows or no digest; {REMEDY}")


def _digest_of_rest(proof: dict[str, Any]) -> str:
    """The digest that a proof in the manifest has of all else it says."""
    return sha256(canonical_json({key: value for key, value in proof.items() if key != "sha256"}))


def _run_table_path(table: str) -> str:
    return f"tables/{table}/part-0.parquet"


def _table_path(table: str, session: str) -> str:
    return f"tables/{table}/session={session}/part-0.parquet"


def _is_iso_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0
