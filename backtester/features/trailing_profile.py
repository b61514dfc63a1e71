"""Profiles: what a session knows before it opens of each slot of its day, such as each minute's usual volume.

A slot is counted in trading time from the open, a break taken out: minute 0 of a session that opens late is its own
first minute, and after an early close a session has no slots to give.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from backtester.arrays import Float64, Int32, Int64
from backtester.data.calendar import Session
from backtester.features.trailing_bars import Slots, slot_minutes, slot_starts
from backtester.features.trailing_catalog import Use


class Profile(NamedTuple):
    """A profile for one session, [slots, symbols]: the slots are those of the session that looks back."""

    use: Use
    starts: Int64  # [slots]; the label of each slot's first bar, UTC microseconds
    minutes: Int32  # [slots]; trading minutes since the open
    values: Float64  # NaN where no session had one
    used: Int32  # sessions the value is the mean of

    @property
    def key(self) -> str:
        """The use's key."""
        return self.use.key


class Slide:
    """A window's sums by slot; moved on by adding what enters and taking out what leaves, while that is exact.

    The sum is that of the window's sessions, oldest first. Of whole volumes every order gives the same bits; a window
    with any fractional volume is added up anew.
    """

    def __init__(self, use: Use, symbols: int) -> None:
        self._use = use
        self._total = np.zeros((0, symbols))
        self._count = np.zeros((0, symbols), dtype=np.int32)
        self._slots: dict[int, Slots] = {}

    def move(self, session: Session, window: Mapping[int, tuple[Session, Slots]]) -> Profile:
        """The profile `session` sees; window is (session, its slots) by rank, oldest first."""
        kept = {rank: slots for rank, (past, slots) in window.items() if not self._is_skipped(past)}
        if all(slots.is_whole for slots in (*kept.values(), *self._slots.values())):
            for rank in self._slots.keys() - kept.keys():
                self._add(self._slots[rank], -1)
            entering = [slots for rank, slots in kept.items() if rank not in self._slots]
        else:
            self._total[:], self._count[:] = 0.0, 0
            entering = list(kept.values())
        for slots in entering:
            self._add(slots, 1)
        self._slots = kept
        return self._profile(session)

    def _is_skipped(self, past: Session) -> bool:
        return self._use.skip_early_close and past.is_early_close

    def _add(self, slots: Slots, sign: int) -> None:
        rows = len(slots.volume)
        if rows > len(self._total):
            more = ((0, rows - len(self._total)), (0, 0))
            self._total, self._count = np.pad(self._total, more), np.pad(self._count, more)
        volume = slots.volume
        counted = slots.present
        if self._use.name == "cumulative_volume":
            volume = np.cumsum(volume, axis=0)
        if self._use.name == "cumulative_volume" or self._use.missing == "zero":
            counted = np.broadcast_to(slots.present.any(axis=0), slots.present.shape)
        self._total[:rows] += sign * volume
        self._count[:rows] += sign * counted.astype(np.int32)

    def _profile(self, session: Session) -> Profile:
        starts = slot_starts(session, self._use.step_us)
        rows, symbols = len(starts), self._total.shape[1]
        total, count = np.zeros((rows, symbols)), np.zeros((rows, symbols), dtype=np.int32)
        held = min(rows, len(self._total))
        total[:held], count[:held] = self._total[:held], self._count[:held]
        known = count == self._use.window if self._use.missing == "require" else count > 0
        values = np.divide(total, count, out=np.full((rows, symbols), np.nan), where=known)
        return Profile(self._use, starts, slot_minutes(session, self._use.step_us), values, count)
