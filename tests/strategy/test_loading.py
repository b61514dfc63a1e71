"""Strategies by name: found, made, and refused with what would do."""

import json

import pytest

from backtester import config
from backtester.data import calendar
from backtester.errors import ConfigError, StrategyError
from backtester.strategy import loading

MODULE = """
from dataclasses import dataclass
from typing import Literal
{extra}

@dataclass(frozen=True)
class Cross:
    fast: int = 20
    slow: int = 50
    weight: float = 1.0
    kind: Literal["a", "b"] = "a"

    def __post_init__(self):
        if self.fast >= self.slow:
            raise ValueError(f"fast is {{self.fast}}; expected less than slow ({{self.slow}})")

    def signals(self, bars, indicators):
        return bars


class Plain:
    def __init__(self, period: int, name: str | None = None):
        self.period = period

    def step(self):
        pass


class Neither:
    pass
"""


def write(folder, text=None, name="mine.py"):
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text or MODULE.format(extra=""))
    return folder


def words(use, params, folder):
    return [f"{'.'.join(p.where)}: {p.message}" for p in loading.problems_of(use, params, folder=folder)]


def test_a_class_of_the_configs_folder_is_made_with_its_parameters(tmp_path):
    loaded = loading.load("mine:Cross", {"fast": 3, "weight": 1}, folder=write(tmp_path))

    assert (loaded.strategy.fast, loaded.strategy.slow, loaded.strategy.weight, loaded.kind) == (3, 50, 1, "columns")
    assert loading.load("mine:Plain", {"period": 5}, folder=tmp_path).kind == "step"


@pytest.mark.parametrize(
    ("use", "params", "expected"),
    [
        ("mime:Cross", {}, ["use: no module mime in"]),
        ("mine:Cros", {}, ["did you mean Cross?"]),
        ("mine:Neither", {}, ["Neither has none; a strategy has exactly one of signals, step, on_bar"]),
        ("mine:Cross", {"fats": 1, "slwo": 2}, ["params.fats: no such parameter of Cross; did you mean fast?",
                                                "params.slwo: no such parameter of Cross; did you mean slow?"]),
        ("mine:Cross", {"fast": 2.5}, ["params.fast: expected a whole number"]),
        ("mine:Cross", {"fast": True}, ["params.fast: expected a whole number"]),
        ("mine:Cross", {"weight": "x"}, ["params.weight: expected a number"]),
        ("mine:Cross", {"fast": 60}, ["params: fast is 60; expected less than slow (50)"]),
        ("mine:Plain", {}, ["params.period: missing; add it"]),
        ("mine:Plain", {"period": 1, "name": 5}, ["params.name: expected text"]),
        ("json:Cross", {}, ["has no class Cross"]),
    ],
)  # fmt: skip
def test_what_cannot_be_made_says_what_would_do(tmp_path, use, params, expected):
    found = words(use, params, write(tmp_path))

    assert len(found) == len(expected)
    for line, part in zip(found, expected, strict=True):
        assert part in line
    with pytest.raises(StrategyError):
        loading.load(use, params, folder=tmp_path)


@pytest.mark.parametrize(
    ("extra", "part"),
    [
        ("import not_there", "No module named 'not_there'; install it"),
        ("1 / 0", "ZeroDivisionError: division by zero (mine.py:4: 1 / 0)"),
        ("def f(:", "SyntaxError: invalid syntax (mine.py:4: def f(:)"),
    ],
)
def test_a_module_that_fails_is_told_with_its_line(tmp_path, extra, part):
    [line] = words("mine:Cross", {}, write(tmp_path, MODULE.format(extra=extra)))

    assert part in line


def test_a_misspelt_callback_is_not_left_untold(tmp_path):
    text = "class Told:\n    def on_bar(self, bar, data, desk): ...\n    def on_fil(self, fill, data, desk): ...\n"

    [line] = words("told:Told", {}, write(tmp_path, text, "told.py"))

    assert "has on_fil, which is no callback; did you mean on_fill?" in line


def test_folders_with_modules_of_the_same_name_do_not_meet(tmp_path):
    one = write(tmp_path / "one")
    two = write(tmp_path / "two", MODULE.format(extra="").replace("fast: int = 20", "fast: int = 21"))

    assert loading.load("mine:Cross", {}, folder=one).strategy.fast == 20
    assert loading.load("mine:Cross", {}, folder=two).strategy.fast == 21
    assert loading.load("mine:Cross", {}, folder=one).strategy.fast == 20


def test_the_digest_changes_with_any_module_of_the_folder_that_is_used(tmp_path):
    folder = write(tmp_path, MODULE.format(extra="import besides"))
    digests = []
    for text in ("x = 1\n", "x = 2\n", "x = 1\n"):
        write(tmp_path, text, "besides.py")
        write(tmp_path, text + f"y = {len(digests)}\n", "unused.py")
        digests.append(loading.load("mine:Cross", {}, folder=folder).digest)

    assert digests[0] == digests[2] != digests[1]


def test_a_configs_errors_include_those_of_its_strategy(tmp_path):
    run = {"name": "x", "exchange": "XNYS", "start": "2025-07-02", "end": "2025-07-03", "symbols": ["A"]}
    content = {"run": {**run, "interval": "1h"}, "strategy": {"use": "mine:Cross", "params": {"fats": 3}}}
    path = write(tmp_path) / "config.json"
    path.write_text(json.dumps(content))

    with pytest.raises(ConfigError) as caught:
        config.load(path, exchanges=calendar.exchanges(), strategy_problems=lambda use, params: loading.problems_of(
            use, params, folder=tmp_path))  # fmt: skip

    assert "write 60m" in str(caught.value)
    assert "strategy.params.fats is 3; no such parameter of Cross; did you mean fast?" in str(caught.value)
