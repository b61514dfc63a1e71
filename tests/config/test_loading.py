"""The config: strict, and every error at once."""

import json

import pytest

from backtester import config
from backtester.data import calendar
from backtester.errors import ConfigError

GOOD = {"run": {"name": "x", "exchange": "XNYS", "start": "2025-07-02", "end": "2025-07-03", "symbols": ["A"]}}
TOML = '[run]\nname = "x"\nexchange = "XNYS"\nstart = 2025-07-02\nend = 2025-07-03\nsymbols = ["A"]\n'


def load(path, content):
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return config.load(path, exchanges=calendar.exchanges())


def test_toml_and_json_mean_the_same(tmp_path):
    plain = load(tmp_path / "a.json", GOOD)

    assert load(tmp_path / "b.toml", TOML.encode()) == plain
    assert load(tmp_path / "c.toml", b"\xef\xbb\xbf" + TOML.replace("\n", "\r\n").encode()) == plain
    assert load(tmp_path / "d.toml", config.resolved_toml(plain).encode()) == plain


def test_every_error_is_told_at_once(tmp_path):
    bad = {
        "run": {
            "nam": "x", "exchange": "NYSE", "start": "2025-13-01", "end": "2025-07-03", "symbols": ["A", "A"],
            "interval": "1h", "derived": ["7x"], "hours": "regulr",
        },
        "histroy": {},
    }  # fmt: skip
    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "a.json", bad)

    text = str(caught.value)
    for words in (
        "run.name: missing", "run.nam: unknown key (found 'x'); did you mean name?", "run.exchange is 'NYSE'",
        "run.start is '2025-13-01'", "A named twice", "write 60m", "7x", "did you mean 'regular'?",
        "did you mean history?",
    ):  # fmt: skip
        assert words in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"derived": ["90s"]}, "cannot be built from 1m"),
        ({"end": "2025-07-01"}, "run.start"),
        ({"symbols": []}, "at least one symbol"),
        ({"interval": "3m"}, "expected a source interval"),
        ({"name": 5}, "string"),
        ({"name": " "}, "not blank"),
    ],
)
def test_one_error_names_its_key_and_remedy(tmp_path, change, words):
    with pytest.raises(ConfigError, match=words):
        load(tmp_path / "a.json", {"run": {**GOOD["run"], **change}})


def test_a_key_given_twice_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="given twice"):
        load(tmp_path / "a.json", b'{"run": {}, "run": {}}')


def test_every_shipped_config_loads():
    from pathlib import Path

    for path in sorted(Path(__file__).parents[2].glob("configs/*.toml")):
        config.load(path, exchanges=calendar.exchanges())


@pytest.mark.parametrize(
    ("sections", "words"),
    [
        ({"strategy": {"use": "no_colon"}}, "strategy.use is 'no_colon'; expected module:Class"),
        ({"strategy": {"use": "a:B", "param": {}}}, "strategy.param: .* did you mean params"),
        ({"quality": {"minimum_pct": 95.0}}, r"  \[quality\] is about the orders of a strategy"),
        ({"strategy": {"use": "a:B"}, "quality": {"minimum_pct": 101.0}}, "quality.minimum_pct is 101.0"),
    ],
)
def test_sections_of_a_strategy_are_checked(tmp_path, sections, words):
    with pytest.raises(ConfigError, match=words):
        load(tmp_path / "a.json", {**GOOD, **sections})


def test_two_wrong_limits_are_told_at_once(tmp_path):
    limits = {"max_daily_loss": -1.0, "flat_by": "close-5x"}

    with pytest.raises(ConfigError) as caught:
        load(tmp_path / "a.json", {**GOOD, "strategy": {"use": "a:B"}, "limits": limits})

    assert "limits.max_daily_loss is -1.0; expected greater than 0" in str(caught.value)
    assert "limits.flat_by is 'close-5x'; expected \"close\", or a time before it" in str(caught.value)
