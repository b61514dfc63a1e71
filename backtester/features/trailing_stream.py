"""The summaries of past sessions of one stored interval: made once each, kept while a window can reach them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from backtester.arrays import Bool
from backtester.features.trailing_bars import Periods, Slots
from backtester.interval import Interval


class Detail(NamedTuple):
    """What profiles and short bars need of a past session, and what is large: forgotten sooner."""

    slots: dict[int, Slots]  # by the slot's microseconds
    tails: dict[Interval, Periods]  # the session's last bars


class Daily:
    """Daily bars as one matrix, so that a window is a slice of it; sessions are known by their rank."""

    def __init__(self, symbols: int) -> None:
        self._base = 0
        self._bars = Periods(*(np.empty((0, symbols)) for _ in Periods._fields))
        self._short: Bool = np.empty((0, symbols), dtype=np.bool_)

    def put(self, rank: int, bars: Periods, short: Bool, *, depth: int) -> None:
        """Keep a session and `depth` sessions before it: bars [1, symbols], short where an expected bar is missing."""
        if not self._base <= rank < self._base + len(self._short):
            self._move(max(rank - depth, 0), 2 * depth + 8)
        row = rank - self._base
        for kept, column in zip(self._bars, bars, strict=True):
            kept[row] = column[0]
        self._short[row] = short

    def rows(self, first: int, end: int) -> tuple[Periods, Bool]:
        """The sessions from `first` to `end`, all of them put."""
        rows = slice(first - self._base, end - self._base)
        return Periods(*(column[rows] for column in self._bars)), self._short[rows]

    def _move(self, base: int, capacity: int) -> None:
        shift, held = base - self._base, len(self._short)
        own = slice(max(-shift, 0), max(min(held - shift, capacity), 0))
        old = slice(own.start + shift, own.stop + shift)

        bars = Periods(*(np.full((capacity, column.shape[1]), np.nan) for column in self._bars))
        short: Bool = np.zeros((capacity, self._short.shape[1]), dtype=np.bool_)
        if own.start < own.stop:
            for fresh, column in zip(bars, self._bars, strict=True):
                fresh[own] = column[old]
            short[own] = self._short[old]
        self._bars, self._short = bars, short
        self._base = base


class Stream:
    """One stored interval's past; `damaged` holds each kept session's (symbol, reason) that could not be read."""

    def __init__(self, interval: Interval, symbols: int) -> None:
        self.interval = interval
        self.slot_steps: set[int] = set()
        self.tail_bars: dict[Interval, int] = {}
        self.damaged: dict[int, list[tuple[str, str]]] = {}
        self.detail: dict[int, Detail] = {}
        self.daily = Daily(symbols)
        self._depth = 0

    def missing(self, first: int, fine: int, end: int) -> list[int]:
        """The ranks from `first` to `end` that must be read, in detail from `fine` on; all others are forgotten."""
        self._depth = max(self._depth, end - first)
        self.damaged = {rank: damaged for rank, damaged in self.damaged.items() if first <= rank < end}
        self.detail = {rank: detail for rank, detail in self.detail.items() if fine <= rank < end}
        return [rank for rank in range(first, end) if rank not in (self.detail if rank >= fine else self.damaged)]

    def put(self, rank: int, daily: Periods, short: Bool, detail: Detail, damaged: list[tuple[str, str]]) -> None:
        """Keep a session's summary."""
        self.daily.put(rank, daily, short, depth=self._depth)
        self.detail[rank] = detail
        self.damaged[rank] = damaged
