"""Which option puts contradicted labels right: a shift, another zone, the other end of the bar, another interval."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import numpy as np

from backtester.arrays import Int64
from backtester.data.calendar import Calendar
from backtester.data.placing import SHIFT_UNITS_US, Placing, format_shift
from backtester.data.witnesses import DAY_US, Sessions


def exact_move(move_us: int, timestamps: Int64, sessions: Sessions) -> int:
    """The move that is right by the clock, made right by the day too: the same, or a day less or more.

    Eleven hours on and thirteen back look alike on a clock, but one of them puts Friday's bars on Saturday.
    """
    opens, closes = sessions.columns.opens, sessions.columns.closes

    def regular(move: int) -> int:
        session = np.searchsorted(opens, timestamps + move, side="right") - 1
        return int(((session >= 0) & (timestamps + move < closes[session])).sum())

    return max((move_us, move_us - DAY_US, move_us + DAY_US), key=lambda move: (regular(move), -abs(move)))


def hours_remedy(
    moves: dict[int, int],
    fitting: set[int],
    sessions: Sessions,
    placing: Placing,
    calendar: Calendar,
    *,
    is_wall_clock: bool,
) -> str:
    """The option that moves labels as found.

    moves    zone offset of the exchange (us) -> move that the labels of its sessions need (us)
    fitting  zone offsets at which the labels are right as they are
    """
    if is_wall_clock and placing.zone is not None:
        needed = moves | dict.fromkeys(fitting - set(moves), 0)
        for zone in (calendar.zone, "UTC"):
            if all(_zone_move(placing.zone, zone, offset, sessions) == move for offset, move in needed.items()):
                return f"--timezone {zone}"
    shifts = {offset: format_shift(placing.shift_us + move) for offset, move in sorted(moves.items())}
    if len(set(shifts.values())) == 1 and not fitting - set(moves):
        return f"--shift {next(iter(shifts.values()))}"
    parts = [f"--shift {shift} where {calendar.zone} is at UTC{_hours(offset)}" for offset, shift in shifts.items()]
    return f"the two sides of the clock change apart, {', '.join(parts)}"


def opening_remedy(position: int, placing: Placing) -> str:
    """The option for labels one bar early (-1) or late (1)."""
    if placing.label == ("start" if position > 0 else "end"):
        return f"--label {'end' if position > 0 else 'start'}"
    return f"--shift {format_shift(placing.shift_us - position * placing.interval.us)}"


def interval_remedy(step: int, placing: Placing) -> str:
    """The option for bars that are `step` times as long as declared."""
    us = step * placing.interval.us
    unit = "m" if us % SHIFT_UNITS_US["m"] == 0 else "s"
    return f"--interval {us // SHIFT_UNITS_US[unit]}{unit}"


def _zone_move(declared: str, other: str, offset_us: int, sessions: Sessions) -> int:
    """How labels would move, in sessions at this zone offset, if their clock were another zone's."""
    at = sessions.columns.opens[np.flatnonzero(sessions.offsets == offset_us)[0]]
    instant = dt.datetime.fromtimestamp(int(at) / 1e6, dt.UTC)
    offsets = [instant.astimezone(ZoneInfo(zone)).utcoffset() for zone in (declared, other)]
    now, then = (offset or dt.timedelta() for offset in offsets)
    return (now - then) // dt.timedelta(microseconds=1)


def _hours(offset_us: int) -> str:
    return f"{offset_us / SHIFT_UNITS_US['h']:+g}"
