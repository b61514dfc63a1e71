"""`backtester replay`: step through a session in the terminal."""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backtester.errors import UsageError

if TYPE_CHECKING:
    from backtester.run.player import Player

ENTER, LEAVE, HOME, REST, BELOW = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l", "\x1b[H", "\x1b[K", "\x1b[J"
# What terminals send for keys without a letter; in the mode of applications an O stands for the [.
KEYS = {"C": "n", "D": "b", "A": "S", "B": "s", "H": "0", "F": "e", "1~": "0", "4~": "e", "5~": "[", "6~": "]"}
QUITS = "\x03\x04"
# How often the terminal's size is looked at: a signal tells of a new one before it is there.
LOOK = 0.2


@click.command()
@click.argument("config_path", metavar="CONFIG", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--session", required=True, metavar="DATE", help="The session to step through.")
@click.option("--store", type=click.Path(path_type=Path), default=Path("store"), show_default=True, help="Source bars.")
@click.option("--keys", help="Press these keys without a terminal, and print the last screen.")
@click.option("--width", type=click.IntRange(20), default=100, show_default=True, help="Of the screen with --keys.")
@click.option("--height", type=click.IntRange(8), default=30, show_default=True, help="Of the screen with --keys.")
def command(config_path: Path, session: str, store: Path, keys: str | None, width: int, height: int) -> None:
    """Play back one session of CONFIG: bars, running values, orders and fills as they become known.

    \b
    backtester replay my.toml --session 2024-11-20
    """
    try:
        day = date.fromisoformat(session)
    except ValueError as error:
        raise UsageError(f"--session is {session!r}; {error}") from None
    if keys is None and not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("replay needs a terminal; without one, give --keys, such as --keys fff")

    from backtester.cli.talk import talk_aside
    from backtester.data.store import Store
    from backtester.run import plan as plans
    from backtester.run.player import Player

    with talk_aside():
        plan = plans.from_file(config_path, Store(store))
        player = Player(plan, day, lambda text: click.echo(text, err=True))
    if keys is None:
        _play(player)
        return
    for key in keys:
        if not player.press(key):
            break
    click.echo("\n".join(player.lines(width, height)))


class _Screen:
    """What the terminal shows; it is written to only where something has changed."""

    def __init__(self) -> None:
        self.shown = ""

    def draw(self, player: Player) -> None:
        # Of the terminal itself: COLUMNS and LINES are what it had when somebody exported them.
        size = os.get_terminal_size(sys.stdout.fileno())
        screen = (REST + "\r\n").join(player.lines(size.columns, size.lines))
        if screen != self.shown:
            sys.stdout.write(HOME + screen + REST + BELOW)
            sys.stdout.flush()
            self.shown = screen


def _play(player: Player) -> None:
    """Draw, wait for a key or the next label's time, and again; Ctrl-C leaves as q does."""
    from backtester.run.screen import SPEEDS

    screen = _Screen()
    with _terminal(screen):
        going, due = True, None
        while going:
            screen.draw(player)
            now, period = time.monotonic(), 1.0 / SPEEDS[player.speed]
            if not player.is_playing:
                due = None
            elif due is None:
                due = now + period
            for key in _pressed(LOOK if due is None else min(max(due - now, 0.0), LOOK)):
                going = going and player.press(key)
            if due is not None and time.monotonic() >= due:
                # By the clock: drawing takes nothing away from the speed. What was missed is not made up for.
                due = max(due + period, time.monotonic())
                player.step(1 if player.is_playing else 0)


def _pressed(wait: float) -> list[str]:
    """The keys that were pressed, none if none comes within `wait` seconds."""
    stdin = sys.stdin.fileno()
    # Read past Python's buffer: what it held back, select would not see.
    return _keys(os.read(stdin, 256)) if select.select([stdin], [], [], wait)[0] else []


def _keys(read: bytes) -> list[str]:
    """Keys as the player names them; the end of the input, Ctrl-C and Ctrl-D leave."""
    text = read.decode(errors="ignore")
    found = [] if read else ["q"]
    while text:
        sequence = text[1:2] in ("[", "O") and text[0] == "\x1b"
        if sequence:
            end = next((k for k, letter in enumerate(text[2:], 2) if letter.isalpha() or letter == "~"), len(text) - 1)
            found += [KEYS[text[2 : end + 1]]] if text[2 : end + 1] in KEYS else []
            text = text[end + 1 :]
        else:
            found.append("q" if text[0] in QUITS else text[0])
            text = text[1:]
    return found


@contextmanager
def _terminal(screen: _Screen) -> Iterator[None]:
    """Keys without echo or Enter, on a screen of its own; the terminal is as before afterwards, whatever happens."""
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)

    def enter() -> None:
        tty.setcbreak(sys.stdin)
        sys.stdout.write(ENTER)
        sys.stdout.flush()
        screen.shown = ""

    def leave() -> None:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        sys.stdout.write(LEAVE)
        sys.stdout.flush()

    def end(number: int, _: Any) -> None:
        raise SystemExit(128 + number)

    def stop(*_: Any) -> None:
        leave()
        os.kill(os.getpid(), signal.SIGSTOP)
        enter()

    handlers = {signal.SIGTSTP: stop, signal.SIGTERM: end, signal.SIGHUP: end}
    held = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    try:
        enter()
        yield
    except KeyboardInterrupt:
        pass  # as q does: nothing is left half done
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
        leave()
