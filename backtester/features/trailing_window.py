"""The window of sessions before a session, kept from one session to the next so that each is read once.

What is kept of a session is a function of that session alone, and a window is made of whole sessions, oldest first. So
its values do not depend on which windows were asked for before, by which worker, or whether a session was read or handed
over.
"""

from __future__ import annotations

import datetime as dt
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import pyarrow as pa

from backtester.arrays import Int64
from backtester.data.calendar import Calendar, Session
from backtester.data.session_file import bars_table
from backtester.data.store import Store
from backtester.features.daily import PeriodBars, WindowVolumes, joined, session_bars, window_bars, window_volumes
from backtester.interval import Interval

# A session's stored bars as BARS; an empty table where there are none. Errors of reading are the caller's to handle.
Reader = Callable[[Session], pa.Table]
Kept = TypeVar("Kept", PeriodBars, WindowVolumes)


class Reach(NamedTuple):
    """How many sessions before this one are needed: of daily bars, and of window bars and volumes by interval."""

    daily: int
    bars: dict[Interval, int]
    volumes: dict[Interval, int]


class Window(NamedTuple):
    """What is known of the sessions before `session`: nothing of `session` itself."""

    calendar: Calendar
    source: Interval
    session: Session
    symbols: list[str]
    sessions: list[Session]  # of the daily bars, oldest first, the last one the session before this
    daily: PeriodBars  # [sessions, symbols]
    bars: dict[Interval, PeriodBars]  # windows of the newest sessions, one after the other, oldest first
    volumes: dict[Interval, list[WindowVolumes]]  # one for each of the newest sessions, oldest first


class TrailingCache:
    """Daily bars and window volumes of past sessions, each read once while windows move forward; safe for threads."""

    def __init__(
        self,
        calendar: Calendar,
        symbols: Sequence[str],
        *,
        source: Interval,
        reach: Callable[[Session], Reach],
        read: Reader,
        read_daily: Reader | None = None,
        lag: int = 8,
    ) -> None:
        """Begin empty; the first window reads all its sessions.

        symbols     every symbol of the run; a session in which one has no bar keeps an empty column for it
        read_daily  stored `1d` bars, which then stand in for daily bars made from `source`
        lag         up to so many windows may be asked for out of order without reading a session again
        """
        self.calendar, self.symbols, self.source = calendar, list(symbols), source
        self._reach, self._read, self._read_daily = reach, read, read_daily
        self._daily: _Shelf[PeriodBars] = _Shelf(lag)
        self._bars: dict[Interval, _Shelf[PeriodBars]] = {}
        self._volumes: dict[Interval, _Shelf[WindowVolumes]] = {}
        self._lag = lag
        self._lock = threading.Lock()

    def window(self, session: Session, symbols: Sequence[str] | None = None) -> Window:
        """The window before `session`, of `symbols` (all of the run's by default, in any order)."""
        reach = self._reach(session)
        longest = max([reach.daily, *reach.bars.values(), *reach.volumes.values()])
        sessions = self.calendar.trailing(session.date, longest)
        with self._lock:
            self._shelve(reach)
            for past in sessions:
                self._fill(past, sessions, reach)
            daily = self._daily.take(_newest(sessions, reach.daily))
            bars = {each: self._bars[each].take(_newest(sessions, count)) for each, count in reach.bars.items()}
            volumes = {
                each: self._volumes[each].take(_newest(sessions, count)) for each, count in reach.volumes.items()
            }
        chosen = self.symbols if symbols is None else list(symbols)
        columns = None if chosen == self.symbols else self._columns(chosen)
        return Window(
            self.calendar,
            self.source,
            session,
            chosen,
            _newest(sessions, reach.daily),
            _chosen(joined(daily, len(self.symbols)), columns),
            {each: _chosen(joined(parts, len(self.symbols)), columns) for each, parts in bars.items()},
            {each: [_chosen(part, columns) for part in parts] for each, parts in volumes.items()},
        )

    def add(self, session: Session, bars: pa.Table) -> None:
        """Hand over a session's bars, already read, so that later windows need not read them."""
        reach = self._reach(session)
        with self._lock:
            self._shelve(reach)
            self._keep(session, bars, daily=self._read_daily is None, reach=reach)

    def _shelve(self, reach: Reach) -> None:
        for interval in reach.bars:
            self._bars.setdefault(interval, _Shelf(self._lag))
        for interval in reach.volumes:
            self._volumes.setdefault(interval, _Shelf(self._lag))

    def _fill(self, past: Session, sessions: list[Session], reach: Reach) -> None:
        """Keep what `reach` needs of one session, reading it at most once."""

        def due(count: int, shelf: _Shelf[PeriodBars] | _Shelf[WindowVolumes]) -> bool:
            return past.date not in shelf.held and past in _newest(sessions, count)

        daily = due(reach.daily, self._daily)
        if daily and self._read_daily is not None:
            self._daily.held[past.date] = session_bars(self._read_daily(past), past, self.symbols)
            daily = False
        bars = {each: count for each, count in reach.bars.items() if due(count, self._bars[each])}
        volumes = {each: count for each, count in reach.volumes.items() if due(count, self._volumes[each])}
        if daily or bars or volumes:
            self._keep(past, self._read(past), daily=daily, reach=Reach(0, bars, volumes))

    def _keep(self, past: Session, bars: pa.Table, *, daily: bool, reach: Reach) -> None:
        symbols, source = self.symbols, self.source
        if daily:
            self._daily.held[past.date] = session_bars(bars, past, symbols)
        for interval in reach.bars:
            self._bars[interval].held[past.date] = window_bars(bars, past, symbols, source=source, interval=interval)
        for interval in reach.volumes:
            volumes = window_volumes(bars, past, symbols, source=source, interval=interval)
            self._volumes[interval].held[past.date] = volumes

    def _columns(self, symbols: list[str]) -> Int64:
        position = {symbol: column for column, symbol in enumerate(self.symbols)}
        return np.array([position[symbol] for symbol in symbols], dtype=np.int64)


class _Shelf(Generic[Kept]):
    """One thing kept of each session, from the oldest of the last `lag` windows on."""

    def __init__(self, lag: int) -> None:
        self.held: dict[dt.date, Kept] = {}
        self._oldest: deque[dt.date] = deque(maxlen=max(lag, 1))

    def take(self, sessions: list[Session]) -> list[Kept]:
        """What is kept of these sessions; what no recent window needed is dropped."""
        if not sessions:
            return []
        self._oldest.append(sessions[0].date)
        floor = min(self._oldest)
        for date in [date for date in self.held if date < floor]:
            del self.held[date]
        return [self.held[session.date] for session in sessions]


def stored_reader(store: Store, exchange: str, interval: Interval, symbols: list[str]) -> Reader:
    """Read sessions from a store: `interval` as it is stored, `symbols` sorted."""

    def read(session: Session) -> pa.Table:
        entry = store.entry(exchange, interval, session.date)
        if entry is None:
            nothing = np.empty(0, dtype=np.int64), np.empty(0, dtype=np.int32)
            return bars_table(*nothing, symbols, [np.empty(0)] * 5)
        return store.load(entry, symbols)

    return read


def _newest(sessions: list[Session], count: int) -> list[Session]:
    return sessions[len(sessions) - count :]


def _chosen(kept: Kept, columns: Int64 | None) -> Kept:
    if columns is None:
        return kept
    return type(kept)(*(column[:, columns] for column in kept))
