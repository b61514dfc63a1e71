"""SessionData: on paper, and against a naive model that scans every row at every read."""

import datetime as dt
import math

import numpy as np
import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from backtester.errors import StrategyError
from backtester.features.intraday import run_pass
from backtester.features.rows import rows_of
from backtester.interval import Interval
from backtester.strategy.series import Bar, derived_columns
from backtester.strategy.session_data import SessionData
from tests import reference
from tests.reference import Row
from tests.sessions import INTERVALS, MINUTE, OPEN, generated, session, table

EARLIER = 86_400_000_000  # the trailing session lies a day before


def made(whole, rows, symbols, step, *, hours="regular", trailing=(), taken=None):
    """(SessionData, its derived intervals) of a session's rows."""
    bars, _ = table(rows, symbols)
    interval = Interval.parse(INTERVALS[step][0])
    derived = [Interval.parse(text) for text in INTERVALS[step][1]]
    done = run_pass(bars, whole, interval=interval, derived=derived, hours=hours)
    past = [(dt.date(2025, 6, 13), table(list(part), symbols)[0]) for part in trailing]
    of_rows = rows_of(done, whole, derived, interval)
    closes = {"close": np.array(of_rows.bars.close), "cold": np.full(len(of_rows.codes), np.nan)}
    wider = {str(each): derived_columns(done, place) for place, each in enumerate(derived)}
    data = SessionData(of_rows, interval, derived=wider, trailing=lambda: past, indicators=closes, symbols=taken)
    return data, derived


def listed(part):
    return list(zip(*(column.tolist() for column in part), strict=True))


class Naive:
    """What SessionData must give, from lists, by scanning them."""

    def __init__(self, whole, rows, symbols, step, hours, trailing):
        self.whole, self.step, self.symbols, self.hours = whole, step, symbols, hours
        ordered = sorted(rows, key=lambda row: (row.at, row.symbol))
        self.rows = [row for row in ordered if hours == "extended" or reference.in_hours(row.at, whole.segments)]
        over = whole.over_at if hours == "extended" else None
        self.derived = {}
        for text in INTERVALS[step][1]:
            width = None if text == "1d" else Interval.parse(text).us
            self.derived[text] = reference.derived(self.rows, whole.segments, step, width, over)
        self.past = {symbol: [[row for row in part if row.symbol == symbol] for part in trailing] for symbol in symbols}
        self.added = {symbol: [] for symbol in symbols}
        self.since = dict.fromkeys(symbols)  # symbol -> the instant it is seen from, None the open
        self.historical, self.said = {}, {}
        self.now, self.is_active = min([OPEN, *(row.at for row in self.rows)]), True

    def known_at(self, at):
        if INTERVALS[self.step][0] == "1d":
            return self.whole.close_at if self.hours == "regular" else self.whole.over_at
        ends = [end for start, end in self.whole.segments if start <= at < end and self.hours == "regular"]
        return min([at + self.step, *ends])

    def is_seen(self, symbol):
        return self.is_active and symbol in self.since

    def visible(self, known_at, symbol):
        since = self.since[symbol]
        return known_at <= self.now and (since is None or known_at >= since)

    def bars(self, symbol, interval=None):
        if not self.is_seen(symbol):
            return []
        if interval is None:
            own = [row for row in self.rows if row.symbol == symbol and self.visible(self.known_at(row.at), symbol)]
            return [(row.at, *row[2:]) for row in own]
        own = [row for row in self.derived[interval] if row[1] == symbol and self.visible(row[-1], symbol)]
        return [(row[0], *row[2:7]) for row in own]

    def history(self, symbol, back):
        if not self.is_seen(symbol):
            return []
        parts = self.past[symbol]
        parts = parts if back is None else parts[max(len(parts) - back, 0) :]
        return [(row.at, *row[2:]) for part in parts for row in part] + self.added[symbol]

    def missing(self, symbol):
        due = [
            at for at in reference.expected(self.whole.segments, self.step) if self.visible(self.known_at(at), symbol)
        ]
        present = {row.at for row in self.rows if row.symbol == symbol}
        return due, [at for at in due if at not in present]

    def gaps(self, symbol):
        if not self.is_seen(symbol):
            return []
        _, missing = self.missing(symbol)
        labels, runs = reference.expected(self.whole.segments, self.step), []
        for at in missing:
            if runs and labels.index(at) == labels.index(runs[-1][-1]) + 1:
                runs[-1].append(at)
            else:
                runs.append([at])
        kinds = ["opening" if run[0] == labels[0] else "closing" if run[-1] == labels[-1] else "inside" for run in runs]
        return [(kind, run[0], run[-1], len(run)) for kind, run in zip(kinds, runs, strict=True)]

    def quality(self, symbol):
        if not self.is_seen(symbol) or symbol in self.said:
            return self.said.get(symbol) if self.is_seen(symbol) else None
        due, missing = self.missing(symbol)
        return 100.0 * (len(due) - len(missing)) / len(due) if due else 100.0

    def running(self, symbol):
        own = [Row(bar[0], symbol, *bar[1:]) for bar in self.bars(symbol)]
        return reference.running(own)[-1][2:] if own else (0.0, None, None, None, 0)


class AgainstNaive(RuleBasedStateMachine):
    """Every read after every write and every move of the clock."""

    @initialize(case=generated(), hours=st.sampled_from(["regular", "extended"]), some=st.booleans())
    def begin(self, case, hours, some):
        whole, rows, symbols, step = case
        symbols = symbols[:5]
        rows = [row for row in rows if row.symbol in symbols]
        shifted = [row._replace(at=row.at - EARLIER) for row in rows if row.at < whole.close_at][:40]
        trailing = [[row._replace(at=row.at - EARLIER) for row in shifted], shifted] if step < EARLIER else []
        self.naive = Naive(whole, rows, symbols, step, hours, trailing)
        taken = symbols[::2] if some else symbols
        self.data, _ = made(whole, rows, symbols, step, hours=hours, trailing=trailing, taken=taken)
        self.naive.since = dict.fromkeys(taken)
        self.symbols, self.step = symbols, step

    @rule(bars=st.integers(0, 12), part=st.sampled_from([0, 0, 1]))
    def advance(self, bars, part):
        self.naive.now += bars * self.step + part * (self.step // 2)
        self.data.advance(self.naive.now)

    @rule(is_active=st.booleans())
    def activate(self, is_active):
        self.naive.is_active = is_active
        self.data.set_session_active(is_active)

    @rule(data=st.data(), from_open=st.booleans())
    def add(self, data, from_open):
        symbol = data.draw(st.sampled_from(self.symbols))
        if symbol not in self.naive.since:
            self.naive.since[symbol] = None if from_open else self.naive.now
        self.data.add_symbol(symbol.lower(), from_open=from_open)

    @rule(data=st.data())
    def remove(self, data):
        symbol = data.draw(st.sampled_from(self.symbols))
        held = self.data.get_symbol_data(symbol)
        was_in = self.naive.since.pop(symbol, "out") != "out"
        assert self.data.remove_symbol(symbol) == was_in
        assert held is None or (held.latest() is None and held.volume is None and held.history().rows == 0)

    @rule(data=st.data())
    def clear(self, data):
        symbol = data.draw(st.sampled_from([None, *self.symbols]))
        for each in self.symbols if symbol is None else [symbol]:
            if each in self.naive.since:
                self.naive.since[each] = self.naive.now + 1
        self.data.clear_session_bars(symbol)

    @rule(data=st.data())
    def clear_history(self, data):
        symbol = data.draw(st.sampled_from([None, *self.symbols]))
        for each in self.symbols if symbol is None else [symbol]:
            self.naive.past[each], self.naive.added[each] = [], []
        self.data.clear_historical_bars(symbol)

    @rule(data=st.data(), back=st.integers(1, 30))
    def append(self, data, back):
        symbol = data.draw(st.sampled_from(self.symbols))
        at = OPEN - back * self.step
        bar = Bar(symbol, at, 1.0, 2.0, 0.5, 1.5, 7.0, at + self.step)
        held = [row.at for part in self.naive.past[symbol] for row in part]
        held += [row[0] for row in self.naive.added[symbol]]
        if held and at <= held[-1]:
            with pytest.raises(StrategyError):
                self.data.append_bar(symbol, bar)
        else:
            self.naive.added[symbol].append((at, *bar[2:7]))
            self.data.append_bar(symbol, bar)

    @rule(data=st.data(), pct=st.sampled_from([None, 0.0, 55.5, 100.0]))
    def say_quality(self, data, pct):
        symbol = data.draw(st.sampled_from(self.symbols))
        self.naive.said.pop(symbol, None)
        if pct is not None:
            self.naive.said[symbol] = pct
        self.data.set_quality(symbol, pct)

    @rule(data=st.data(), value=st.floats(-10.0, 10.0), key=st.sampled_from(["avg", "range"]))
    def say_historical(self, data, value, key):
        symbol = data.draw(st.sampled_from(self.symbols))
        self.naive.historical[key, symbol] = value
        self.data.set_historical_indicator(symbol, key, value)

    @precondition(lambda self: self.naive.now > OPEN - 10 * self.step)
    @rule(count=st.integers(0, 7), back=st.integers(0, 12), sessions=st.sampled_from([None, 0, 1, 2, 3]))
    def read_parts(self, count, back, sessions):
        for symbol in self.symbols:
            assert listed(self.data.get_historical_bars(symbol, sessions)) == self.naive.history(symbol, sessions)
            for interval in (None, *self.naive.derived):
                bars = self.naive.bars(symbol, interval)
                last = bars[-count:] if count else []
                assert listed(self.data.get_last_n_bars(symbol, count, interval)) == last
                floor = self.naive.now - back * self.step
                since = [bar for bar in bars if bar[0] >= floor]
                assert listed(self.data.get_bars_since(symbol, floor, interval)) == since

    @invariant()
    def latest_and_running(self):
        data, naive = self.data, self.naive
        active = sorted(naive.since) if naive.is_active else []
        assert data.get_active_symbols() == active
        for symbol in self.symbols:
            seen = naive.is_seen(symbol)
            bars = naive.bars(symbol)
            latest = data.get_latest_bar(symbol)
            assert (latest and latest[1:7]) == (bars[-1] if bars else None)
            assert data.get_indicator(symbol, "close") == (bars[-1][4] if bars else None)
            assert data.get_indicator(symbol, "cold") is None
            assert data.get_bar_count(symbol) == len(bars)
            volume, high, low, vwap, count = naive.running(symbol)
            assert data.session_volume(symbol) == (volume if seen else None)
            assert (data.session_high(symbol), data.session_low(symbol)) == (high, low)
            assert data.get_quality_metric(symbol) == naive.quality(symbol)
            assert [tuple(gap) for gap in data.get_gaps(symbol)] == naive.gaps(symbol)
            last_update = bars[-1][0] if bars else None
            expected = (volume, high, low, vwap, count, naive.quality(symbol), last_update) if seen else None
            assert data.get_session_metrics(symbol) == expected
            held = {key: value for (key, name), value in naive.historical.items() if name == symbol and seen}
            assert data.get_all_historical_indicators(symbol) == held

    @invariant()
    def every_bar(self):
        for symbol in self.symbols[:2]:
            for interval in (None, *self.naive.derived):
                part = self.data.get_bars(symbol, interval)
                assert listed(part) == self.naive.bars(symbol, interval)
                assert nothing_later(part, self.naive.now)


def nothing_later(part, now):
    """True if what a slice is a view of, all of it, holds no bar labelled `now` or later."""
    column = part.timestamp
    while isinstance(column.base, np.ndarray):
        column = column.base
    return not (column >= now).any() if column.dtype == np.int64 else False


TestAgainstNaive = AgainstNaive.TestCase


def paper():
    rows = [
        Row(OPEN, "A", 10.0, 12.0, 9.0, 11.0, 100.0),
        Row(OPEN + MINUTE, "A", 11.0, 11.5, 8.0, 8.5, 50.0),
        Row(OPEN + 3 * MINUTE, "A", 9.0, 13.0, 9.0, 12.5, 50.0),
    ]
    return made(session(10), rows, ["A", "B"], MINUTE)[0]


def test_a_session_small_enough_for_paper():
    data = paper()
    assert data.get_latest_bar("A") is None
    assert data.get_session_metrics("A") == (0.0, None, None, None, 0, 100.0, None)

    data.advance(OPEN + MINUTE - 1)
    assert data.get_bar_count("A") == 0

    data.advance(OPEN + MINUTE)
    assert data.get_latest_bar("a") == ("A", OPEN, 10.0, 12.0, 9.0, 11.0, 100.0, OPEN + MINUTE)

    data.advance(OPEN + 4 * MINUTE)
    assert data.get_last_n_bars("A", 2).close.tolist() == [8.5, 12.5]
    assert data.get_gaps("A") == [("inside", OPEN + 2 * MINUTE, OPEN + 2 * MINUTE, 1)]
    assert data.get_quality_metric("A") == 75.0
    assert (data.session_volume("A"), data.session_high("A"), data.session_low("A")) == (200.0, 13.0, 8.0)
    assert data.get_latest_bar("A", "5m") is None
    assert data.get_gaps("B") == [("opening", OPEN, OPEN + 3 * MINUTE, 4)]

    data.advance(OPEN + 5 * MINUTE)
    assert data.get_latest_bar("A", "5m").close == 12.5
    assert data.get_latest_bars_multi(["A", "B"], "5m")["B"] is None


def test_the_clock_goes_forward_only():
    data = paper()
    data.advance(OPEN + MINUTE)
    with pytest.raises(StrategyError, match="forward only"):
        data.advance(OPEN)


def test_slices_cannot_be_written_and_keep_what_they_showed():
    data = paper()
    data.advance(OPEN + MINUTE)
    part = data.get_bars("A")
    data.advance(OPEN + 4 * MINUTE)
    data.get_bars("A")

    assert part.close.tolist() == [11.0]
    with pytest.raises(ValueError, match="read-only"):
        part.close[0] = 1.0


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda data: data.get_latest_bar("AX"), "did you mean A"),
        (lambda data: data.get_latest_bar("A", "7m"), "'7m' is not an interval"),
        (lambda data: data.get_indicator("A", "sma_9"), "it has close, cold"),
        (lambda data: data.get_historical_indicator("A", "atr"), "it has none"),
        (lambda data: data.set_quality("A", 101.0), "expected 0 to 100"),
        (lambda data: data.append_bar("A", Bar("A", OPEN, 1.0, 1.0, 1.0, 1.0, 1.0, OPEN + MINUTE)), "no history"),
    ],
)
def test_what_cannot_be_is_said(call, words):
    with pytest.raises(StrategyError, match=words):
        call(paper())


def test_a_locked_symbol_stays():
    data = paper()
    data.lock_symbol("A")
    with pytest.raises(StrategyError, match="locked"):
        data.remove_symbol("A")
    data.unlock_symbol("A")

    assert data.remove_symbol("A")
    assert not data.is_symbol_locked("A")
    assert math.isclose(data.get_quality_metric("B"), 100.0)
