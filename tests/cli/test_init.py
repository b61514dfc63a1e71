"""A project as `init` writes it runs as it is."""

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BACKTESTER = [sys.executable, "-c", "from backtester.cli import main; main()"]


def command(*words, where, code=0):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [*BACKTESTER, *map(str, words)], capture_output=True, text=True, check=False, cwd=where, env=env
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


def test_a_new_project_runs_trades_and_holds_nothing_overnight(tmp_path):
    said = command("init", "mine", "--symbols", "3", where=tmp_path).stdout
    assert "cd mine && backtester run config.toml" in said

    result = json.loads(command("run", "config.toml", "--json", where=tmp_path / "mine").stdout)
    asked = "select (select count(*) from fills) as fills, (select count(*) from positions) as overnight"
    rows = json.loads(command("sql", result["run_dir"], asked, "--json", where=tmp_path / "mine").stdout)

    assert rows[0]["fills"] > 20
    assert rows[0]["overnight"] == 0
    assert "0 of" in command("verify", result["run_dir"], where=tmp_path / "mine").stdout


def test_files_that_are_there_are_not_written_over(tmp_path):
    (tmp_path / "config.toml").write_text("mine")

    done = command("init", tmp_path, where=tmp_path, code=2)

    assert "config.toml already; name another folder" in done.stderr
    assert (tmp_path / "config.toml").read_text() == "mine"
