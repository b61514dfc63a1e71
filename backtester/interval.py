"""The length of a bar: `1s`, `1m`, `5m`, `60m`, `1d`."""

from __future__ import annotations

import re
from dataclasses import dataclass

from backtester.errors import ConfigError

SECOND_US = 1_000_000
UNIT_US = {"s": SECOND_US, "m": 60 * SECOND_US, "d": 86_400 * SECOND_US, "w": 7 * 86_400 * SECOND_US}
BASES = ("1s", "1m", "5m", "1d")


@dataclass(frozen=True, order=True)
class Interval:
    """A bar length; `us` is nominal for days and weeks, whose bars follow the calendar."""

    us: int
    text: str

    @classmethod
    def parse(cls, text: str) -> Interval:
        """Read `<count><s|m|d|w>`, any case; raise ConfigError on hours, zero and anything else."""
        match = re.fullmatch(r"([1-9][0-9]{0,5})([smdw])", text.strip().lower())
        if match is None:
            hours = re.fullmatch(r"([1-9][0-9]{0,3})h", text.strip().lower())
            remedy = (
                f"write {int(hours[1]) * 60}m" if hours else "expected a count and a unit, such as 1s, 5m, 60m or 1d"
            )
            raise ConfigError(f"interval is {text!r}; {remedy}")
        return cls(int(match[1]) * UNIT_US[match[2]], match[0])

    @property
    def is_intraday(self) -> bool:
        """True for seconds and minutes: bars on a grid inside the session."""
        return self.text[-1] in "sm"

    def divides(self, wider: Interval) -> bool:
        """True if bars of `wider` can be built from these, within one session."""
        if wider.text == "1d":
            return self.is_intraday
        return self.is_intraday and wider.is_intraday and wider.us > self.us and wider.us % self.us == 0

    def __str__(self) -> str:
        return self.text
