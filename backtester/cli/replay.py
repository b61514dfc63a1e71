"""`backtester replay`: step through a session in the terminal."""

from __future__ import annotations

import os
import select
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backtester.errors import UsageError

if TYPE_CHECKING:
    from backtester.run.player import Player

ENTER, LEAVE, HOME, REST = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l", "\x1b[H", "\x1b[K"
ARROWS = {"\x1b[C": "n", "\x1b[D": "b", "\x1b[A": "S", "\x1b[B": "s"}


@click.command()
@click.argument("config_path", metavar="CONFIG", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--session", required=True, metavar="DATE", help="The session to step through.")
@click.option("--store", type=click.Path(path_type=Path), default=Path("store"), show_default=True, help="Source bars.")
@click.option("--keys", help="Press these keys without a terminal, and print the last screen.")
@click.option("--width", type=click.IntRange(40), default=100, show_default=True, help="Of the screen with --keys.")
@click.option("--height", type=click.IntRange(12), default=30, show_default=True, help="Of the screen with --keys.")
def command(config_path: Path, session: str, store: Path, keys: str | None, width: int, height: int) -> None:
    """Play back one session of CONFIG: bars, running values, orders and fills as they become known.

    \b
    backtester replay my.toml --session 2024-11-20
    """
    from backtester.cli.talk import talk_aside
    from backtester.data.store import Store
    from backtester.run import plan as plans
    from backtester.run.player import Player

    try:
        day = date.fromisoformat(session)
    except ValueError as error:
        raise UsageError(f"--session is {session!r}; {error}") from None
    with talk_aside():
        player = Player(plans.from_file(config_path, Store(store)), day)
    if keys is not None:
        for key in keys:
            if not player.press(key):
                break
        click.echo("\n".join(player.lines(width, height)))
    elif not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("replay needs a terminal; without one, give --keys, such as --keys fff")
    else:
        _play(player)


def _play(player: Player) -> None:
    """Draw, wait for a key or for the next label's time, and again."""
    from backtester.run.player import SPEEDS

    with _raw_terminal():
        going = True
        while going:
            size = shutil.get_terminal_size((100, 30))
            screen = (REST + "\r\n").join(player.lines(size.columns, size.lines))
            sys.stdout.write(HOME + screen + REST)
            sys.stdout.flush()
            wait = 1.0 / SPEEDS[player.speed] if player.is_playing and not player.is_over else None
            due = None if wait is None else time.monotonic() + wait
            key = _key(wait)
            while key is not None and going:
                going, key = player.press(key), _key(0.0)
            if due is not None and time.monotonic() >= due:
                player.step(1)


def _key(wait: float | None) -> str | None:
    """A key, None if none comes within `wait` seconds (None: for ever)."""
    if not select.select([sys.stdin], [], [], wait)[0]:
        return None
    # Read past Python's buffer: what it held back, select would not see.
    text = os.read(sys.stdin.fileno(), 8).decode(errors="ignore")
    if text in ("", "\x03", "\x04"):
        return "q"
    return ARROWS.get(text, text[0])


@contextmanager
def _raw_terminal() -> Iterator[None]:
    """Keys without echo or Enter, on a screen of its own; the terminal is as before afterwards, whatever happens."""
    import termios
    import tty

    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        sys.stdout.write(ENTER)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)
        sys.stdout.write(LEAVE)
        sys.stdout.flush()
