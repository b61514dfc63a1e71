"""Playing a session back: keys move the clock, and the screen shows what was known."""

import fcntl
import json
import os
import pty
import select
import subprocess
import sys
import termios
import time
from datetime import date

import pytest
from click.testing import CliRunner

from backtester.cli import cli
from backtester.cli.replay import _keys
from backtester.data.store import Store
from backtester.errors import UsageError
from backtester.run import plan as plans
from backtester.run.player import Player
from backtester.run.screen import COLUMNS, SPEEDS, local

DAY = "2024-11-21"
NIGHT = """
class Night:
    def on_bar(self, bar, data, desk):
        if data.session.date.day == 20 and bar.symbol == "SIM002" and data.get_bar_count("SIM002") == 5:
            desk.enter("SIM002", 1, units=100.0, stop_loss=1.0)
        if data.session.date.day == 21 and bar.symbol == "SIM002" and data.get_bar_count("SIM002") == 5:
            desk.exit_("SIM002")
"""


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
    whole.label, whole.symbol, whole.speed, whole.is_playing, whole.is_explaining = -1, 0, 3, False, False
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
        latest = next(line for line in lines[3:] if line.startswith("SIM002")).split()
        assert bars.rows == int(latest[6])
        assert bars.timestamp[-1] < player.now
        assert float(latest[1]) == pytest.approx(bars.close[-1], abs=1e-4)
        assert all(told.known_at <= player.now for told in player.told if told.text in lines)
        assert (len(lines), max(map(len, lines))) == (30, max(map(len, lines)))


@pytest.mark.parametrize(("width", "height"), [(200, 60), (100, 30), (80, 24), (60, 20), (40, 12), (20, 8)])
def test_any_size_of_screen_has_the_clock_the_way_out_and_whole_columns(player, width, height):
    player.press("]")
    for keys in ("", "?", "e"):
        player.press(keys)
        lines = player.lines(width, height)
        assert len(lines) == height
        assert max(map(len, lines)) <= width
        assert lines[0].startswith(f"{local(player.now, player.zone):%H:%M:%S}  paused")
        assert "q quit" in lines[-1]
        head = lines[3].split()
        assert head[0] == "symbol"
        assert head[1:] == [column.name for column in COLUMNS if column.name in head]
        assert all(len(line.split()) == len(head) for line in lines[4:5])


def test_what_the_session_took_over_is_there_before_its_first_bar(root):
    """Overnight SIM002 is held and its stop is live; both are named, though no order of the session made them."""
    (root / "night.py").write_text(NIGHT)
    config = json.loads((root / "c.json").read_text()) | {"strategy": {"use": "night:Night"}}
    (root / "night.json").write_text(json.dumps(config))
    player = Player(plans.from_file(root / "night.json", Store(root / "store")), date.fromisoformat(DAY))

    assert player.position("SIM002") == (100.0, None)
    cash, equity = player.account()
    assert cash < 100_000.0 < cash + 100.0 * 1_000.0
    assert equity == player._seen.tables["session_equity"]["start_equity"][0].as_py()
    assert "SIM002          -" in player.lines()[4]
    player.press("e")
    told = [line for line in player.happened(100) if "stop_loss" in line]
    assert [line.split()[1:5] for line in told] == [["SIM002", "sell", "stop_loss", "cancelled"]]


def test_sessions_that_have_to_be_computed_first_are_told(root):
    said = []
    Player(plans.from_file(root / "c.json", Store(root / "store")), date.fromisoformat(DAY), said.append)

    assert said == ["computing first what 2024-11-21 takes over: 1 session of the run"]


def test_every_key_of_what_was_read_is_a_key(root):
    assert _keys(b"nn f") == ["n", "n", " ", "f"]
    assert _keys(b"\x1b[C\x1bOD\x1b[5~\x1b[15~q") == ["n", "b", "[", "q"]
    assert _keys(b"\x1b[200;5") == []
    assert (_keys(b""), _keys(b"n\x03"), _keys(b"\xff\x1b")) == (["q"], ["n", "q"], ["\x1b"])


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


@pytest.fixture
def terminal(root):
    """(leader, child): the command in a terminal of 80 by 24; the child is ended afterwards."""
    leader, follower = pty.openpty()
    termios.tcsetwinsize(leader, (24, 80))
    words = ["replay", str(root / "c.json"), "--store", str(root / "store"), "--session", DAY]
    code = "import sys; from backtester.cli import main; main()"
    child = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        stdin=follower, stdout=follower, stderr=follower, start_new_session=True, preexec_fn=take_terminal,
    )  # fmt: skip
    try:
        yield leader, follower, child
    finally:
        child.kill()
        child.wait()
        os.close(leader)
        os.close(follower)


def take_terminal():
    """In the child: the terminal is its own, so that Ctrl-C and changes of size reach it."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


@pytest.mark.parametrize("leaving", [b"q", b"\x03", b"\x04"])
def test_a_terminal_is_drawn_on_and_given_back_as_it_was(terminal, leaving):
    leader, follower, child = terminal
    before = termios.tcgetattr(follower)
    seen = until(leader, b"label 0/390")
    os.write(leader, b"nnn")
    seen += until(leader, b"label 3/390")
    assert termios.tcgetattr(follower) != before
    os.write(leader, leaving)
    left = until(leader, b"\x1b[?1049l")

    assert child.wait(timeout=30) == 0
    assert b"\x1b[?1049h" in seen
    assert left.endswith(b"\x1b[?25h\x1b[?1049l")
    assert b"interrupted" not in left
    assert termios.tcgetattr(follower) == before


def test_a_terminal_of_another_size_is_drawn_at_once(terminal):
    leader, _, child = terminal
    until(leader, b"s symbol  ? keys  q quit")
    termios.tcsetwinsize(leader, (12, 40))
    until(leader, b"space n b f g +/-  ? keys  q quit")
    os.write(leader, b" ")
    until(leader, b"playing")
    until(leader, b"label 5/390")
    os.write(leader, b"q")

    assert child.wait(timeout=30) == 0


def test_a_terminal_is_left_on_sigterm_too(terminal):
    leader, _, child = terminal
    until(leader, b"label 0/390")
    child.terminate()
    until(leader, b"\x1b[?1049l")

    assert child.wait(timeout=30) == 143


def until(leader, text):
    """What a terminal shows up to a text; fails if it does not come within a minute."""
    seen, deadline = b"", time.monotonic() + 60
    while text not in seen:
        assert select.select([leader], [], [], max(deadline - time.monotonic(), 0))[0], seen[-500:]
        seen += os.read(leader, 65536)
    return seen
