"""Simulated sessions: seeded bars shaped like a market's and no market's, for demonstrations, tests and benchmarks.

A bar depends on seed, symbol, session and interval alone: not on the range asked for, the number of symbols or the
order of the work. Numbers are made with + - * / sqrt and comparisons, so that every machine makes the same ones.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.random import Generator, Philox

from backtester.arrays import Bars, Bool, Float64, Int32, Int64
from backtester.data import calendar as calendars
from backtester.data import columns
from backtester.data.calendar import Calendar, Session
from backtester.data.expected import expected_labels
from backtester.data.store import Store
from backtester.errors import ConfigError, StoreError
from backtester.interval import Interval
from backtester.schema import BARS

VERSION = 1  # of the numbers: a change that moves one raises it
TABLE = BARS.append(pa.field("session", pa.date32(), nullable=False))

MINUTE_US = 60_000_000
PRE_US, POST_US = 330 * MINUTE_US, 240 * MINUTE_US
TUESDAY = 1
LISTED_LATE = 3  # sessions of the range before the first of a symbol that is listed late

# A symbol walks from here, a step each calendar day, and forgets steps older than WINDOW: prices stay near home.
DAY_ZERO = dt.date(1999, 1, 1)
WINDOW = 60
OVERNIGHT = 0.5


class Kind(NamedTuple):
    """What a simulated symbol shows; symbols take the kinds in turn."""

    text: str
    missing_frac: float = 0.004
    is_extended: bool = False
    is_halted: bool = False
    is_late: bool = False
    price: tuple[float, float] = (15.0, 300.0)
    volatility_frac: tuple[float, float] = (0.008, 0.02)
    volume: tuple[float, float] = (800.0, 12_000.0)  # units a minute


KINDS = (
    Kind("every bar present, and bars before the open and after the close", missing_frac=0.0, is_extended=True),
    Kind("a few bars missing, and bars before the open and after the close", is_extended=True),
    Kind("a few bars missing"),
    Kind("halted on Tuesdays, for 25 minutes or longer", is_halted=True),
    Kind("volatile", volatility_frac=(0.03, 0.05)),
    Kind("thin: most bars missing", missing_frac=0.7, volume=(20.0, 60.0)),
    Kind(f"listed {LISTED_LATE} sessions late", is_late=True),
    Kind("low price: a cent is a large step", price=(1.5, 4.0)),
)


@dataclass(frozen=True)
class Sample:
    """What is to be simulated: the first `symbols` symbols, in the sessions from `start` to `end`, both inclusive."""

    exchange: str
    interval: Interval
    start: dt.date
    end: dt.date
    symbols: int = 8
    seed: int = 7

    def names(self) -> list[str]:
        """SIM001, SIM002, ...: with digits, so that none is a listed company's symbol."""
        return [f"SIM{number:03}" for number in range(1, self.symbols + 1)]

    def kinds(self) -> list[Kind]:
        """What each symbol shows."""
        return [KINDS[position % len(KINDS)] for position in range(self.symbols)]

    def source(self) -> dict[str, object]:
        """The note the store keeps with every session."""
        return {"kind": "simulated", "by": "backtester sample", "version": VERSION, "seed": self.seed}


class Market(NamedTuple):
    """Each symbol's traits, and its prices at the edges of each session: [symbols] and [symbols, sessions]."""

    volatility_frac: Float64
    volume: Float64
    before: Float64  # the day before, at its close
    opens: Float64
    closes: Float64


class Draws(NamedTuple):
    """One session's random numbers, [symbols, bars]: noise normal; up, down and size exponential; luck uniform."""

    noise: Float64
    up: Float64
    down: Float64
    size: Float64
    luck: Float64


class Part(NamedTuple):
    """Consecutive labels of a session and, by [symbols, bars], which bars there are and what they hold."""

    labels: Int64
    codes: Int32  # of the rows of `present` and `bars`
    present: Bool
    bars: Bars


@dataclass
class Written:
    """What the store holds of the sample; `bars` counts by symbol, `new_bars` those that were not there before."""

    bars: dict[str, int]
    new_bars: int = 0
    sessions: list[dt.date] = field(default_factory=list)
    early_closes: list[dt.date] = field(default_factory=list)


def write(sample: Sample, store: Store, *, tell: Callable[[dt.date], None] = lambda _: None) -> Written:
    """Simulate session by session into `store`, which must hold no other bars of this exchange and interval."""
    _refuse_other_bars(sample, store)
    written = Written(dict.fromkeys(sample.names(), 0))
    for session, table in simulate(sample):
        added = store.add(table, exchange=sample.exchange, interval=sample.interval, source=sample.source())
        written.sessions.append(session.date)
        written.early_closes += [session.date] if session.is_early_close else []
        written.new_bars += added.rows
        for name, bars in zip(columns.symbols_of(table).to_pylist(), np.bincount(columns.codes_of(table)), strict=True):
            written.bars[name] += int(bars)
        tell(session.date)
    return written


def simulate(sample: Sample) -> Iterator[tuple[Session, pa.Table]]:
    """Each session and its bars: the columns of BARS and `session`, in order of label, then symbol."""
    if not sample.interval.is_intraday:
        raise ConfigError(f"interval is {sample.interval}; simulated bars lie inside the day: choose 1m, 5m or another")
    calendar = calendars.load(sample.exchange)
    sessions = calendar.sessions(sample.start, sample.end)
    if not sessions:
        raise ConfigError(
            f"{sample.exchange} has no session from {sample.start} to {sample.end}; choose a longer range"
        )
    market = _market(sample, [session.date for session in sessions])
    for number, session in enumerate(sessions):
        is_late = number < min(LISTED_LATE, len(sessions) - 1)
        listed = [code for code, kind in enumerate(sample.kinds()) if not (kind.is_late and is_late)]
        parts = _session_parts(sample, calendar, session, market, number, np.array(listed, dtype=np.int32))
        yield session, _table(parts, sample.names(), session.date)


def _market(sample: Sample, dates: list[dt.date]) -> Market:
    days = (dates[-1] - DAY_ZERO).days + 1
    at = np.array([(date - DAY_ZERO).days for date in dates])
    shape = (sample.symbols, len(dates))
    market = Market(np.empty(shape[0]), np.empty(shape[0]), np.empty(shape), np.empty(shape), np.empty(shape))
    for code, (name, kind) in enumerate(zip(sample.names(), sample.kinds(), strict=True)):
        random = _random(sample.seed, name)
        ranges = np.array([kind.price, kind.volatility_frac, kind.volume])
        price, volatility_frac, volume = ranges[:, 0] + random.random(3) ** 2 * (ranges[:, 1] - ranges[:, 0])
        overnight, inside = random.standard_normal((days, 2)).T
        walk = np.cumsum(OVERNIGHT * overnight + inside)
        level = walk.copy()
        level[WINDOW:] -= walk[:-WINDOW]
        market.volatility_frac[code], market.volume[code] = volatility_frac, volume
        opened = level[at - 1] + OVERNIGHT * overnight[at]
        for prices, steps in ((market.before, level[at - 1]), (market.opens, opened), (market.closes, level[at])):
            prices[code] = price * (1.0 + np.clip(volatility_frac * steps, -0.6, 0.6))
    return market


def _session_parts(
    sample: Sample, calendar: Calendar, session: Session, market: Market, number: int, listed: Int32
) -> list[Part]:
    """The bars before the open, of the regular hours and after the close."""
    kinds, names = sample.kinds(), sample.names()
    regular = expected_labels(session, sample.interval)
    pre, post = _extended_labels(calendar, session, sample.interval)
    extended = np.array([code for code in listed if kinds[code].is_extended], dtype=np.int32)
    inside, outside = _room(len(listed), len(regular)), _room(len(extended), len(pre) + len(post))
    halts = np.empty((len(listed), 2))
    row_outside = {int(code): row for row, code in enumerate(extended)}
    for row, code in enumerate(listed.tolist()):
        random = _random(sample.seed, f"{names[code]} {session.date} {sample.interval}")
        halts[row] = random.random(2)
        _fill(inside, row, random)
        if code in row_outside:
            _fill(outside, row_outside[code], random)
    missing_frac = np.array([kinds[code].missing_frac for code in listed])
    halted = np.array([kinds[code].is_halted and session.date.weekday() == TUESDAY for code in listed], dtype=np.bool_)
    present = inside.luck >= missing_frac[:, None]
    present[halted] &= ~_halts(session, regular, halts[halted])
    before, opens, closes = (prices[:, number] for prices in (market.before, market.opens, market.closes))
    at_open, at_close = Draws(*(d[:, : len(pre)] for d in outside)), Draws(*(d[:, len(pre) :] for d in outside))
    return [
        _quiet_part(pre, extended, at_open, market, before[extended], opens[extended], sample.interval),
        Part(
            regular, listed, present, _busy_bars(inside, market, listed, opens[listed], closes[listed], sample.interval)
        ),
        _quiet_part(post, extended, at_close, market, closes[extended], closes[extended], sample.interval),
    ]


def _busy_bars(draws: Draws, market: Market, codes: Int32, start: Float64, end: Float64, interval: Interval) -> Bars:
    """Regular hours: busy and restless at both ends, a rush in the first bar and the last."""
    bars = draws.noise.shape[1]
    across = (2.0 * np.arange(bars) + 1.0) / bars - 1.0
    activity = 0.5 + 2.5 * across * across * across * across
    rush = np.ones(bars)
    rush[:1], rush[-1:] = 8.0, 5.0
    scale = market.volatility_frac[codes] / np.sqrt(bars)
    volume = market.volume[codes] * (interval.us / MINUTE_US)
    return _walked(draws, start, end, scale=scale, activity=activity, volume=volume[:, None] * activity * rush)


def _quiet_part(
    labels: Int64, codes: Int32, draws: Draws, market: Market, start: Float64, end: Float64, interval: Interval
) -> Part:
    """Extended hours: two bars of five, a fiftieth of the volume."""
    activity = np.full(len(labels), 0.3)
    scale = market.volatility_frac[codes] * np.sqrt(interval.us / (390 * MINUTE_US))
    volume = market.volume[codes] * (interval.us / MINUTE_US) / 50.0
    walked = _walked(draws, start, end, scale=scale, activity=activity, volume=volume[:, None] * activity)
    return Part(labels, codes, draws.luck < 0.4, walked)


def _walked(draws: Draws, start: Float64, end: Float64, *, scale: Float64, activity: Float64, volume: Float64) -> Bars:
    """Bars along a random walk from `start` to `end`, in cents; a bar moves by about `scale` of its price."""
    size = (start * scale)[:, None] * np.sqrt(activity)
    path = np.cumsum(draws.noise * size, axis=1)
    passed = np.cumsum(activity)
    path += (passed / passed[-1:]) * ((end - start)[:, None] - path[:, -1:]) + start[:, None]
    opens = np.concatenate([start[:, None], path[:, :-1]], axis=1)[:, : path.shape[1]]
    high = np.maximum(opens, path) + draws.up * size * 0.4
    low = np.minimum(opens, path) - draws.down * size * 0.4
    return Bars(_cents(opens), _cents(high), _cents(low), _cents(path), np.rint(1.0 + draws.size * volume))


def _cents(prices: Float64) -> Float64:
    return np.maximum(np.rint(prices * 100.0), 1.0) / 100.0


def _halts(session: Session, labels: Int64, draws: Float64) -> Bool:
    """The labels in each symbol's halt, which begins in the middle half of the session; [symbols, bars]."""
    length = session.close_at - session.open_at
    starts = session.open_at + np.floor((0.2 + 0.5 * draws[:, :1]) * (length / MINUTE_US)) * MINUTE_US
    ends = starts + np.floor(25.0 + 20.0 * draws[:, 1:]) * MINUTE_US
    halted: Bool = (labels >= starts) & (labels < ends)
    return halted


def _extended_labels(calendar: Calendar, session: Session, interval: Interval) -> tuple[Int64, Int64]:
    """The labels before the open and after the close that are this session's, on the grid of either."""
    step = interval.us
    pre = session.open_at - step * np.arange(PRE_US // step, 0, -1, dtype=np.int64)
    post = session.close_at + step * np.arange(POST_US // step, dtype=np.int64)
    own = np.datetime64(session.date, "D")
    return pre[calendar.session_dates_of(pre) == own], post[calendar.session_dates_of(post) == own]


def _random(seed: int, key: str) -> Generator:
    """The random numbers of one key, whatever has been drawn for others."""
    digest = hashlib.blake2b(f"{seed} {key}".encode(), digest_size=16).digest()
    return Generator(Philox(key=int.from_bytes(digest, "little")))


def _room(symbols: int, bars: int) -> Draws:
    return Draws(*(np.empty((symbols, bars)) for _ in Draws._fields))


def _fill(draws: Draws, row: int, random: Generator) -> None:
    random.standard_normal(out=draws.noise[row])
    for column in (draws.up, draws.down, draws.size):
        random.standard_exponential(out=column[row])
    random.random(out=draws.luck[row])


def _table(parts: list[Part], names: list[str], date: dt.date) -> pa.Table:
    """The present bars of consecutive parts; a part's matrices are turned so that rows run by label, then symbol."""
    rows = sum(int(part.present.sum()) for part in parts)
    timestamps, codes = np.empty(rows, dtype=np.int64), np.empty(rows, dtype=np.int32)
    values = [np.empty(rows) for _ in Bars._fields]
    done = 0
    for part in parts:
        at, row = np.nonzero(part.present.T)
        span = slice(done, done + len(at))
        timestamps[span], codes[span] = part.labels[at], part.codes[row]
        for target, matrix in zip(values, part.bars, strict=True):
            target[span] = matrix[row, at]
        done = span.stop
    days = np.full(rows, (date - dt.date(1970, 1, 1)).days, dtype=np.int32)
    used, places = np.unique(codes, return_inverse=True)
    symbol = columns.dictionary(places.astype(np.int32), columns.text([names[code] for code in used]))
    prices = [columns.numbers(column) for column in values]
    return pa.Table.from_arrays([columns.instants(timestamps), symbol, *prices, columns.dates(days)], schema=TABLE)


def _refuse_other_bars(sample: Sample, store: Store) -> None:
    """StoreError if the store holds vendors' bars, or simulated ones of another seed: they must not mix."""
    for session in store.sessions(sample.exchange, sample.interval):
        entry = store.entry(sample.exchange, sample.interval, session)
        for source in entry.sources if entry is not None else []:
            found = {name: source.get(name) for name in sample.source()}
            if found != sample.source():
                other = "simulated bars of another seed or version" if found["kind"] == "simulated" else "imported bars"
                raise StoreError(
                    f"{store.root}: {sample.exchange} {sample.interval} {session} holds {other} ({source}); "
                    "simulated bars go to a store of their own: name a new directory"
                )
