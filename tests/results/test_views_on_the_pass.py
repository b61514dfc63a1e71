"""Views of time held against the pass: quality so far and missing minutes, around breaks and outside hours too."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime
from typing import Any

import pytest
from hypothesis import given, settings

from backtester.data import calendar
from backtester.data.calendar import Session
from backtester.interval import Interval
from backtester.results import views
from backtester.results.verify import session_violations, uncommitted
from tests import reference
from tests.reference import Row
from tests.sessions import DAY, INTERVALS, MINUTE, generated, pass_tables

Rows = list[dict[str, Any]]


def asked(session: Session, rows: list[Row], symbols: list[str], step: int, hours: str) -> tuple[Rows, Rows]:
    """`timeline` and `gap_profile` of one session."""
    source = Interval.parse(INTERVALS[step][0])
    tables = pass_tables(session, rows, symbols, source, hours)
    with views.connect(views.Resources(memory_bytes=1 << 30, threads=2)) as connection:
        stored = uncommitted(tables, session.date, interval=str(source), hours=hours)
        views.attach(connection, stored, views.needed({"timeline", "gap_profile"})[0])
        timeline = connection.sql("from timeline order by timestamp, symbol").to_arrow_table().to_pylist()
        profile = connection.sql("from gap_profile").to_arrow_table().to_pylist()
    return timeline, profile


def over_at(at: int, session: Session, step: int, hours: str) -> int:
    """When a bar is known: in regular hours, and for daily bars, the close cuts it, and the break an intraday one."""
    if step == DAY:
        return session.close_at
    ends = [end for start, end in session.segments if start <= at < end and hours == "regular"]
    return min([at + step, *ends])


def expected_timeline(session: Session, rows: list[Row], step: int, hours: str) -> list[tuple[Any, ...]]:
    """(timestamp, symbol, known_at, expected_bars, missing_bars) of each row in regular hours, counted one by one."""
    labels, out = reference.expected(session.segments, step), []
    for row in sorted(rows, key=lambda row: (row.at, row.symbol)):
        if reference.in_hours(row.at, session.segments):
            so_far = [at for at in labels if at <= row.at]
            present = {each.at for each in rows if each.symbol == row.symbol}
            missing = sum(at not in present for at in so_far)
            out.append((row.at, row.symbol, over_at(row.at, session, step, hours), len(so_far), missing))
    return out


def found_timeline(rows: Rows) -> list[tuple[Any, ...]]:
    return [
        (_us(row["timestamp"]), row["symbol"], _us(row["known_at"]), row["expected_bars"], row["missing_bars"])
        for row in rows
    ]


def _us(instant: datetime) -> int:
    return int(instant.timestamp()) * 1_000_000 + instant.microsecond


def expected_profile(session: Session, rows: list[Row], symbols: list[str], step: int) -> dict[int, int]:
    """Missing bars by minute since the open, counted one by one."""
    labels = reference.expected(session.segments, step)
    present = {(row.at, row.symbol) for row in rows}
    return Counter(
        (at - session.open_at) // MINUTE for at in labels for symbol in symbols if (at, symbol) not in present
    )


def found_profile(rows: Rows) -> dict[int, int]:
    found: Counter[int] = Counter()
    for row in rows:
        found[row["session_minute"]] += row["missing_bars"]
    return found


@pytest.mark.parametrize("hours", ["regular", "extended"])
@settings(max_examples=max(settings().max_examples // 3, 1))
@given(generated())
def test_the_views_count_what_one_counts_by_hand(hours: str, drawn: Any) -> None:
    session, rows, symbols, step = drawn

    timeline, profile = asked(session, rows, symbols, step, hours)

    assert found_timeline(timeline) == expected_timeline(session, rows, step, hours)
    assert found_profile(profile) == expected_profile(session, rows, symbols, step)
    for row in timeline:
        share = row["expected_bars"] and 1.0 - row["missing_bars"] / row["expected_bars"]
        assert row["quality_pct"] == (pytest.approx(100.0 * share) if row["expected_bars"] else None)


SESSIONS = [
    ("XHKG", "2025-12-23", "1m", 330),
    ("XHKG", "2025-12-24", "1m", 150),
    ("XTKS", "2024-11-01", "5m", 60),
    ("XTKS", "2024-11-05", "1m", 330),
]


@pytest.mark.parametrize("hours", ["regular", "extended"])
@pytest.mark.parametrize(("exchange", "day", "interval", "bars"), SESSIONS)
def test_a_gap_over_lunch_misses_no_bar_of_it(exchange: str, day: str, interval: str, bars: int, hours: str) -> None:
    session = calendar.load(exchange).session(date.fromisoformat(day))
    step = Interval.parse(interval).us
    labels = list(range(session.open_at, session.close_at, step))
    lunch = range(session.break_start_at or 0, session.break_end_at or 0)
    # A trades in lunch too and lacks the half hours around it; B lacks the open; C has no bar.
    around = range(lunch.start - 30 * MINUTE, lunch.stop + 30 * MINUTE)
    rows = [Row(at, "A", 10.0, 11.0, 9.0, 10.0, 1.0) for at in labels if at not in around or at in lunch]
    rows += [Row(at, "B", 10.0, 11.0, 9.0, 10.0, 1.0) for at in labels[2:] if at not in lunch]

    timeline, profile = asked(session, rows, ["A", "B", "C"], step, hours)
    tables = pass_tables(session, rows, ["A", "B", "C"], Interval.parse(interval), hours)

    assert len(reference.expected(session.segments, step)) == bars
    assert found_timeline(timeline) == expected_timeline(session, rows, step, hours)
    assert found_profile(profile) == expected_profile(session, rows, ["A", "B", "C"], step)
    assert not {minute for minute in found_profile(profile) if session.open_at + minute * MINUTE in lunch}
    assert session_violations(tables, session.date, interval=interval, hours=hours) == []
