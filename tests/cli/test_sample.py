"""`backtester sample`: what it prints, and that every word of it says `simulated`."""

from __future__ import annotations

import json
from pathlib import Path

from click.testing import CliRunner

from backtester.cli.sample import command

RANGE = ["--start", "2024-11-27", "--end", "2024-11-29"]


def test_the_table_says_what_each_symbol_shows(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(tmp_path / "store"), *RANGE, "--symbols", "10"])

    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0].startswith(
        "simulated, not market data: 10 symbols x 2 sessions of XNYS, 2024-11-27 to 2024-11-29, "
    )
    assert lines[1] == "half days: 2024-11-29; seed 7"
    assert [line.split()[0] for line in lines[3:-1]] == [f"SIM00{number}" for number in range(1, 9)]
    assert lines[-1] == "and 2 more, of the same kinds in turn, to SIM010"


def test_json_counts_every_symbol(tmp_path: Path) -> None:
    result = CliRunner().invoke(command, [str(tmp_path / "store"), *RANGE, "--symbols", "9", "--json"])

    found = json.loads(result.stdout)
    assert found["kind"] == "simulated"
    assert found["sessions"] == ["2024-11-27", "2024-11-29"]
    assert [row["symbol"] for row in found["symbols"]] == [f"SIM00{number}" for number in range(1, 10)]
    assert found["bars"] == found["new_bars"] == sum(row["bars"] for row in found["symbols"])
