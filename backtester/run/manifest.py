"""The manifest: what a finished run consists of, written last."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa

from backtester.data.durable import sha256_of, sync_directory, sync_everything, sync_file
from backtester.data.run_dir import FORMAT, Manifest, RunDir
from backtester.run.commit import parquet
from backtester.run.plan import Plan, code_digest, versions

# Up to so many files are made durable one by one, sparing a small run what others write to the same disk meanwhile.
FEW = 100


def finish(
    plan: Plan,
    run_dir: RunDir,
    *,
    run_tables: dict[str, pa.Table] | None = None,
    attestation: dict[str, Any] | None = None,
) -> Manifest:
    """Make every session durable, then write the manifest that lists them.

    run_tables   tables of the whole run (schema.RUN_TABLES), written and listed too
    attestation  what run.attest found, where it was asked
    """
    listed = {
        name: run_dir.write_run_table(name, len(rows), parquet(rows)) for name, rows in (run_tables or {}).items()
    }
    names = [session.date.isoformat() for session in plan.sessions]
    records = {name: run_dir.record(name) for name in names}
    files = [run_dir.root / file["path"] for record in records.values() for file in record["tables"].values()]
    files += [run_dir.root / file["path"] for file in listed.values()]
    _make_durable([*files, *(run_dir.record_path(name) for name in names), run_dir.config_path], run_dir.root)
    tables: dict[str, int] = {}
    for record in records.values():
        for table, file in record["tables"].items():
            tables[table] = tables.get(table, 0) + file["rows"]
    run = plan.config.run
    manifest: Manifest = {
        "format": FORMAT,
        "run_id": plan.run_id,
        "name": run.name,
        "exchange": run.exchange,
        "interval": str(plan.source),
        "start": run.start.isoformat(),
        "end": run.end.isoformat(),
        "symbols": len(plan.symbols),
        "bars": sum(record["bars"] for record in records.values()),
        "failed": sum(record["failed"] for record in records.values()),
        "versions": versions(),
        "code": code_digest(),
        "config": sha256_of(run_dir.config_path),
        "sessions": {name: sha256_of(run_dir.record_path(name)) for name in names},
        "inputs": plan.inputs,
        "tables": tables,
        "run_tables": listed,
    }
    if plan.sources:
        manifest["sources"] = plan.sources
    if attestation is not None:
        manifest["attestation"] = attestation
    run_dir.finish(manifest)
    return manifest


def _make_durable(files: list[Path], root: Path) -> None:
    if len(files) > FEW and sync_everything(root):
        return
    # Side by side: the disk answers many syncs with one write, 250 files in the time of ten.
    folders = {folder for path in files for folder in (path.parent, path.parent.parent)}
    with ThreadPoolExecutor(8, "sync") as pool:
        list(pool.map(sync_file, files))
        list(pool.map(sync_directory, sorted(folders)))
