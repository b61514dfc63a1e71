"""`backtester calendar`: what it prints, to which stream, and what it refuses."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from backtester.cli.calendar import command
from backtester.data import calendar
from backtester.errors import UsageError


def test_the_command_shows_local_hours_and_the_early_close() -> None:
    result = CliRunner().invoke(command, ["XNYS", "--start", "2025-06-30", "--end", "2025-07-07"])

    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    lines = result.stdout.splitlines()
    assert lines[0] == "XNYS, America/New_York time, 2025-06-30 to 2025-07-07: 5 sessions"
    assert [line.split() for line in lines[2:]][3:] == [
        ["2025-07-03", "Thu", "09:30", "13:00", "-", "yes"],
        ["2025-07-07", "Mon", "09:30", "16:00", "-", "-"],
    ]


def test_the_command_marks_an_open_on_another_date() -> None:
    result = CliRunner().invoke(command, ["CMES", "--start", "2025-07-11", "--end", "2025-07-11"])

    assert result.stdout.splitlines()[-1].split() == ["2025-07-11", "Fri", "17:00", "-1d", "17:00", "-", "-"]


def test_the_command_as_json_gives_local_and_utc_times() -> None:
    result = CliRunner().invoke(command, ["XTKS", "--start", "2024-11-05", "--end", "2024-11-05", "--json"])

    assert json.loads(result.stdout) == {
        "exchange": "XTKS",
        "zone": "Asia/Tokyo",
        "start": "2024-11-05",
        "end": "2024-11-05",
        "sessions": [
            {
                "session": "2024-11-05",
                "open_local": "2024-11-05T09:00:00+09:00",
                "open_at": "2024-11-05T00:00:00+00:00",
                "close_local": "2024-11-05T15:30:00+09:00",
                "close_at": "2024-11-05T06:30:00+00:00",
                "break_start_local": "2024-11-05T11:30:00+09:00",
                "break_start_at": "2024-11-05T02:30:00+00:00",
                "break_end_local": "2024-11-05T12:30:00+09:00",
                "break_end_at": "2024-11-05T03:30:00+00:00",
                "is_early_close": False,
            }
        ],
    }


def test_the_command_says_on_stderr_which_range_it_chose() -> None:
    result = CliRunner().invoke(command, ["XNYS", "--end", "2024-01-05"])

    assert "showing 2024-01-01 to 2024-01-05" in result.stderr
    assert "4 sessions" in result.stdout


@pytest.mark.parametrize("arguments", [[], ["--list"]])
def test_the_command_lists_the_exchanges(arguments: list[str]) -> None:
    result = CliRunner().invoke(command, arguments)

    assert [line.split()[0] for line in result.stdout.splitlines()[1:]] == list(calendar.exchanges())
    as_json = json.loads(CliRunner().invoke(command, [*arguments, "--json"]).stdout)
    assert [row["exchange"] for row in as_json["exchanges"]] == list(calendar.exchanges())


@pytest.mark.parametrize("arguments", [["--list", "XNYS"], ["--start", "2025-01-01"]])
def test_the_command_refuses_a_range_for_the_list(arguments: list[str]) -> None:
    assert isinstance(CliRunner().invoke(command, arguments).exception, UsageError)
