"""One error tree: every leaf owns the exit code its command ends with."""

from __future__ import annotations


class BacktestError(Exception):
    """What went wrong, where, what was found and what would do; never raised itself."""

    exit_code = 1


class UsageError(BacktestError):
    """The command line asked for something that cannot be."""

    exit_code = 2


class ConfigError(BacktestError):
    """A setting is unknown, malformed or contradicts another; the message lists all of them."""

    exit_code = 3


class CalendarError(ConfigError):
    """An exchange or a date the packaged calendar does not know."""


class StrategyError(ConfigError):
    """A strategy's own code failed, or gave something that cannot be understood."""


class InputError(BacktestError):
    """Vendor data refused: a label, a zone, a scale, a bad bar."""

    exit_code = 4


class StoreError(InputError):
    """The store holds something other than its catalog says, or lacks what was asked of it."""


class OutputError(BacktestError):
    """The disk is full, read-only, or refuses a file."""

    exit_code = 5


class OwnedError(BacktestError):
    """Another live process owns the output."""

    exit_code = 6


class PartialError(BacktestError):
    """Some sessions or symbols failed; the rest is committed and the run can be resumed."""

    exit_code = 7


class VerificationError(BacktestError):
    """A digest or an invariant does not hold."""

    exit_code = 8
