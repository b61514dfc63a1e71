"""What a user's code prints, wherever it does, is talk: stdout holds the answer and nothing else."""

import json

import pytest
from click.testing import CliRunner

from backtester.cli import cli

CODE = """
import polars as pl
from backtester.strategy.step import enter

print("at import")


class Columns:
    def __init__(self):
        print("at making")

    def indicators(self):
        print("at declaring")
        return []

    def signals(self, bars, indicators):
        print("in signals")
        return bars.select(enter=pl.col("running_bars") == 5)


class Steps:
    def step(self, row, desk):
        if row.running_bars == 5.0:
            print("in step")
            enter(row, desk, 1)


class Events:
    def on_bar(self, bar, data, desk):
        if data.get_bar_count(bar.symbol) == 5:
            print("in on_bar")
            desk.enter(bar.symbol, 1)


class Scanner:
    def select(self, now):
        print("in select")
        return now["close"].is_null()
"""
PRINTED = {
    "Columns": {"at import", "at making", "at declaring", "in signals", "in select"},
    "Steps": {"at import", "in step", "in select"},
    "Events": {"at import", "in on_bar", "in select"},
}


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("talk")
    assert CliRunner().invoke(cli, ["sample", str(root / "store")]).exit_code == 0
    (root / "talking.py").write_text(CODE)
    return root


def told(root, use, *words, printed=None):
    run = {"name": "talk", "exchange": "XNYS", "start": "2024-11-20", "end": "2024-11-21", "symbols": ["SIM001"]}
    sections = {"strategy": {"use": f"talking:{use}"}, "scanners": [{"use": "talking:Scanner"}]}
    (root / "config.json").write_text(json.dumps({"run": run, **sections}))
    command, *options = words
    done = CliRunner().invoke(cli, [command, str(root / "config.json"), "--store", str(root / "store"), *options])
    assert done.exit_code == 0, done.output
    assert set(done.stderr.splitlines()) >= (PRINTED[use] if printed is None else printed)
    return done.stdout


@pytest.mark.parametrize("mode", ["vector", "replay"])
@pytest.mark.parametrize("use", PRINTED)
def test_a_runs_answer_is_one_object_whatever_its_strategy_prints(root, use, mode):
    out = root / f"runs-{use}-{mode}"
    answer = json.loads(told(root, use, "run", "--json", "--workers", "2", "--mode", mode, "--out", str(out)))

    assert answer["sessions"] == 2
    assert answer["metrics"]["trades"] + answer["metrics"]["open_trades"] > 0


@pytest.mark.parametrize("use", PRINTED)
def test_so_is_an_audits_and_a_replays_screen_is_a_screen(root, use):
    # An audit asks the same a hundred times over: what is printed meanwhile is dropped.
    audited = told(root, use, "audit", "--json", "--sessions", "1", "--every", "100", printed={"at import"})
    assert json.loads(audited)["violations"] == 0
    screen = told(root, use, "replay", "--session", "2024-11-20", "--keys", "n").splitlines()
    assert len(screen) == 30
    assert screen[0].startswith("09:31:00  paused")
    assert screen[0].endswith("2024-11-20  talk")
