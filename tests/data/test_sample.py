"""Simulated sessions: the same for ever, valid as bars, shaped as promised, and never mixed with a market's."""

from __future__ import annotations

import hashlib
from datetime import date
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backtester.data import calendar, labels
from backtester.data.expected import expected_labels
from backtester.data.placing import Placing
from backtester.data.sample import KINDS, LISTED_LATE, TABLE, Sample, simulate, write
from backtester.data.store import Store
from backtester.errors import ConfigError, StoreError
from backtester.interval import Interval

ONE_MINUTE = Interval.parse("1m")
FIRST, LAST, HALF_DAY = date(2024, 11, 18), date(2024, 12, 3), date(2024, 11, 29)
XNYS = Sample("XNYS", ONE_MINUTE, FIRST, LAST)


def frame(sample: Sample) -> pl.DataFrame:
    """Every bar as it comes, with a column `at` of UTC microseconds."""
    table = pa.concat_tables([table for _, table in simulate(sample)]).unify_dictionaries()
    bars = pl.from_arrow(table)
    assert isinstance(bars, pl.DataFrame)
    return bars.with_columns(pl.col("symbol").cast(pl.String), at=pl.col("timestamp").dt.epoch("us"))


@pytest.fixture(scope="module")
def bars() -> pl.DataFrame:
    return frame(XNYS)


def test_the_numbers_never_change_unnoticed(bars: pl.DataFrame) -> None:
    # A change here changes everybody's samples: raise sample.VERSION with it.
    digest = hashlib.sha256("".join(bars["symbol"]).encode())
    for name in ("at", "open", "high", "low", "close", "volume"):
        digest.update(bars[name].to_numpy().tobytes())

    assert bars.height == 33_536
    assert digest.hexdigest()[:16] == "c42bdd6739acbf15"


def test_another_seed_gives_other_bars(bars: pl.DataFrame) -> None:
    other = frame(Sample("XNYS", ONE_MINUTE, FIRST, LAST, seed=8))

    assert not other.equals(bars)


@given(
    st.dates(FIRST, LAST).filter(lambda day: day.weekday() < 5 and day != date(2024, 11, 28)),
    st.integers(min_value=1, max_value=8),
)
@settings(deadline=None, max_examples=15)
def test_a_session_depends_neither_on_the_range_nor_on_the_number_of_symbols(
    bars: pl.DataFrame, day: date, symbols: int
) -> None:
    alone = frame(Sample("XNYS", ONE_MINUTE, day, day, symbols=symbols))

    late = [name for name, kind in zip(XNYS.names(), XNYS.kinds(), strict=True) if kind.is_late]
    expected = bars.filter((pl.col("session") == day) & pl.col("symbol").is_in(XNYS.names()[:symbols]))
    assert alone.filter(~pl.col("symbol").is_in(late)).equals(expected.filter(~pl.col("symbol").is_in(late)))


@pytest.mark.parametrize(
    ("exchange", "interval"),
    [
        ("XNYS", "1m"),
        ("XNYS", "7m"),
        ("XNYS", "60m"),
        ("XHKG", "1m"),
        ("CMES", "5m"),
        ("24/7", "5m"),
        ("XASX", "30s"),
    ],
)
def test_every_row_is_a_bar_of_its_session(exchange: str, interval: str) -> None:
    found = frame(Sample(exchange, Interval.parse(interval), FIRST, LAST))

    assert found.filter(pl.col("high") < pl.max_horizontal("open", "close", "low")).is_empty()
    assert found.filter(pl.col("low") > pl.min_horizontal("open", "close")).is_empty()
    assert found["low"].min() >= 0.01  # type: ignore[operator]
    for name in ("open", "high", "low", "close"):
        cents = found[name].to_numpy() * 100.0
        np.testing.assert_array_equal(found[name].to_numpy(), np.rint(cents) / 100.0)
    np.testing.assert_array_equal(found["volume"].to_numpy(), np.maximum(np.rint(found["volume"].to_numpy()), 1.0))
    own = calendar.load(exchange).session_dates_of(found["at"].to_numpy())
    np.testing.assert_array_equal(own, found["session"].to_numpy().astype("datetime64[D]"))
    assert found.select("at", "symbol").is_unique().all()
    assert found.select("session", "at", "symbol").equals(found.select("session", "at", "symbol").sort(pl.all()))


def test_tables_hold_one_session_and_no_unused_symbol() -> None:
    for session, table in simulate(XNYS):
        assert table.schema.equals(TABLE)
        assert set(table["session"].to_pylist()) == {session.date}
        assert table["symbol"].chunk(0).dictionary.to_pylist() == sorted(set(table["symbol"].to_pylist()))


def test_the_first_symbol_has_every_regular_bar(bars: pl.DataFrame) -> None:
    own = set(bars.filter(pl.col("symbol") == "SIM001")["at"])
    sessions = calendar.load("XNYS").sessions(FIRST, LAST)

    assert all(set(expected_labels(session, ONE_MINUTE).tolist()) <= own for session in sessions)


def test_the_half_day_ends_at_one(bars: pl.DataFrame) -> None:
    ends = bars.filter((pl.col("session") == HALF_DAY) & (pl.col("symbol") == "SIM003"))["timestamp"].max()

    assert str(ends) == "2024-11-29 17:59:00+00:00"


def test_a_halt_is_a_hole_of_twenty_minutes_or_more(bars: pl.DataFrame) -> None:
    own = bars.filter(pl.col("symbol") == "SIM004")
    holes = {
        day[0]: max(late - early for early, late in pairwise(part["at"])) // ONE_MINUTE.us - 1
        for day, part in own.group_by("session")
    }

    assert {day for day, hole in holes.items() if hole >= 20} == {
        date(2024, 11, 19),
        date(2024, 11, 26),
        date(2024, 12, 3),
    }


def test_a_late_listing_begins_some_sessions_in(bars: pl.DataFrame) -> None:
    sessions = bars["session"].unique().sort().to_list()

    assert bars.filter(pl.col("symbol") == "SIM007")["session"].min() == sessions[LISTED_LATE]


def test_a_thin_symbol_misses_most_bars(bars: pl.DataFrame) -> None:
    full, thin = (bars.filter(pl.col("symbol") == name).height for name in ("SIM003", "SIM006"))

    assert 0.2 * full < thin < 0.4 * full


def test_only_some_symbols_have_bars_outside_regular_hours(bars: pl.DataFrame) -> None:
    expected = np.concatenate([expected_labels(s, ONE_MINUTE) for s in calendar.load("XNYS").sessions(FIRST, LAST)])
    outside = bars.filter(~pl.col("at").is_in(expected.tolist()))

    assert sorted(outside["symbol"].unique()) == ["SIM001", "SIM002"]
    local = outside["timestamp"].dt.convert_time_zone("America/New_York").dt.time()
    assert str(local.min()) == "04:00:00"
    assert str(local.max()) == "19:59:00"


def test_volume_is_high_at_both_ends_of_the_session(bars: pl.DataFrame) -> None:
    minutes = bars.filter((pl.col("session") == date(2024, 11, 20)) & (pl.col("symbol") == "SIM001"))
    volume = minutes.filter(pl.col("timestamp").dt.hour().is_between(15, 20))["volume"].to_numpy()[-360:]

    assert volume[-30:].mean() > 2.0 * volume[130:230].mean()
    assert minutes["volume"].to_numpy().argmax() in (
        minutes["at"].index_of(expected_labels(calendar.load("XNYS").session(date(2024, 11, 20)), ONE_MINUTE)[0]),
        minutes["at"].index_of(expected_labels(calendar.load("XNYS").session(date(2024, 11, 20)), ONE_MINUTE)[-1]),
    )


def test_a_lunch_break_has_no_bars() -> None:
    found = frame(Sample("XHKG", ONE_MINUTE, FIRST, LAST))
    local = found["timestamp"].dt.convert_time_zone("Asia/Hong_Kong")

    assert found.filter(local.dt.hour() == 12).is_empty()


def test_the_label_detector_believes_simulated_bars(bars: pl.DataFrame) -> None:
    coded = bars.select(pl.col("symbol").str.slice(3).cast(pl.Int32) - 1, timestamp="at", volume="volume")

    evidence = labels.examine(
        coded, calendar=calendar.load("XNYS"), placing=Placing(ONE_MINUTE), is_wall_clock=False, names=XNYS.names()
    )
    assert evidence.verdict == labels.AGREES


def test_symbols_take_the_kinds_in_turn() -> None:
    sample = Sample("XNYS", ONE_MINUTE, FIRST, LAST, symbols=18)

    assert sample.kinds() == [*KINDS, *KINDS, KINDS[0], KINDS[1]]
    assert sample.names()[::17] == ["SIM001", "SIM018"]


def test_the_store_holds_what_was_simulated_and_says_so(tmp_path: Path, bars: pl.DataFrame) -> None:
    store = Store(tmp_path / "store")
    written = write(XNYS, store)

    assert (len(written.sessions), written.new_bars, written.early_closes) == (11, bars.height, [HALF_DAY])
    assert written.bars == {str(name): count for name, count in bars.group_by("symbol").len().iter_rows()}
    for session in written.sessions:
        entry = store.entry("XNYS", ONE_MINUTE, session)
        assert entry is not None
        assert entry.sources == [{"kind": "simulated", "by": "backtester sample", "version": 1, "seed": 7}]
        held = pl.from_arrow(store.load(entry)).with_columns(pl.col("symbol").cast(pl.String))  # type: ignore[union-attr]
        assert held.equals(bars.filter(pl.col("session") == session).drop("session", "at"))


def test_simulating_again_changes_nothing_and_a_longer_range_adds(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    write(Sample("XNYS", ONE_MINUTE, FIRST, date(2024, 11, 20)), store)

    again = write(Sample("XNYS", ONE_MINUTE, FIRST, date(2024, 11, 20)), store)
    longer = write(Sample("XNYS", ONE_MINUTE, FIRST, date(2024, 11, 21), symbols=9), store)
    assert (again.new_bars, longer.new_bars > 0) == (0, True)


def test_other_bars_and_simulated_ones_do_not_mix(tmp_path: Path) -> None:
    day = date(2024, 11, 20)
    store = Store(tmp_path / "store")
    write(Sample("XNYS", ONE_MINUTE, day, day), store)
    with pytest.raises(StoreError, match="2024-11-20 holds simulated bars of another seed"):
        write(Sample("XNYS", ONE_MINUTE, day, day, seed=8), store)

    imported = Store(tmp_path / "imported")
    table = next(simulate(Sample("XNYS", ONE_MINUTE, day, day)))[1]
    imported.add(table, exchange="XNYS", interval=ONE_MINUTE, source={"format": "csv"})
    with pytest.raises(StoreError, match=r"holds imported bars .* name a new directory"):
        write(Sample("XNYS", ONE_MINUTE, FIRST, FIRST), imported)


@pytest.mark.parametrize(
    ("sample", "words"),
    [
        (Sample("XNYS", Interval.parse("1d"), FIRST, LAST), "interval is 1d"),
        (Sample("XNYS", ONE_MINUTE, date(2024, 11, 23), date(2024, 11, 24)), "XNYS has no session from 2024-11-23"),
        (Sample("NYSE", ONE_MINUTE, FIRST, LAST), "write 'XNYS'"),
        (Sample("XNYS", ONE_MINUTE, FIRST, date(2031, 1, 1)), "2031-01-01 lies outside"),
    ],
)
def test_what_cannot_be_simulated_is_refused_before_anything_is_written(
    tmp_path: Path, sample: Sample, words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        write(sample, Store(tmp_path / "store"))

    assert not (tmp_path / "store").exists()
