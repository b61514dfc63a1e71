"""Where what a user's own code prints goes: beside the answer, which has stdout for itself."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def talk_aside() -> Iterator[None]:
    """Send what is printed inside to stderr, by whatever thread.

    At a terminal both are the same, and a debugger of the user's keeps a stdout on which it can edit lines.
    """
    if sys.stdout.isatty():
        yield
        return
    with contextlib.redirect_stdout(sys.stderr):
        yield
