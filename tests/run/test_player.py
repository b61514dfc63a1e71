"""Playing a session back: keys move the clock, and the screen shows what was known."""

import json
import os
import pty
import select
import subprocess
import sys
import time
from datetime import date

import pytest
from click.testing import CliRunner

from backtester.cli import cli
from backtester.data.store import Store
from backtester.errors import UsageError
from backtester.run import plan as plans
from backtester.run.player import SPEEDS, Player

DAY = "2024-11-21"


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = tmp_path_factory.mktemp("played")
    assert CliRunner().invoke(cli, ["sample", str(root / "store")]).exit_code == 0
    run = {"name": "played", "exchange": "XNYS", "start": "2024-11-20", "end": DAY, "derived": ["5m"]}
    strategy = {"use": "backtester.strategy.samples:VwapReversion", "params": {"below_bps": 10.0, "minimum_bars": 5}}
    config = {"run": {**run, "symbols": ["SIM002", "SIM003", "SIM006"]}, "strategy": strategy}
    (root / "c.json").write_text(json.dumps(config))
    return root


@pytest.fixture(scope="module")
def whole(root):
    return Player(plans.from_file(root / "c.json", Store(root / "store")), date.fromisoformat(DAY))


@pytest.fixture
def player(whole):
    whole.label, whole.symbol, whole.speed, whole.is_playing = -1, 0, 3, False
    return whole


def test_keys_move_the_clock_and_never_beyond_the_session(player):
    moves = [("b", -1), ("n", 0), ("]", 10), ("[", 0), ("e", 389), ("n", 389), ("0", -1)]

    for key, label in moves:
        assert player.press(key)
        assert player.label == label
    assert not player.press("q")
    for _ in range(20):
        player.press("+")
    assert SPEEDS[player.speed] == SPEEDS[-1]
    assert player.press(" ")
    assert player.is_playing


def test_every_moment_shows_what_was_known_and_nothing_later(player):
    for _ in range(390):
        player.press("n")
        lines = player.lines()
        bars = player.data.get_bars("SIM002")
        latest = next(line for line in lines if line.lstrip().startswith("SIM002")).split()
        assert bars.rows == int(latest[6])
        assert bars.timestamp[-1] < player.now
        assert float(latest[1]) == pytest.approx(bars.close[-1], abs=1e-4)
        assert all(told.known_at <= player.now for told in player.told if told.text in lines)
        assert (len(lines), max(map(len, lines))) == (30, max(map(len, lines)))
    assert max(len(line) for line in player.lines(60, 20)) <= 60
    assert len(player.lines(60, 20)) == 20


def test_jumps_stop_at_each_fill_and_each_gap(player):
    stops = []
    while not stops or player.label != stops[-1]:
        stops.append(player.label)
        player.press("f")
    fills = sorted({told.known_at for told in player.told if told.is_fill})
    player.press("0")
    player.press("g")

    assert [player.known_at[label] for label in stops[1:]] == fills
    assert len(fills) > 3
    assert any(gap.missing_bars for symbol in player.symbols for gap in player.data.get_gaps(symbol))


def test_another_session_is_refused(root):
    with pytest.raises(UsageError, match="2024-11-19 is no session of the run"):
        Player(plans.from_file(root / "c.json", Store(root / "store")), date(2024, 11, 19))


def test_scripted_keys_print_the_last_screen(root):
    words = ["replay", str(root / "c.json"), "--store", str(root / "store"), "--session", DAY]
    printed = CliRunner().invoke(cli, [*words, "--keys", "ff", "--height", "20"])
    refused = CliRunner().invoke(cli, words)

    assert printed.exit_code == 0
    assert len(printed.stdout.splitlines()) == 20
    assert "filled" in printed.stdout
    assert isinstance(refused.exception, UsageError)
    assert "needs a terminal" in str(refused.exception)


def test_a_terminal_is_drawn_on_and_given_back_as_it_was(root):
    leader, follower = pty.openpty()
    words = ["replay", str(root / "c.json"), "--store", str(root / "store"), "--session", DAY]
    code = "import sys; from backtester.cli import main; main()"
    child = subprocess.Popen([sys.executable, "-c", code, *words], stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    try:
        seen = until(leader, b"label 0/390")
        os.write(leader, b"n")
        seen += until(leader, b"label 1/390")
        os.write(leader, b"q")
        left = until(leader, b"\x1b[?1049l")
        code = child.wait(timeout=30)
    finally:
        child.kill()
        os.close(leader)

    assert code == 0
    assert b"\x1b[?1049h" in seen
    assert left.endswith(b"\x1b[?25h\x1b[?1049l")


def until(leader, text):
    """What a terminal shows up to a text; fails if it does not come within a minute."""
    seen, deadline = b"", time.monotonic() + 60
    while text not in seen:
        assert select.select([leader], [], [], max(deadline - time.monotonic(), 0))[0], seen[-500:]
        seen += os.read(leader, 65536)
    return seen
