"""Row rules: each broken rule is named once, first things first, and shown with its place."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.data import checks
from backtester.interval import Interval

OPEN_AT = dt.datetime(2025, 7, 2, 13, 30, tzinfo=dt.UTC)
NAMES = ["AAA", "BBB", "", "bad\n", "x" * 65]
SHAPE = {
    "file": pl.UInt32,
    "row": pl.Int64,
    "symbol": pl.Int32,
    "label": pl.String,
    "open": pl.Float64,
    "high": pl.Float64,
    "low": pl.Float64,
    "close": pl.Float64,
    "volume": pl.Float64,
    "unreadable": pl.String,
    "timestamp": pl.Datetime("us", "UTC"),
    "fault": pl.String,
    "is_known": pl.Boolean,
    "session": pl.Date,
    "since_open_us": pl.Int64,
}


def row(minute: float = 0, **changes: Any) -> dict[str, Any]:
    """A good bar `minute` minutes after the open, with what a test changes of it."""
    bar = {"open": 10.0, "high": 11.0, "low": 9.0, "close": 10.5, "volume": 100.0}
    place = {"file": 0, "row": 1, "symbol": 0, "label": None, "unreadable": None, "fault": None, "is_known": True}
    at = OPEN_AT + dt.timedelta(minutes=minute)
    time = {"timestamp": at, "session": dt.date(2025, 7, 2), "since_open_us": int(minute * 60_000_000)}
    return place | bar | time | changes


def frame(*rows: dict[str, Any]) -> pl.DataFrame:
    numbered = [one | {"row": number} for number, one in enumerate(rows, start=1)]
    return pl.DataFrame(numbered, schema=SHAPE)


def reasons(*rows: dict[str, Any], interval: str = "1m", allow_nonpositive: bool = False) -> list[str | None]:
    found = checks.reasons(frame(*rows), NAMES, interval=Interval.parse(interval), allow_nonpositive=allow_nonpositive)
    return found.to_list()


def test_good_bars_break_no_rule():
    assert reasons(row(0), row(1), row(2, volume=0.0), row(3, open=9.0, high=9.0, low=9.0, close=9.0)) == [None] * 4


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"unreadable": "line '1,2'", "fault": "unreadable time", "timestamp": None}, checks.WRONG_FIELDS),
        ({"fault": "unreadable time", "timestamp": None}, "unreadable time"),
        ({"fault": "local time occurs twice", "timestamp": None}, "local time occurs twice"),
        ({"unreadable": "high 'x'", "high": None}, checks.UNREADABLE_NUMBER),
        ({"symbol": None}, checks.UNREADABLE_SYMBOL),
        ({"symbol": 2}, checks.UNREADABLE_SYMBOL),
        ({"symbol": 3}, checks.UNREADABLE_SYMBOL),
        ({"symbol": 4}, checks.UNREADABLE_SYMBOL),
        ({"close": math.nan}, checks.NOT_FINITE),
        ({"high": math.inf}, checks.NOT_FINITE),
        ({"volume": math.nan}, checks.NOT_FINITE),
        ({"volume": -1.0}, checks.NEGATIVE_VOLUME),
        ({"low": 0.0}, checks.NOT_POSITIVE),
        ({"low": -37.63}, checks.NOT_POSITIVE),
        ({"high": 8.0}, checks.IMPOSSIBLE),
        ({"open": 11.5}, checks.IMPOSSIBLE),
        ({"close": 8.5}, checks.IMPOSSIBLE),
        ({"session": None}, checks.OUTSIDE_SESSIONS),
        ({"session": None, "is_known": False}, checks.OUTSIDE_CALENDAR),
        ({"since_open_us": 30_000_000}, checks.OFF_GRID),
    ],
)
def test_a_broken_rule_is_named(changes, reason):
    assert reasons(row(0), row(1, **changes), row(2)) == [None, reason, None]


def test_negative_prices_pass_where_the_instrument_may_trade_there():
    wti = row(0, open=-30.0, high=-20.0, low=-40.0, close=-37.63)

    assert reasons(wti, allow_nonpositive=True) == [None]


@pytest.mark.parametrize(("interval", "minutes"), [("5m", [0, 5, -5]), ("60m", [0, 60, -60]), ("1s", [0.5, 1 / 60])])
def test_the_grid_begins_at_the_open(interval, minutes):
    assert reasons(*(row(minute) for minute in sorted(minutes)), interval=interval) == [None] * len(minutes)


def test_clock_hours_are_off_the_grid_of_a_session_that_opens_at_half_past():
    assert reasons(row(0), row(30), interval="60m") == [None, checks.OFF_GRID]


def test_daily_bars_have_no_grid():
    assert reasons(row(7.3), interval="1d") == [None]


def test_rows_earlier_than_one_before_them_are_out_of_order():
    assert reasons(row(0), row(5), row(3), row(4), row(6)) == [
        None,
        None,
        checks.OUT_OF_ORDER,
        checks.OUT_OF_ORDER,
        None,
    ]


def test_order_is_kept_by_each_symbol_in_each_file():
    rows = [row(5), row(3, symbol=1), row(4, symbol=1), row(2, file=1), row(6)]

    assert reasons(*rows) == [None] * 5


def test_repeats_tell_identical_from_conflicting_and_keep_the_first():
    rows = [row(0), row(0), row(0, close=10.6), row(0, symbol=1), row(0, file=1)]

    assert reasons(*rows) == [
        None,
        checks.IDENTICAL_REPEAT,
        checks.CONFLICTING_REPEAT,
        None,
        checks.IDENTICAL_REPEAT,
    ]


def test_a_bar_may_follow_a_faulty_row_of_the_same_label():
    assert reasons(row(0, high=8.0), row(0), row(0)) == [checks.IMPOSSIBLE, None, checks.IDENTICAL_REPEAT]


def test_faults_are_counted_and_the_first_three_shown():
    rows = frame(row(0), *(row(k, volume=-1.0 * k) for k in range(1, 6)), row(7, high=8.0))
    found = checks.reasons(rows, NAMES, interval=Interval.parse("1m"), allow_nonpositive=False)
    rejected = rows.with_columns(found.alias("reason")).filter(found.is_not_null())

    first, second = checks.summarise(rejected, files=["a.csv"], names=NAMES)

    assert (first.reason, first.rows, len(first.samples)) == (checks.NEGATIVE_VOLUME, 5, 3)
    assert (second.reason, second.rows) == (checks.IMPOSSIBLE, 1)
    assert str(first.samples[0]) == (
        "a.csv row 2 (2025-07-02 13:31:00Z): 'AAA' open 10.0 high 11.0 low 9.0 close 10.5 volume -1.0"
    )
    assert "open and close lie outside [low, high]" in str(second)


def test_an_unreadable_row_is_shown_as_the_vendor_wrote_it():
    rows = frame(row(0, fault="unreadable time", timestamp=None, label="25:61"), row(1, unreadable="high '1,5'"))
    rejected = rows.with_columns(pl.Series("reason", ["unreadable time", checks.UNREADABLE_NUMBER]))

    time, number = checks.summarise(rejected, files=["a.csv"], names=NAMES)

    assert "(25:61)" in str(time.samples[0])
    assert str(number.samples[0]) == "a.csv row 2 (2025-07-02 13:31:00Z): high '1,5'"


def test_a_year_that_python_cannot_hold_is_shown_all_the_same():
    far = pl.Series([-126_000_000_000_000_000, 300_000_000_000_000_000], dtype=pl.Int64).cast(pl.Datetime("us", "UTC"))
    rows = frame(row(0), row(1)).with_columns(far.alias("timestamp"), pl.lit("x").alias("reason"))

    (fault,) = checks.summarise(rows, files=["a.csv"], names=NAMES)

    assert [sample.time.rsplit("-", 2)[0] for sample in fault.samples] == ["-2023", "+11476"]


def test_faults_of_batches_are_added():
    sample = checks.Sample("a.csv", 1, "t", "v")
    merged = checks.merge(
        [checks.Fault("x", 2, (sample,) * 2), checks.Fault("y", 1, (sample,))], [checks.Fault("y", 4, (sample,) * 3)]
    )

    assert [(fault.reason, fault.rows, len(fault.samples)) for fault in merged] == [("y", 5, 3), ("x", 2, 2)]


def _slow(rows: list[dict[str, Any]]) -> list[str | None]:
    """Order and repeats in plain Python."""
    latest: dict[tuple[int, int], dt.datetime] = {}
    seen: dict[tuple[int, dt.datetime], float] = {}
    found: list[str | None] = []
    for one in rows:
        key, label = (one["file"], one["symbol"]), (one["symbol"], one["timestamp"])
        if key in latest and one["timestamp"] < latest[key]:
            found.append(checks.OUT_OF_ORDER)
            continue
        latest[key] = one["timestamp"]
        if label in seen:
            found.append(checks.IDENTICAL_REPEAT if seen[label] == one["volume"] else checks.CONFLICTING_REPEAT)
            continue
        seen[label] = one["volume"]
        found.append(None)
    return found


@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1), st.integers(0, 4), st.integers(1, 2)), max_size=25))
def test_order_and_repeats_agree_with_the_rule_in_plain_python(drawn):
    rows = [row(minute, file=file, symbol=symbol, volume=float(volume)) for file, symbol, minute, volume in drawn]

    assert reasons(*rows) == _slow(rows)
