"""The pass: on paper, against its twin, and against the future."""

import math
import os

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from backtester.features.intraday import derived_table, gaps_table, run_pass, running_table, summary_table
from backtester.interval import Interval
from backtester.kernels import jit
from tests import reference
from tests.reference import Row
from tests.sessions import DAY, INTERVALS, MINUTE, OPEN, generated, session, table


def asked(step, texts=None):
    """The derived intervals a source interval is asked for, those in `texts` only if given."""
    return [Interval.parse(text) for text in INTERVALS[step][1] if texts is None or text in texts]


def us(instant):
    return None if instant is None else int(np.datetime64(instant.replace(tzinfo=None), "us").astype(np.int64))


def compute(whole, rows, symbols, step, derived, hours="regular"):
    bars, ordered = table(rows, symbols)
    done = run_pass(bars, whole, interval=Interval.parse(INTERVALS[step][0]), derived=derived, hours=hours)
    inside = [row for row in ordered if hours == "extended" or reference.in_hours(row.at, whole.segments)]
    return done, inside


def found_running(done):
    rows = running_table(done).to_pylist()
    return [
        (us(r["timestamp"]), r["symbol"], r["running_volume"], r["running_high"], r["running_low"],
         None if math.isnan(r["running_vwap"]) else r["running_vwap"], r["running_bars"])
        for r in rows
    ]  # fmt: skip


def found_derived(done, intervals):
    names = ("symbol", "open", "high", "low", "close", "volume", "bars", "expected_bars", "is_partial")
    out = {}
    for r in derived_table(done, intervals).to_pylist():
        row = (us(r["timestamp"]), *(r[name] for name in names), us(r["known_at"]))
        out.setdefault(r["interval"], []).append(row)
    return out


def found_gaps(done):
    return [
        (us(r["first_missing"]), r["symbol"], r["kind"], us(r["last_missing"]), r["missing_bars"])
        for r in gaps_table(done).to_pylist()
    ]


def test_a_session_small_enough_for_paper():
    whole = session(6)
    rows = [
        Row(OPEN, "A", 10.0, 12.0, 9.0, 11.0, 100.0),
        Row(OPEN + MINUTE, "A", 11.0, 11.5, 8.0, 8.5, 50.0),
        Row(OPEN + 3 * MINUTE, "A", 9.0, 13.0, 9.0, 12.5, 50.0),
    ]
    five = Interval.parse("5m")

    done, _ = compute(whole, rows, ["A", "B"], MINUTE, [five])

    assert [row[2:5] for row in found_running(done)] == [(100.0, 12.0, 9.0), (150.0, 12.0, 8.0), (200.0, 13.0, 8.0)]
    assert found_running(done)[0][5] == (12.0 + 9.0 + 11.0) / 3.0 * 100.0 / 100.0
    assert found_derived(done, [five]) == {
        "5m": [(OPEN, "A", 10.0, 13.0, 8.0, 12.5, 200.0, 3, 5, False, OPEN + 5 * MINUTE)]
    }
    assert found_gaps(done) == [
        (OPEN, "B", "opening", OPEN + 5 * MINUTE, 6),
        (OPEN + 2 * MINUTE, "A", "inside", OPEN + 2 * MINUTE, 1),
        (OPEN + 4 * MINUTE, "A", "closing", OPEN + 5 * MINUTE, 2),
    ]
    first, second = summary_table(done, whole).to_pylist()
    assert (first["bars"], first["missing_bars"], first["longest_gap_bars"], first["quality_pct"]) == (3, 3, 2, 50.0)
    assert (second["open"], second["bars"], second["quality_pct"], second["first_bar"]) == (None, 0, 0.0, None)


@given(generated(), st.sampled_from(["regular", "extended"]))
def test_the_pass_equals_its_twin(case, hours):
    whole, rows, symbols, step = case
    intervals = asked(step)

    done, inside = compute(whole, rows, symbols, step, intervals, hours)

    assert found_running(done) == reference.running(inside)
    got = found_derived(done, intervals)
    over = whole.over_at if hours == "extended" else None
    for interval in intervals:
        width = None if interval.text == "1d" else interval.us
        assert got.get(interval.text, []) == reference.derived(inside, whole.segments, step, width, over)
    regular = [row for row in inside if reference.in_hours(row.at, whole.segments)]
    assert found_gaps(done) == reference.gaps(regular, whole.segments, step, symbols)
    due = len(reference.expected(whole.segments, step))
    labels = set(reference.expected(whole.segments, step))
    for row in summary_table(done, whole).to_pylist():
        own = [r for r in inside if r.symbol == row["symbol"]]
        present = sum(r.at in labels for r in own)
        assert (row["bars"], row["missing_bars"], row["expected_bars"]) == (present, due - present, due)
        assert row["open"] == (own[0].open if own else None)
        assert row["close"] == (own[-1].close if own else None)
        assert us(row["first_bar"]) == (own[0].at if own else None)
        assert us(row["last_bar"]) == (own[-1].at if own else None)


def over_at(at, whole, step, hours):
    """When a source bar is over: the close and the break cut it in regular hours, nothing does in extended ones."""
    ends = [end for start, end in whole.segments if start <= at < end and hours == "regular"]
    return min([at + step, *ends])


@given(generated(), st.sampled_from(["regular", "extended"]), st.data())
def test_the_pass_never_looks_ahead(case, hours, data):
    whole, rows, symbols, step = case
    now = data.draw(st.integers(OPEN - 2 * step, whole.close_at + 4 * step))
    intervals = asked(step, ("15s", "15m", "1d"))
    past = [row for row in rows if over_at(row.at, whole, step, hours) <= now]
    settled = set(past)
    changed = [
        row if row in settled else row._replace(high=row.high * 1.5, close=row.close * 1.5, volume=7.0) for row in rows
    ]

    done, _ = compute(whole, changed, symbols, step, intervals, hours)
    prefix, inside = compute(whole, past, symbols, step, intervals, hours)

    assert found_running(done)[: len(inside)] == found_running(prefix)
    for interval in intervals:
        then = [row for row in found_derived(prefix, intervals).get(interval.text, []) if row[-1] <= now]
        assert [row for row in found_derived(done, intervals).get(interval.text, []) if row[-1] <= now] == then


def test_a_daily_bar_of_extended_hours_is_known_when_they_are_over():
    whole = session(60)
    rows = [Row(OPEN + t * MINUTE, "A", 10.0, 10.0 + t, 9.0, 10.0, 1.0) for t in (-5, 0, 59, 61)]
    day = Interval.parse("1d")

    regular, _ = compute(whole, rows, ["A"], MINUTE, [day])
    extended, _ = compute(whole, rows, ["A"], MINUTE, [day], "extended")

    assert found_derived(regular, [day])["1d"] == [
        (OPEN, "A", 10.0, 69.0, 9.0, 10.0, 2.0, 2, 60, False, whole.close_at)
    ]
    assert found_derived(extended, [day])["1d"] == [
        (OPEN, "A", 10.0, 71.0, 9.0, 10.0, 4.0, 4, 60, False, whole.over_at)
    ]


def test_a_source_bar_that_the_close_does_not_cut_keeps_its_window_open():
    whole, five, ten = session(31), Interval.parse("5m"), Interval.parse("10m")
    rows = [Row(OPEN + 30 * MINUTE, "A", 10.0, 11.0, 9.0, 10.0, 1.0)]

    regular, _ = compute(whole, rows, ["A"], five.us, [ten])
    extended, _ = compute(whole, rows, ["A"], five.us, [ten], "extended")

    assert [row[-1] for row in found_derived(regular, [ten])["10m"]] == [OPEN + 31 * MINUTE]
    assert [row[-1] for row in found_derived(extended, [ten])["10m"]] == [OPEN + 35 * MINUTE]


@given(generated())
def test_an_interval_has_the_same_bits_whatever_else_is_asked_for(case):
    whole, rows, symbols, step = case
    assume(step != DAY)
    wide, several = asked(step, ("15s", "15m")), asked(step, ("10s", "15s", "20s", "10m", "15m", "20m"))

    alone, _ = compute(whole, rows, symbols, step, wide)
    among, _ = compute(whole, rows, symbols, step, several)

    assert found_derived(alone, wide).get(wide[0].text) == found_derived(among, several).get(wide[0].text)


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT", "0") != "0", reason="nothing is compiled in this mode")
def test_compiled_and_interpreted_give_the_same_bits():
    random = np.random.default_rng(1)
    symbols = [f"S{k:02d}" for k in range(40)]
    rows = [
        Row(OPEN + t * MINUTE, symbol, *(float(x) for x in (p, p + 0.07, p - 0.03, p + 0.01)), float(random.random()))
        for t in range(90)
        for symbol in symbols
        if random.random() > 0.05 and (p := float(random.integers(900, 1100)) / 7.0)
    ]
    whole, intervals = session(90, (31, 40)), [Interval.parse(text) for text in ("5m", "15m", "20m")]
    before = jit._Mode.compiled
    try:
        jit._Mode.compiled = False
        slow, _ = compute(whole, rows, symbols, MINUTE, intervals)
        jit.compiled()
        fast, _ = compute(whole, rows, symbols, MINUTE, intervals)
    finally:
        jit._Mode.compiled = before

    assert running_table(slow).equals(running_table(fast))
    assert derived_table(slow, intervals).equals(derived_table(fast, intervals))
    assert gaps_table(slow).equals(gaps_table(fast))
    assert summary_table(slow, whole).equals(summary_table(fast, whole))


COUNTS = {
    "5m": 78,
    "10m": 39,
    "15m": 26,
    "20m": 20,
    "30m": 13,
    "45m": 9,
    "60m": 7,
    "65m": 6,
    "120m": 4,
    "195m": 2,
    "7m": 56,
}


@pytest.mark.parametrize(("text", "count"), COUNTS.items())
def test_390_minutes_give_this_many_windows(text, count):
    whole = session(390)
    rows = [Row(OPEN + t * MINUTE, "A", 1.0, 1.0, 1.0, 1.0, 1.0) for t in range(390)]
    interval = Interval.parse(text)

    done, _ = compute(whole, rows, ["A"], MINUTE, [interval])

    bars = found_derived(done, [interval])[text]
    assert len(bars) == count
    assert bars[-1][-2] == (390 % int(text[:-1]) != 0)


QUALITY = {1: 99.7436, 2: 99.4872, 3: 99.2308, 5: 98.7179, 10: 97.4359, 20: 94.8718, 39: 90.0, 100: 74.3590, 390: 0.0}


@pytest.mark.parametrize(("missing", "quality"), QUALITY.items())
def test_quality_counts_missing_minutes(missing, quality):
    whole = session(390)
    rows = [Row(OPEN + t * MINUTE, "A", 1.0, 1.0, 1.0, 1.0, 1.0) for t in range(missing, 390)]

    done, _ = compute(whole, rows, ["A"], MINUTE, [])

    assert round(summary_table(done, whole).to_pylist()[0]["quality_pct"], 4) == quality
