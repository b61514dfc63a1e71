"""The rows a run decides on: known when their bar is over, counted by what was expected so far."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.data.columns import symbols_of
from backtester.features.intraday import derived_table, run_pass
from backtester.features.rows import rows_of
from backtester.interval import Interval
from tests.reference import Row
from tests.sessions import INTERVALS, MINUTE, OPEN, generated, session, table


def rows(whole, bars, symbols, *, interval="1m", source="1m", hours="regular"):
    interval, source = Interval.parse(interval), Interval.parse(source)
    derived = [interval] if interval != source else []
    done = run_pass(table(bars, symbols)[0], whole, interval=source, derived=derived, hours=hours)
    return rows_of(done, whole, derived, interval)


def bar(minute, symbol, close=10.0, volume=100.0):
    return Row(OPEN + minute * MINUTE, symbol, close, close, close, close, volume)


def test_a_session_of_two_symbols_by_hand():
    whole = session(4)
    # A misses minute 1, B begins at minute 2 and misses the last.
    found = rows(whole, [bar(0, "A"), bar(2, "A"), bar(3, "A"), bar(2, "B")], ["A", "B"])

    assert found.label.tolist() == [0, 2, 2, 3]
    assert found.codes.tolist() == [0, 0, 1, 0]
    assert ((found.known_at - OPEN) // MINUTE).tolist() == [1, 3, 3, 4]
    assert found.missing_before.tolist() == [0, 1, 2, 0]
    assert found.missing_after.tolist() == [1, 0, 1, 0]
    np.testing.assert_allclose(found.quality_pct, [100.0, 200 / 3, 100 / 3, 75.0])


def test_a_last_bar_cut_short_by_the_close_is_known_at_the_close():
    whole = session(7)._replace(close_at=OPEN + 7 * MINUTE - MINUTE // 2)

    found = rows(whole, [bar(5, "A"), bar(6, "A")], ["A"])

    assert (found.known_at - OPEN).tolist() == [6 * MINUTE, 7 * MINUTE - MINUTE // 2]
    assert found.quality_pct.tolist() == [100 / 6, 100 / 6]


@pytest.mark.parametrize(("hours", "over"), [("regular", 390), ("extended", 390 + 480)])
def test_daily_bars_are_known_when_their_hours_are_over(hours, over):
    found = rows(session(390), [bar(0, "A")], ["A"], interval="1d", source="1d", hours=hours)

    assert found.known_at.tolist() == [OPEN + over * MINUTE]
    assert found.quality_pct.tolist() == [100.0]


def test_no_bar_is_no_row():
    assert len(rows(session(4), [], ["A"]).label) == 0


def reference(whole, bars, symbols, found):
    """missing before, missing after and quality of each row, by counting."""
    expected = found.grid.expected_labels.tolist()
    present = {(row.at, row.symbol) for row in bars}
    ordered = sorted((row for row in bars if row.at in set(found.grid.labels.tolist())), key=lambda r: (r.at, r.symbol))
    for row in ordered:
        counts = []
        for step in (-1, 1):
            missing = 0
            if row.at in expected:
                place = expected.index(row.at) + step
                while 0 <= place < len(expected) and (expected[place], row.symbol) not in present:
                    missing, place = missing + 1, place + step
            counts.append(missing)
        so_far = [at for at in expected if at <= row.at]
        there = sum((at, row.symbol) in present for at in so_far)
        yield row, *counts, 100.0 * there / len(so_far) if so_far else 100.0


@given(generated(), st.sampled_from(["regular", "extended"]))
def test_rows_agree_with_counting(case, hours):
    whole, bars, symbols, step = case
    source = INTERVALS[step][0]
    found = rows(whole, bars, symbols, interval=source, source=source, hours=hours)

    wanted = list(reference(whole, bars, symbols, found))
    assert found.timestamps.tolist() == [row.at for row, *_ in wanted]
    assert [symbols[code] for code in found.codes] == [row.symbol for row, *_ in wanted]
    assert found.bars.close.tolist() == [row.close for row, *_ in wanted]
    assert found.missing_before.tolist() == [before for _, before, _, _ in wanted]
    assert found.missing_after.tolist() == [after for _, _, after, _ in wanted]
    np.testing.assert_array_equal(found.quality_pct, [quality for *_, quality in wanted])


@given(generated())
def test_a_derived_interval_gives_the_rows_its_stored_bars_would(case):
    whole, bars, symbols, step = case
    source = Interval.parse(INTERVALS[step][0])
    if step != MINUTE:
        return
    wider = Interval.parse("5m")
    done = run_pass(table(bars, symbols)[0], whole, interval=source, derived=[wider])
    stored = derived_table(done, [wider])
    names = symbols_of(table(bars, symbols)[0]).to_pylist()
    derived = [
        Row(at, symbol, *prices)
        for at, symbol, *prices in zip(
            stored["timestamp"].cast("int64").to_pylist(),
            stored["symbol"].to_pylist(),
            *(stored[name].to_pylist() for name in ("open", "high", "low", "close", "volume")),
            strict=True,
        )
    ]

    one = rows_of(done, whole, [wider], wider)
    two = rows(whole, derived, names, interval="5m", source="5m")

    for name in ("label", "codes", "label_known_at", "missing_before", "missing_after", "quality_pct"):
        np.testing.assert_array_equal(getattr(one, name), getattr(two, name))
    for left, right in zip((*one.bars, *one.running), (*two.bars, *two.running), strict=True):
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("hours", ["regular", "extended"])
def test_bars_outside_the_run_are_no_rows(hours):
    whole = session(3)
    bars = [bar(-2, "A"), bar(0, "A"), bar(1, "A"), bar(2, "A"), bar(4, "A")]

    found = rows(whole, bars, ["A"], hours=hours)

    assert len(found.label) == (3 if hours == "regular" else 5)
    assert found.quality_pct.tolist() == [100.0] * len(found.label)
