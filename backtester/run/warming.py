"""Warm-up: how many bars an indicator takes to its first value, and how many before a session still change it."""

from __future__ import annotations

import dataclasses
import functools
from typing import NamedTuple

import numpy as np

from backtester.arrays import Int64
from backtester.data.calendar import Session
from backtester.data.columns import timestamps_of, view_of
from backtester.features.catalog import Use
from backtester.run.commit import Carry, carried
from backtester.run.indicating import indicators_table
from backtester.run.loading import Loaded, Loader
from backtester.run.plan import Plan
from backtester.run.session import continued, prepare
from backtester.strategy.told import Told, told

# No history longer than this is tried.
FARTHEST_SESSIONS = 20


class History(NamedTuple):
    """What one column of the indicators needs; bars are counted by label, the same for all symbols."""

    interval: str
    first_bars: (
        int | None
    )  # bars of its interval to a symbol's first value, of the slowest symbol; None without a value
    bars: int | None  # source bars before the session that change it; None if all that were tried do
    sessions: int | None  # in how many sessions those lie
    tried_sessions: int


def warm_up(plan: Plan, number: int) -> dict[str, History]:
    """By column of the session indicators, what the run's session of that number needs for its values."""
    if not plan.indicators:
        return {}
    past = _Past(dataclasses.replace(plan, strategy=None, scanners=[], historical=[]), number)
    return {column: past.history(use, column) for use in plan.indicators for column in use.columns}


class _Past:
    """A session's indicators by how many bars of the sessions before it they have seen."""

    def __init__(self, plan: Plan, number: int) -> None:
        self._plan = plan
        self._session = plan.sessions[number]
        before = [*plan.warm_up, *plan.sessions[:number]][-FARTHEST_SESSIONS:]
        self._loader = Loader(plan)
        self._sessions = before if any(use.is_chained for use in plan.indicators) else []
        bars = [len(np.unique(timestamps_of(self._load(session).bars))) for session in self._sessions]
        self._upto = np.cumsum(bars[::-1])  # bars of the last session before, of the last two, ...
        self.values = functools.lru_cache(maxsize=None)(self._values)

    def history(self, use: Use, column: str) -> History:
        """Doubled until more changes nothing, and then narrowed down: a longer history is taken to change no more."""
        tried, first = len(self._sessions), _first_bars(self.values(0), use.interval, column)
        if not use.is_chained:
            return History(use.interval, first, 0, 0, tried)
        total = int(self._upto[-1]) if tried else 0
        low, high = -1, 0
        while high < total and not self._is_settled(high, total, column):
            low, high = high, min(max(2 * high, 1), total)
        if high == total:
            return History(use.interval, first, None, None, tried)
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if self._is_settled(middle, total, column) else (middle, high)
        return History(use.interval, first, high, self._sessions_of(high), tried)

    def _is_settled(self, bars: int, total: int, column: str) -> bool:
        same: bool = self.values(bars).columns[column].equals(self.values(total).columns[column])
        return same

    def _sessions_of(self, bars: int) -> int:
        return int(np.searchsorted(self._upto, bars)) + 1 if bars else 0

    def _values(self, bars: int) -> Told:
        sessions = self._sessions_of(bars)
        carry: Carry = {}
        for place in range(sessions, 0, -1):
            loaded = self._load(self._sessions[-place])
            if place == sessions:
                loaded = _shortened(loaded, bars - (int(self._upto[place - 2]) if place > 1 else 0))
            state = continued(self._plan, prepare(self._plan, loaded), carry).state
            carry = carried({} if state is None else {"indicator_state": state})
        prepared = prepare(self._plan, self._load(self._session))
        return told(indicators_table(self._plan, continued(self._plan, prepared, carry), {}))

    def _load(self, session: Session) -> Loaded:
        return self._loader.load(session)


def _shortened(loaded: Loaded, bars: int) -> Loaded:
    """The last `bars` labels of a session alone."""
    stamps = timestamps_of(loaded.bars)
    first = int(np.searchsorted(stamps, np.unique(stamps)[-bars]))
    whole = loaded.bars.slice(first)
    return dataclasses.replace(loaded, bars=whole)


def _first_bars(indicators: Told, interval: str, column: str) -> int | None:
    """The longest that a symbol's first value takes, in bars of the interval; symbols without one do not count."""
    words = indicators.columns["interval"].dictionary_decode().to_pylist()
    own = np.array([word == interval for word in words], dtype=np.bool_)
    codes: Int64 = view_of(indicators.columns["symbol"].indices)[own]
    has_value = np.array(indicators.columns[column].is_valid())[own]
    longest = None
    for code in np.unique(codes):
        places = np.flatnonzero(has_value[codes == code])
        if len(places):
            longest = max(longest or 0, int(places[0]) + 1)
    return longest
