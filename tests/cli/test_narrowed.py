"""`--symbols` narrows a config whose other sections name symbols it leaves out; what no store holds stays an error."""

import json
import tomllib
from pathlib import Path

import pytest
from click.testing import CliRunner

from backtester.cli import cli


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("narrowed")
    assert CliRunner().invoke(cli, ["sample", str(root / "store")]).exit_code == 0
    return root


def run(root, *options, restricted=("SIM002", "SIM003"), benchmark="SIM003"):
    chosen = {"name": "narrow", "exchange": "XNYS", "start": "2024-11-20", "end": "2024-11-20"}
    chosen["symbols"] = ["SIM001", "SIM002", "SIM003"]
    config = {"run": chosen, "strategy": {"use": "backtester.strategy.samples:VwapReversion"}}
    config |= {"limits": {"restricted": list(restricted)}, "metrics": {"benchmark": benchmark}}
    (root / "c.json").write_text(json.dumps(config))
    words = ["run", root / "c.json", "--store", root / "store", "--out", root / "runs", "--json", *options]
    return CliRunner().invoke(cli, [str(word) for word in words])


def test_restrictions_and_a_benchmark_that_are_left_out_are_told_and_gone(root):
    done = run(root, "--symbols", "SIM001,SIM002")

    assert done.exit_code == 0, done.output
    assert "limits.restricted: SIM003 left out, no symbol of this run" in done.stderr
    assert "metrics.benchmark: SIM003 is no symbol of this run; alpha and beta will be null" in done.stderr
    config = tomllib.loads((Path(json.loads(done.stdout)["run_dir"]) / "config.toml").read_text())
    assert config["limits"]["restricted"] == ["SIM002"]
    assert "benchmark" not in config["metrics"]


def test_what_is_not_left_out_is_not_touched(root):
    done = run(root, "--symbols", "SIM001,SIM002,SIM003")

    assert done.exit_code == 0, done.output
    assert "left out" not in done.stderr
    assert json.loads(done.stdout)["run_id"] == json.loads(run(root).stdout)["run_id"]


@pytest.mark.parametrize(
    ("named", "words"),
    [({"restricted": ["NOSUCH"]}, "limits.restricted: NOSUCH"), ({"benchmark": "NOSUCH"}, "metrics.benchmark: NOSUCH")],
)
def test_a_symbol_of_no_store_is_refused_narrowed_or_not(root, named, words):
    for options in ((), ("--symbols", "SIM003")):
        done = run(root, *options, **{"restricted": ["SIM003"], **named})
        assert words in str(done.exception)
