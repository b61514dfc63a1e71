"""The sessions of every exchange: opens, closes, breaks and early closes, from the table packaged beside this module.

scripts/build_calendar.py makes the table; docs/calendar.md says from what, how far it reaches and where sources differ.
"""

from __future__ import annotations

import datetime as dt
import difflib
import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt

from backtester.arrays import Bool, Int64, frozen
from backtester.errors import CalendarError

INDEX = Path(__file__).with_name("exchanges.json")
TABLE = Path(__file__).with_name("calendar.parquet")
REFRESH = "upgrade backtester, or rebuild the table with scripts/build_calendar.py --last YYYY-MM-DD"

NO_BREAK = np.iinfo(np.int64).min
ONE_DAY = np.timedelta64(1, "D")

Dates = npt.NDArray[np.datetime64]


class Exchange(NamedTuple):
    """One exchange of the packaged table, which knows every session from `first` to `last`, both inclusive."""

    name: str
    zone: str
    first: dt.date
    last: dt.date
    aliases: tuple[str, ...]


class Session(NamedTuple):
    """One session's regular hours; instants are UTC microseconds, the breaks None where there is none."""

    date: dt.date
    open_at: int
    close_at: int
    break_start_at: int | None
    break_end_at: int | None
    is_early_close: bool
    over_at: int  # when its extended hours end: no bar of this session begins at this instant or later

    @property
    def segments(self) -> tuple[tuple[int, int], ...]:
        """The regular hours as half-open [start, end) spans: two around a break, else one."""
        if self.break_start_at is None or self.break_end_at is None:
            return ((self.open_at, self.close_at),)
        return ((self.open_at, self.break_start_at), (self.break_end_at, self.close_at))


class SessionColumns(NamedTuple):
    """The sessions of an exchange by column, oldest first; the break columns hold NO_BREAK where there is none."""

    dates: Dates
    opens: Int64
    closes: Int64
    break_starts: Int64
    break_ends: Int64
    is_early_close: Bool


@dataclass(frozen=True, eq=False)
class Calendar:
    """Every session of one exchange from `first` to `last`, both inclusive; outside them nothing is known."""

    exchange: str
    zone: str
    first: dt.date
    last: dt.date
    columns: SessionColumns

    def sessions(self, start: dt.date, end: dt.date) -> list[Session]:
        """The sessions from `start` to `end`, both inclusive, oldest first; none for a weekend."""
        if start > end:
            raise CalendarError(f"{self.exchange}: the range starts {start} after it ends {end}; swap the two dates")
        self._require_known(start)
        self._require_known(end)
        return self._rows(self._rank(start), self._rank(end + dt.timedelta(days=1)))

    def session(self, day: dt.date) -> Session:
        """The session of `day`; a CalendarError names its neighbours if there is none."""
        self._require_known(day)
        rank = self._rank(day)
        found = self._rows(rank, rank + 1)
        if found and found[0].date == day:
            return found[0]
        neighbours = " and ".join(str(near.date) for near in self._rows(max(rank - 1, 0), rank + 1))
        raise CalendarError(f"{self.exchange}: {day} ({day:%A}) is not a session; the nearest are {neighbours}")

    def trailing(self, day: dt.date, count: int) -> list[Session]:
        """The `count` sessions strictly before `day`, oldest first, whether or not `day` is one."""
        if count < 0:
            raise CalendarError(f"{self.exchange}: {count} trailing sessions asked for; expected 0 or more")
        self._require_known(day)
        rank = self._rank(day)
        if rank < count:
            raise CalendarError(
                f"{self.exchange}: {count} trailing sessions before {day} asked for, but the packaged calendar, "
                f"which begins {self.first}, holds {rank}; ask for fewer or start later"
            )
        return self._rows(rank - count, rank)

    def session_dates_of(self, timestamps: Int64) -> Dates:
        """The session each instant (UTC microseconds) belongs to, extended hours included; NaT outside any.

        A session reaches from local midnight, or its open if that is earlier, to the next local midnight, or its close
        if that is later; an overnight session takes from the one before it what lies after its open.
        """
        dates = np.full(timestamps.shape, np.datetime64("NaT"), dtype="datetime64[D]")
        if timestamps.size == 0:
            return dates
        earliest, latest = int(timestamps.min()), int(timestamps.max())
        self._require_known_instants(earliest, latest)
        windows = self._windows
        # Only the windows the instants can lie in: a month of bars searches 22 starts and not 7,000.
        low = max(int(np.searchsorted(windows.starts, earliest, side="right")) - 1, 0)
        high = int(np.searchsorted(windows.starts, latest, side="right"))
        if high == 0:
            return dates
        rank = np.searchsorted(windows.starts[low:high], timestamps, side="right") - 1 + low
        inside = (rank >= 0) & (timestamps < windows.ends[np.maximum(rank, 0)])
        dates[inside] = self.columns.dates[rank[inside]]
        return dates

    @functools.cached_property
    def _windows(self) -> _Windows:
        return _windows(self.columns, self.zone, first=self.first, last=self.last)

    def _rank(self, day: dt.date) -> int:
        """How many sessions lie before `day`."""
        return int(np.searchsorted(self.columns.dates, np.datetime64(day, "D")))

    def _rows(self, low: int, high: int) -> list[Session]:
        dates, opens, closes, break_starts, break_ends, early = (values[low:high].tolist() for values in self.columns)
        starts = (None if start == NO_BREAK else start for start in break_starts)
        ends = (None if end == NO_BREAK else end for end in break_ends)
        # One row more than asked for: a session is over when the next one begins.
        rows = slice(low, high + 1)
        _, over = _reach(self.columns.dates[rows], self.columns.opens[rows], self.columns.closes[rows], self.zone)
        return list(map(Session, dates, opens, closes, starts, ends, early, over.tolist()))

    def _require_known(self, day: dt.date) -> None:
        if not self.first <= day <= self.last:
            raise CalendarError(
                f"{self.exchange}: {day} lies outside the packaged calendar, which knows {self.first} to {self.last}; "
                + (REFRESH if day > self.last else "start later")
            )

    def _require_known_instants(self, earliest: int, latest: int) -> None:
        windows = self._windows
        if windows.known_from <= earliest and latest < windows.known_until:
            return
        wrong = earliest if earliest < windows.known_from else latest
        shown = np.datetime64(wrong, "us").item()
        raise CalendarError(
            f"{self.exchange}: a timestamp of {shown} UTC lies outside the packaged calendar, which knows "
            f"{self.first} to {self.last}; check its unit and zone, or " + REFRESH
        )


class _Windows(NamedTuple):
    """Where each session's instants begin and end, extended hours included, and the span in which this is known."""

    starts: Int64
    ends: Int64
    known_from: int
    known_until: int


def _reach(dates: Dates, opens: Int64, closes: Int64, zone: str) -> tuple[Int64, Int64]:
    """The first instant of each session and the first beyond it, extended hours included."""
    starts = np.minimum(opens, _midnights(dates, zone))
    starts[1:] = np.maximum(starts[1:], closes[:-1])
    ends = np.maximum(closes, _midnights(dates + ONE_DAY, zone))
    ends[:-1] = np.minimum(ends[:-1], starts[1:])
    return starts, ends


def _windows(columns: SessionColumns, zone: str, *, first: dt.date, last: dt.date) -> _Windows:
    starts, ends = _reach(columns.dates, columns.opens, columns.closes, zone)
    edges = _midnights(np.array([first, last], dtype="datetime64[D]") + np.array([0, 1]), zone)
    # The first session after the table may begin the evening before: up to the longest lead seen, nothing is known.
    lead = max(0, int((_midnights(columns.dates, zone) - columns.opens).max(initial=0)))
    return _Windows(starts, ends, min(int(edges[0]), int(starts[0])), int(edges[1]) - lead)


def _midnights(dates: Dates, zone: str) -> Int64:
    """Local midnight of each date in UTC microseconds; where the clock skips midnight, the instant it does so."""
    local_zone = ZoneInfo(zone)
    offsets = [dt.datetime.combine(date, dt.time.min, local_zone).utcoffset() for date in dates.tolist()]
    midnights: Int64 = dates.astype("datetime64[us]").astype(np.int64)
    return midnights - np.array(offsets, dtype="timedelta64[us]").astype(np.int64)


@functools.cache
def packaged() -> tuple[Exchange, ...]:
    """Every exchange of the packaged table, in its order, with zone, range and aliases."""
    return tuple(
        Exchange(
            entry["name"],
            entry["zone"],
            dt.date.fromisoformat(entry["first"]),
            dt.date.fromisoformat(entry["last"]),
            tuple(entry["aliases"]),
        )
        for entry in json.loads(INDEX.read_text(encoding="utf-8"))["exchanges"]
    )


def exchanges() -> tuple[str, ...]:
    """The names `load` knows, sorted."""
    return tuple(exchange.name for exchange in packaged())


@functools.cache
def load(exchange: str) -> Calendar:
    """The calendar of `exchange`, read once a process; a CalendarError suggests the name that was meant."""
    for row_group, known in enumerate(packaged()):
        if known.name == exchange:
            return Calendar(known.name, known.zone, known.first, known.last, _read(exchange, row_group))
    raise CalendarError(f"exchange is {exchange!r}, which no calendar has; {_suggestion(exchange)}")


def _suggestion(exchange: str) -> str:
    aliases = {alias.upper(): known.name for known in packaged() for alias in known.aliases}
    names = {known.name.upper(): known.name for known in packaged()}
    if exchange.upper() in names:
        return f"write {names[exchange.upper()]!r}"
    if exchange.upper() in aliases:
        return f"it keeps the sessions of {aliases[exchange.upper()]}: write {aliases[exchange.upper()]!r}"
    meant = aliases | names
    nearest = list(dict.fromkeys(meant[close] for close in difflib.get_close_matches(exchange.upper(), meant, n=3)))
    listed = "`backtester calendar --list` lists them all"
    return (
        f"did you mean {' or '.join(nearest)}? {listed}"
        if nearest
        else f"expected a code such as XNYS or 24/7; {listed}"
    )


def _read(exchange: str, row_group: int) -> SessionColumns:
    # 0.2 s to import, and `exchanges` must not pay for it.
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(TABLE, memory_map=True) as file:
        table = file.read_row_group(row_group, use_threads=False)
    assert table["exchange"][0].as_py() == exchange, f"{TABLE.name} and {INDEX.name} were not built together"

    # Buffers, not to_numpy, cast or fill_null: those import pandas where it is installed, 0.3 s for nothing.
    def days(name: str) -> Dates:
        return np.from_dlpack(table[name].chunk(0).view(pa.int32())).astype("datetime64[D]")

    def flags(bits: pa.Buffer | None) -> Bool:
        if bits is None:
            return np.ones(table.num_rows, dtype=np.bool_)
        whole = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), bitorder="little", count=table.num_rows)
        return whole.view(np.bool_)

    def instants(name: str) -> Int64:
        validity, values = table[name].chunk(0).buffers()
        return frozen(np.where(flags(validity), np.frombuffer(values, np.int64, table.num_rows), NO_BREAK))

    return SessionColumns(
        dates=frozen(days("session")),
        opens=instants("open"),
        closes=instants("close"),
        break_starts=instants("break_start"),
        break_ends=instants("break_end"),
        is_early_close=frozen(flags(table["is_early_close"].chunk(0).buffers()[1])),
    )
