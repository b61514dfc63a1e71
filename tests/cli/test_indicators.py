"""`data indicators`: every indicator with what a config needs to know of it."""

import json

from click.testing import CliRunner

from backtester.cli import cli
from backtester.errors import UsageError
from backtester.features.catalog import indicators, uses_of
from backtester.features.trailing_catalog import ENTRIES


def asked(*words):
    return CliRunner().invoke(cli, ["data", "indicators", *words])


def test_every_indicator_is_listed_with_its_parameters_formula_and_warm_up():
    listed = json.loads(asked("--json").output)["indicators"]
    text = asked().output

    assert [each["name"] for each in listed] == [*indicators(), *ENTRIES]
    for each in listed:
        assert f"  {each['name']}(" in text
        assert each["formula"] in text
        assert all(f"{parameter['name']} = " in text for parameter in each["parameters"])


def test_what_is_listed_is_what_a_config_may_say():
    for each in json.loads(asked("--json").output)["indicators"]:
        if each["section"] == "indicators":
            section = {"name": each["name"]} | {p["name"]: p["default"] for p in each["parameters"]}
            assert uses_of([section], run_interval="1m")[1] == []


def test_one_may_be_named_and_an_unknown_one_is_told_its_neighbour():
    assert "  macd(fast = 12, slow = 26, signal = 9) -> macd, signal, histogram" in asked("macd").output

    failed = asked("mcad")
    assert isinstance(failed.exception, UsageError)
    assert "did you mean macd?" in str(failed.exception)
