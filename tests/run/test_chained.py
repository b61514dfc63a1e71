"""Runs whose sessions take over from one another: the same bytes however they are worked, killed or holed."""

import hashlib
import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from backtester import schema
from backtester.data.run_dir import RunDir
from backtester.run.commit import carried
from tests.chained import FADED, faded

ROOT = Path(__file__).resolve().parents[2]
CHAINED = [sys.executable, "-c", "from tests.chained import run; run()"]


def command(*words, code=0):
    done = subprocess.run(
        [*CHAINED, *map(str, words)], capture_output=True, text=True, check=False, cwd=ROOT, env=os.environ
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    where = tmp_path_factory.mktemp("chained") / "store"
    command("sample", where, "--start", "2024-11-04", "--end", "2024-12-03", "--symbols", "6")
    return where


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    path = tmp_path_factory.mktemp("config") / "c.json"
    settings = {"name": "chained", "exchange": "XNYS", "start": "2024-11-04", "end": "2024-12-03", "symbols": "*"}
    path.write_text(json.dumps({"run": {**settings, "derived": ["5m"]}, "history": {"trailing_sessions": 2}}))
    return path


def run(config, store, out, *options):
    done = command("run", config, "--store", store, "--out", out, "--json", *options)
    return Path(json.loads(done.stdout)["run_dir"])


@pytest.fixture(scope="module")
def whole(config, store, tmp_path_factory):
    return run(config, store, tmp_path_factory.mktemp("whole"))


def tree(root):
    files = sorted(p for kind in ("tables", "sessions") for p in (root / kind).rglob("*") if p.is_file())
    files += [root / "MANIFEST.json", root / "config.toml"]
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_chained_run_takes_over_from_session_to_session(whole):
    carry, run_dir = {}, RunDir(whole)
    for number, session in enumerate(run_dir.sessions(), 1):
        summary = pq.ParquetFile(run_dir.table_path("session_summary", session)).read()
        expected = faded(summary, carry)
        found = pq.ParquetFile(run_dir.table_path("faded", session)).read()
        carry = {"faded": expected}

        assert found.to_pylist() == expected.to_pylist()
        assert set(found.column("sessions").to_pylist()) == {number}


@pytest.mark.parametrize("workers", [2, 4])
def test_any_number_of_workers_gives_the_same_bytes(config, store, whole, tmp_path, workers):
    assert tree(run(config, store, tmp_path, "--workers", workers)) == tree(whole)


@pytest.mark.parametrize("kills", [4, pytest.param(30, marks=pytest.mark.soak)])
def test_a_killed_chained_run_resumes_to_the_same_bytes(config, store, whole, tmp_path, kills):
    dice = random.Random(11)
    for trial in range(kills):
        out = tmp_path / str(trial)
        words = [*CHAINED, "run", str(config), "--store", str(store), "--out", str(out), "--workers", "2"]
        child = subprocess.Popen(words, cwd=ROOT, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(dice.uniform(0.3, 1.5))
        child.kill()
        child.wait()

        assert tree(run(config, store, out, "--resume")) == tree(whole)


@pytest.mark.parametrize("hole", [0, 7, 20])
def test_a_hole_is_filled_and_what_follows_it_computed_again(config, store, whole, tmp_path, hole):
    run_dir = RunDir(run(config, store, tmp_path))
    sessions = run_dir.sessions()
    before = {session: run_dir.record_path(session).stat().st_ino for session in sessions}
    kept = [run_dir.record_path(session).open("rb") for session in sessions]  # so that no inode is used again
    run_dir.manifest_path.unlink()
    damaged = run_dir.table_path("faded", sessions[hole])
    damaged.write_bytes(damaged.read_bytes()[:-1])
    resumed = run(config, store, tmp_path, "--resume")
    again = [session for session in sessions if run_dir.record_path(session).stat().st_ino != before[session]]
    for file in kept:
        file.close()

    assert tree(resumed) == tree(whole)
    assert again == sessions[hole:]


def test_what_is_handed_over_is_the_same_from_memory_and_from_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(schema, "CARRIED", ("faded",))
    summary = pa.table({"symbol": ["B", "A", "C"], "volume": [3.0, 0.1, float("nan")]})
    table = faded(summary, {})
    pq.write_table(pa.concat_tables([table, table.slice(1)]), tmp_path / "t.parquet")
    read = pq.ParquetFile(tmp_path / "t.parquet").read()
    memory, file = (carried({"faded": each})["faded"] for each in (pa.concat_tables([table, table.slice(1)]), read))

    assert memory.schema == file.schema
    assert memory.schema.field("symbol").type == pa.string()
    assert str(memory.to_pylist()) == str(file.to_pylist())
    assert memory.column("symbol").num_chunks == file.column("symbol").num_chunks == 1
    assert carried({"faded": FADED.empty_table(), "other": table}) == {}
