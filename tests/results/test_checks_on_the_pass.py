"""The checks held against the pass itself: none fires on what it computes, each rule of time on what it must not."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings

from backtester.interval import Interval
from backtester.results.verify import session_violations
from tests.reference import Row
from tests.sessions import INTERVALS, MINUTE, OPEN, generated, pass_tables
from tests.sessions import session as session_of


@pytest.mark.parametrize("hours", ["regular", "extended"])
@settings(max_examples=max(settings().max_examples // 6, 1))
@given(generated())
def test_no_check_fires_on_what_the_pass_computes(hours: str, drawn: Any) -> None:
    session, rows, symbols, step = drawn
    source = Interval.parse(INTERVALS[step][0])
    tables = pass_tables(session, rows, symbols, source, hours)

    assert session_violations(tables, session.date, interval=str(source), hours=hours) == []


def test_a_daily_bar_of_extended_hours_must_not_be_known_at_the_close(edit: Any) -> None:
    session = session_of(60)
    rows = [Row(OPEN + t * MINUTE, "A", 10.0, 11.0, 9.0, 10.0, 1.0) for t in range(-5, 70)]
    tables = pass_tables(session, rows, ["A"], Interval.parse("1m"), "extended")
    ask = partial(session_violations, interval="1m", hours="extended")
    early = edit(
        tables["derived_bars"], {"interval": "1d"}, known_at=datetime.fromtimestamp(session.close_at / 1e6, UTC)
    )

    assert ask(tables, session.date) == []
    assert [text.partition(":")[0] for text in ask(tables | {"derived_bars": early}, session.date)] == [
        "derived_known_at"
    ]
