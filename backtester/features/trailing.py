"""Historical indicators: values a session knows before it opens, from the sessions before it and never from itself.

Each past session is read once, summarised (features/trailing_bars.py), and kept while a window can reach it: the cost
is linear in sessions, the memory that of the widest window's summaries.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from backtester.arrays import Float64, Int32
from backtester.data.calendar import Calendar, Session
from backtester.data.expected import expected_labels
from backtester.features.trailing_bars import Dense, Periods, dense, merged, slots_of, tail
from backtester.features.trailing_catalog import Use
from backtester.features.trailing_formulas import FORMULAS
from backtester.features.trailing_profile import Profile, Slide
from backtester.features.trailing_stream import Detail, Stream
from backtester.interval import Interval


class Row(NamedTuple):
    """A use's values for one session, by symbol; `values` holds NaN where there is none."""

    use: Use
    values: dict[str, Float64]
    used: Int32
    sessions: list[Session]  # of the calendar, in the window, with the one before it whose close is needed
    sessions_used: Int32  # of those, with a bar
    sessions_with_gaps: Int32  # of those used, with an expected bar missing


class Historical(NamedTuple):
    """Everything one session knows of its history."""

    rows: list[Row]
    profiles: list[Profile]
    damaged: list[tuple[str, str]]  # (symbol, reason): what of the windows could not be read


Read = Callable[[Session, Interval], tuple[pa.Table | None, list[tuple[str, str]]]]


def sessions_before(use: Use, sessions: Sequence[Session], at: int) -> int:
    """How many of the sessions before `sessions[at]` a use looks at.

    sessions  of the calendar, without holes, reaching back far enough
    """
    if use.unit == "sessions":
        return use.window + use.extra
    if use.unit == "weeks":
        begin = sessions[at].date - timedelta(days=7 * use.window)
        return at - bisect_left(sessions, begin, key=_date)
    wanted, held, back = use.window + use.extra, 0, 0
    while held < wanted and back < at:
        back += 1
        held += _windows(sessions[at - back], use)
    return back


def calendar_reach(uses: Sequence[Use], calendar: Calendar, first: date, last: date) -> list[Session]:
    """Every session the windows of the sessions from `first` to `last` can reach, and those themselves."""
    run = calendar.sessions(first, last)
    start = run[0].date
    counts = [_most_sessions(use, calendar, start) for use in uses]
    before = calendar.trailing(start, max(counts, default=0))
    weeks = [start - timedelta(days=7 * use.window) for use in uses if use.unit == "weeks"]
    if weeks and min(weeks) < (before[0].date if before else start):
        before = calendar.sessions(min(weeks), start - timedelta(days=1))
    return [*before, *run]


class Trailing:
    """The past of a run's sessions, asked for in order; a jump backwards or forwards only costs reading."""

    def __init__(self, uses: Sequence[Use], sessions: list[Session], symbols: list[str], read: Read) -> None:
        """Sessions as of `calendar_reach`; `read` gives a session's stored bars of an interval, None for none."""
        self._uses = list(uses)
        self._sessions = sessions
        self._position = {symbol: column for column, symbol in enumerate(symbols)}
        self._read = read
        self._streams = {use.source: Stream(use.source, len(symbols)) for use in uses}
        for use in self._uses:
            stream = self._streams[use.source]
            if use.is_profile:
                stream.slot_steps.add(use.step_us)
            elif use.is_fine:
                stream.tail_bars[use.interval] = max(stream.tail_bars.get(use.interval, 0), use.window + use.extra)
        self._slides = {use.key: Slide(use, len(symbols)) for use in self._uses if use.is_profile}

    def at(self, day: date) -> Historical:
        """What the session of `day` knows of its past; a column of the values is a symbol, in the run's order."""
        at = self._rank(day)
        back = {use.key: sessions_before(use, self._sessions, at) for use in self._uses}
        damaged: dict[tuple[str, str], None] = {}
        for stream in self._streams.values():
            own = [use for use in self._uses if use.source == stream.interval]
            depth = max(back[use.key] for use in own)
            fine = max((back[use.key] for use in own if use.is_fine), default=0)
            for rank in stream.missing(at - depth, at - fine, at):
                self._summarise(stream, rank, *self._read(self._sessions[rank], stream.interval))
            for rank in range(at - depth, at):
                damaged |= dict.fromkeys(stream.damaged[rank])
        rows = [self._row(use, at, back[use.key]) for use in self._uses if not use.is_profile]
        profiles = [self._profile(use, at, back[use.key]) for use in self._uses if use.is_profile]
        return Historical(rows, profiles, sorted(damaged))

    def feed(self, day: date, interval: Interval, bars: pa.Table, damaged: list[tuple[str, str]]) -> None:
        """Take a session's bars from the run, which has just read them, so that they are not read again."""
        if interval in self._streams:
            self._summarise(self._streams[interval], self._rank(day), bars, damaged)

    def _rank(self, day: date) -> int:
        return bisect_left(self._sessions, day, key=_date)

    def _summarise(self, stream: Stream, rank: int, bars: pa.Table | None, damaged: list[tuple[str, str]]) -> None:
        session, symbols = self._sessions[rank], len(self._position)
        if bars is None:
            labels = expected_labels(session, stream.interval)
            nothing = Periods(*[np.full((len(labels), symbols), np.nan)] * 5)
            day = Dense(labels, nothing, np.zeros(symbols, dtype=np.int32), len(labels))
        else:
            day = dense(bars, session, interval=stream.interval, position=self._position)
        slots = {step: slots_of(day, session, step) for step in stream.slot_steps}
        tails = {interval: tail(day, session, interval, bars=bars) for interval, bars in stream.tail_bars.items()}
        daily = merged(day.bars, [0])
        stream.put(rank, daily, daily.present[0] & (day.counts < day.expected), Detail(slots, tails), damaged)

    def _profile(self, use: Use, at: int, back: int) -> Profile:
        detail = self._streams[use.source].detail
        window = {rank: (self._sessions[rank], detail[rank].slots[use.step_us]) for rank in range(at - back, at)}
        return self._slides[use.key].move(self._sessions[at], window)

    def _row(self, use: Use, at: int, back: int) -> Row:
        daily, short = self._streams[use.source].daily.rows(at - back, at)
        values, used = FORMULAS[use.name](self._periods(use, at, back), use.params)
        if use.missing == "require":
            values = {name: np.where(used == use.window, each, np.nan) for name, each in values.items()}
        sessions = self._sessions[at - back : at]
        has_bars = daily.present.sum(axis=0, dtype=np.int32)
        return Row(use, values, used, sessions, has_bars, short.sum(axis=0, dtype=np.int32))

    def _periods(self, use: Use, at: int, back: int) -> Periods:
        stream = self._streams[use.source]
        if use.unit == "bars" and use.interval.is_intraday:
            tails = [stream.detail[rank].tails[use.interval] for rank in range(at - back, at)]
            joined = Periods(*(np.concatenate(columns) for columns in zip(*tails, strict=True)))
            return joined.last(use.window + use.extra)
        daily, _ = stream.daily.rows(at - back, at)
        if use.unit != "weeks":
            return daily
        day = self._sessions[at].date
        begins = [day - timedelta(days=7 * weeks) for weeks in range(use.window, 0, -1)]
        return merged(daily, [bisect_left(self._sessions, each, key=_date) - (at - back) for each in begins])


def _date(session: Session) -> date:
    return session.date


def _windows(session: Session, use: Use) -> int:
    if not use.interval.is_intraday:
        return 1
    return sum(-(-(end - start) // use.interval.us) for start, end in session.segments)


def _most_sessions(use: Use, calendar: Calendar, start: date) -> int:
    """How many sessions before `start` a use looks at; later sessions of the run look back no further than that."""
    if use.unit == "sessions":
        return use.window + use.extra
    if use.unit == "weeks":
        return 0
    count = 1
    while True:
        before = calendar.trailing(start, count)
        held = np.cumsum([_windows(session, use) for session in reversed(before)])
        if held[-1] >= use.window + use.extra:
            return int(np.searchsorted(held, use.window + use.extra)) + 1
        count *= 2
