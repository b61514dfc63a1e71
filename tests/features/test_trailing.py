"""Historical indicators: windows by the calendar against a naive twin, exact sums, and nothing of this session."""

import datetime as dt
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester.data import calendar as calendars
from backtester.data.calendar import NO_BREAK, Calendar, SessionColumns
from backtester.features.trailing import Trailing, calendar_reach
from backtester.features.trailing_bars import Periods, dense, merged
from backtester.features.trailing_catalog import Use
from backtester.features.trailing_formulas import FORMULAS, sums
from backtester.interval import Interval
from tests import reference_trailing as twin
from tests.reference import Row
from tests.sessions import MINUTE, generated, pass_tables, table

M1, M3, DAY = Interval.parse("1m"), Interval.parse("3m"), Interval.parse("1d")
FIRST = dt.date(2024, 1, 1)


def uses(name="", **given):
    """Uses of every kind, small windows."""
    common = {"source": M1, "params": {"threshold": 0.01}}
    found = [
        Use(f"{name}_{unit}_{window}_{interval}", name, unit, window, interval=interval, **common, **given)
        for name in FORMULAS
        for unit, window, interval in [
            ("sessions", 1, DAY),
            ("sessions", 5, DAY),
            ("weeks", 2, DAY),
            ("bars", 7, M1),
            ("bars", 5, M3),
            ("bars", 3, DAY),
        ]
        if not (unit == "weeks" and name in ("atr_daily", "gap_stats"))
    ]
    kinds = [("volume_profile", "zero"), ("volume_profile", "skip"), ("volume_profile", "require")]
    for kind, missing in [*kinds, ("cumulative_volume", "skip")]:
        for step, skipped in ((M1, False), (M3, True)):
            key = f"{kind}_{missing}_{step}_{skipped}"
            found.append(Use(key, kind, "sessions", 4, M1, step, missing, skipped))
    return found


def small_calendar(draw):
    """Some weeks of short sessions: holidays, early closes, a break on some days."""
    days, opens, closes, starts, ends, early = [], [], [], [], [], []
    day = FIRST
    for _ in range(35):
        day += dt.timedelta(days=1)
        if day.weekday() >= 5 or draw(st.integers(0, 9)) == 0:
            continue
        kind = draw(st.sampled_from(["full", "full", "full", "early", "break"]))
        open_at = int(dt.datetime.combine(day, dt.time(14, 30), dt.UTC).timestamp() * 1e6)
        days.append(day)
        opens.append(open_at)
        closes.append(open_at + (5 if kind == "early" else 11) * MINUTE)
        starts.append(open_at + 4 * MINUTE if kind == "break" else NO_BREAK)
        ends.append(open_at + 6 * MINUTE if kind == "break" else NO_BREAK)
        early.append(kind == "early")
    columns = SessionColumns(
        np.array(days, dtype="datetime64[D]"),
        *(np.array(values, dtype=np.int64) for values in (opens, closes, starts, ends)),
        np.array(early),
    )
    return Calendar("TEST", "UTC", FIRST, FIRST + dt.timedelta(days=40), columns)


@st.composite
def histories(draw):
    """(calendar, symbols, rows by session date), sessions missing, symbols listed late, fractional volumes or not."""
    calendar = small_calendar(draw)
    symbols = [f"S{k}" for k in range(draw(st.integers(1, 3)))]
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    share, whole = draw(st.sampled_from([0.0, 0.3, 0.8])), draw(st.booleans())
    listed = {symbol: int(random.integers(0, 12)) if random.random() < 0.4 else 0 for symbol in symbols}
    found = {}
    for rank, session in enumerate(calendar.sessions(calendar.first, calendar.last)):
        if random.random() < 0.15:
            continue
        rows = []
        for at in range(session.open_at - MINUTE, session.close_at + MINUTE, MINUTE):
            for symbol in symbols:
                if rank < listed[symbol] or random.random() < share:
                    continue
                low, high = sorted(random.integers(900, 1100, 2).tolist())
                opened, closed = random.integers(low, high + 1, 2).tolist()
                volume = float(random.integers(0, 5000)) / (1 if whole else 1000)
                rows.append(Row(at, symbol, *(cents / 100 for cents in (opened, high, low, closed)), volume))
        found[session.date] = rows
    return calendar, symbols, found


def reader(symbols, rows):
    def read(session, interval):
        held = rows.get(session.date)
        return (None if held is None else table(held, symbols)[0]), []

    return read


def of_symbol(rows, symbol):
    return {day: [row for row in held if row.symbol == symbol] for day, held in rows.items()}


def same(found, expected):
    assert (math.isnan(found) and expected is None) or found == expected, (found, expected)


@settings(max_examples=settings.default.max_examples // 3)
@given(histories())
def test_every_window_is_that_of_a_walk_back_through_the_calendar(history):
    calendar, symbols, rows = history
    sessions = calendar.sessions(calendar.first, calendar.last)
    run = sessions[16:]
    if not run:
        return
    random, asked = np.random.default_rng(0), uses()
    trailing = Trailing(
        asked, calendar_reach(asked, calendar, run[0].date, run[-1].date), symbols, reader(symbols, rows)
    )
    for session in run:
        found = trailing.at(session.date)
        if random.random() < 0.7:
            continue  # moved on, but too slow to compare every one
        for row in found.rows:
            for column, symbol in enumerate(symbols):
                own = of_symbol(rows, symbol)
                expected, used = twin.value(row.use, twin.window(row.use, calendar, session.date, own))
                assert row.used[column] == used, row.use
                for output, value in expected.items():
                    same(row.values[output][column], value)
        for profile in found.profiles:
            use = next(use for use in asked if use.key == profile.key)
            for column, symbol in enumerate(symbols):
                expected = twin.profile(use, calendar, session.date, of_symbol(rows, symbol))
                assert len(expected) == len(profile.values)
                for slot, (value, used) in enumerate(expected):
                    assert profile.used[slot, column] == used
                    same(profile.values[slot, column], value)


def flat(found):
    parts = [np.concatenate([*row.values.values(), row.used]).tobytes() for row in found.rows]
    return parts + [profile.values.tobytes() + profile.used.tobytes() for profile in found.profiles]


@settings(max_examples=settings.default.max_examples // 3)
@given(histories(), st.data())
def test_jumps_feeding_and_other_symbols_change_no_bit(history, data):
    calendar, symbols, rows = history
    run = calendar.sessions(calendar.first, calendar.last)[16:]
    if not run:
        return
    asked = uses()
    reach = calendar_reach(asked, calendar, run[0].date, run[-1].date)
    in_order = Trailing(asked, reach, symbols, reader(symbols, rows))
    fed = Trailing(asked, reach, symbols, reader(symbols, rows))
    jumping = Trailing(asked, reach, symbols, reader(symbols, rows))
    alone = Trailing(asked, reach, symbols[:1], reader(symbols[:1], {d: of_symbol(rows, "S0")[d] for d in rows}))
    expected = {}
    for session in run:
        expected[session.date] = flat(in_order.at(session.date))
        assert flat(fed.at(session.date)) == expected[session.date]
        fed.feed(session.date, M1, reader(symbols, rows)(session, M1)[0] or table([], symbols)[0], [])
        own = alone.at(session.date)
        for row, other in zip(own.rows, in_order.at(session.date).rows, strict=True):
            assert all(row.values[key][0].tobytes() == other.values[key][0].tobytes() for key in row.values)
    for session in data.draw(st.permutations(run)):
        assert flat(jumping.at(session.date)) == expected[session.date]


@given(histories(), st.sampled_from([math.nan, 1.5, "random"]))
def test_a_poisoned_future_changes_no_bit(history, poison):
    calendar, symbols, rows = history
    run = calendar.sessions(calendar.first, calendar.last)[16:]
    if not run:
        return
    asked = uses()
    day = run[len(run) // 2].date
    random = np.random.default_rng(0)
    poisoned = {}
    for each, held in rows.items():
        factors = [float(random.random()) if poison == "random" else poison for _ in held]
        changed = [Row(r.at, r.symbol, *(v * f for v in r[2:])) for r, f in zip(held, factors, strict=True)]
        poisoned[each] = changed if each >= day else held
    reach = calendar_reach(asked, calendar, run[0].date, run[-1].date)
    found, other = (Trailing(asked, reach, symbols, reader(symbols, each)) for each in (rows, poisoned))

    assert flat(found.at(day)) == flat(other.at(day))


@given(generated())
def test_a_daily_bar_is_the_session_summary(made):
    session, rows, symbols, step = made
    source = Interval.parse({1_000_000: "1s", MINUTE: "1m", 5 * MINUTE: "5m"}.get(step, "1d"))
    day = dense(table(rows, symbols)[0], session, interval=source, position={s: k for k, s in enumerate(symbols)})
    daily = merged(day.bars, [0])
    for column, row in enumerate(pass_tables(session, rows, symbols, source, "regular")["session_summary"].to_pylist()):
        own = [None if math.isnan(values[0, column]) else values[0, column] for values in daily]
        assert own == [row[name] if row["open"] is not None else None for name in Periods._fields]
        assert (day.counts[column], day.expected) == (row["bars"], row["expected_bars"])


@given(st.lists(st.floats(-1e9, 1e9, allow_subnormal=False).map(lambda v: round(v, 4)), min_size=1, max_size=300))
def test_sums_are_rounded_once(values):
    assert sums(np.array(values).reshape(-1, 1))[0] == math.fsum(values)


def test_a_small_case_on_paper():
    open_, high, low = [10.0, 11.0, 12.0], [11.0, 12.5, 12.0], [9.0, 10.5, 11.0]
    window = Periods(
        *(np.array(each).reshape(3, 1) for each in (open_, high, low, [10.0, 12.0, 11.5], [1.0, 2.0, 6.0]))
    )

    assert FORMULAS["avg_volume"](window, {}).outputs[""][0] == 3.0
    assert FORMULAS["avg_range"](window, {}).outputs[""][0] == 5.0 / 3.0
    assert FORMULAS["range_ratio"](window, {}).outputs[""][0] == 1.0 / (5.0 / 3.0)
    assert FORMULAS["high_low"](window, {}).outputs == {"high": [12.5], "low": [9.0]}
    assert FORMULAS["atr_daily"](window, {}).outputs[""][0] == (2.5 + 1.0) / 2.0  # max(2, 2.5, .5), max(1, 0, 1)
    moved = FORMULAS["gap_stats"](window, {"threshold": 0.5}).outputs
    assert {key: value[0] for key, value in moved.items()} == {
        "avg_move": 0.5,
        "avg_move_frac": 0.05,
        "moves": 1.0,
        "up_moves": 1.0,
        "down_moves": 0.0,
    }


@pytest.mark.parametrize(
    ("day", "count", "first", "last"),
    [
        ("2025-06-30", 5, "2025-06-23", "2025-06-27"),  # a Monday
        ("2025-07-07", 3, "2025-07-01", "2025-07-03"),  # the day after a holiday, a half day in the window
        ("2024-11-29", 1, "2024-11-27", "2024-11-27"),  # a half day after Thanksgiving
    ],
)
def test_windows_are_whole_after_weekends_and_holidays(day, count, first, last):
    use = Use("k", "avg_volume", "sessions", count, M1, DAY)
    date = dt.date.fromisoformat(day)
    reach = calendar_reach([use], calendars.load("XNYS"), date, date)
    row = Trailing([use], reach, ["A"], lambda *_: (None, [])).at(date).rows[0]

    assert [str(session.date) for session in (row.sessions[0], row.sessions[-1])] == [first, last]
    assert len(row.sessions) == count
    assert (row.used[0], row.sessions_used[0], math.isnan(row.values[""][0])) == (0, 0, True)


def test_a_year_of_weeks_reaches_364_days():
    use = Use("k", "high_low", "weeks", 52, M1, DAY)
    date = dt.date(2024, 12, 31)
    reach = calendar_reach([use], calendars.load("XNYS"), date, date)
    row = Trailing([use], reach, ["A"], lambda *_: (None, [])).at(date).rows[0]

    assert str(row.sessions[0].date) == "2024-01-02"
    assert len(row.sessions) == 251
