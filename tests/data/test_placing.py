"""From labels to instants: forms that read one way, zones with their clock changes, offsets, ends and shifts."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.data.placing import Placing, format_shift, parse_shift, place
from backtester.errors import ConfigError, InputError
from backtester.interval import Interval

ONE_MINUTE, ONE_DAY = Interval.parse("1m"), Interval.parse("1d")


def starts(labels: pl.Series | list[object], interval: Interval = ONE_MINUTE, **declared: object) -> list[str | None]:
    """UTC starts of bars, or why there is none."""
    rows = pl.DataFrame({"label": pl.Series("label", labels)})
    placed, _ = place(rows, Placing(interval, **declared), place="vendor.csv")  # type: ignore[arg-type]
    texts = placed["timestamp"].dt.strftime("%Y-%m-%d %H:%M:%S").to_list()
    return [text or fault for text, fault in zip(texts, placed["fault"].to_list(), strict=True)]


@pytest.mark.parametrize(
    ("label", "declared"),
    [
        ("2024-01-02 09:30:00", {"zone": "America/New_York"}),
        ("2024-01-02 9:30", {"zone": "America/New_York"}),
        ("2024/01/02 09:30", {"zone": "America/New_York"}),
        ("2024.01.02 09:30", {"zone": "America/New_York"}),
        ("20240102 093000", {"zone": "America/New_York"}),
        ("20240102  09:30:00", {"zone": "America/New_York"}),
        ("20240102093000", {"zone": "America/New_York"}),
        ("202401020930", {"zone": "America/New_York"}),
        ("2024-01-02 14:30:00.000000", {"zone": "UTC"}),
        ("2024-01-02 09:30:00", {"zone": "-05:00"}),
        ("2024-01-02T14:30:00.000000000Z", {}),
        ("2024-01-02 14:30:00+00:00", {"zone": "UTC"}),
        ("2024-01-02 09:30:00-0500", {"zone": "America/New_York"}),
        ("2024-01-02T09:30:00-05:00", {}),
        ("1704205800", {}),
        ("1704205800000", {"zone": "UTC"}),
        ("1704205800000000", {}),
        ("1704205800000000000", {}),
        (1704205800000, {}),
        ("1/2/2024 9:30", {"zone": "America/New_York", "time_format": "%m/%d/%Y %H:%M"}),
        ("Tue, 02 Jan 2024 14:30:00 GMT", {"zone": "UTC", "time_format": "%a, %d %b %Y %H:%M:%S GMT"}),
        ("01/02/2024 02:30 PM", {"zone": "UTC", "time_format": "%m/%d/%Y %I:%M %p"}),
    ],
)
def test_a_label_reads_one_way(label, declared):
    assert starts([label], **declared) == ["2024-01-02 14:30:00"]


@pytest.mark.parametrize("label", ["1/2/2024 9:30", "02 Jan 2024 09:30", "9:30", "170420580", "x", ""])
def test_a_label_that_reads_several_ways_asks_for_its_format(label):
    with pytest.raises(InputError, match=r"vendor\.csv: .*--time-format"):
        starts([label], zone="UTC")


def test_a_wall_clock_needs_its_zone():
    with pytest.raises(InputError, match=r"vendor\.csv: .*--timezone"):
        starts(["2024-01-02 09:30:00"])


def test_labels_that_do_not_read_like_the_first_are_faults():
    labels = ["2024-01-02 09:30:00", "2024-01-02", "09:31", "2024-01-02 09:30:60", None, "2024-02-30 09:30:00"]

    assert starts(labels, zone="UTC") == ["2024-01-02 09:30:00", *["unreadable time"] * 5]


def test_counts_of_another_unit_are_faults():
    labels = ["1704205800000", "1704205800", "1704205800000000", "-1", "99"]

    assert starts(labels) == ["2024-01-02 14:30:00", *["unreadable time"] * 4]


def test_hours_the_clock_skips_or_repeats_are_faults():
    labels = ["2024-03-10 01:59:00", "2024-03-10 02:30:00", "2024-11-03 01:30:00", "2024-11-03 02:00:00"]

    assert starts(labels, zone="America/New_York") == [
        "2024-03-10 06:59:00",
        "local time does not exist",
        "local time occurs twice",
        "2024-11-03 07:00:00",
    ]


@pytest.mark.parametrize("label", ["2024-07-02 09:30:00+00:00", "2024-07-02 09:30:00Z", "1719912600000"])
def test_an_offset_that_contradicts_the_declared_zone_is_refused(label):
    with pytest.raises(InputError, match=r"offset of \+00:00 .*New_York is at -04:00"):
        starts([label], zone="America/New_York")


def test_offsets_agree_with_a_zone_on_both_sides_of_its_clock_change():
    labels = ["2024-03-08 09:30:00-05:00", "2024-03-11 09:30:00-04:00"]

    assert starts(labels, zone="America/New_York") == ["2024-03-08 14:30:00", "2024-03-11 13:30:00"]


@pytest.mark.parametrize("time_format", ["%Q", "%", "no directive", "epoch_s"])
def test_a_format_that_reads_nothing_leaves_only_faults_or_is_refused(time_format):
    try:
        found = starts(["2024-01-02 09:30:00"], zone="UTC", time_format=time_format)
    except ConfigError:
        return

    assert found == ["unreadable time"]


def test_end_labels_name_the_start_one_interval_before():
    assert starts(["2011-01-03 14:31:00"], zone="UTC", label="end") == ["2011-01-03 14:30:00"]


def test_a_shift_moves_instants_not_the_clock():
    # 2024-03-10 06:30 UTC is 01:30 New York, half an hour before the clocks go forward.
    shifted = starts(["2024-03-10 01:30:00"], zone="America/New_York", shift_us=parse_shift("1h"))

    assert shifted == ["2024-03-10 07:30:00"]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "America/New_York"])
def test_datetime_columns_are_placed_whatever_their_unit(unit, zone):
    clock = pl.Series("label", [dt.datetime(2024, 1, 2, 9, 30)]).dt.cast_time_unit(unit)  # noqa: DTZ001
    labels = clock.dt.replace_time_zone(zone) if zone else clock

    assert starts(labels, zone="America/New_York") == ["2024-01-02 14:30:00"]


@pytest.mark.parametrize(
    "label",
    ["2024-01-02", "20240102", "2024-01-02 00:00:00", "2024-01-02 00:00:00-05:00", dt.date(2024, 1, 2)],
)
def test_daily_labels_are_dates_and_need_no_zone(label):
    assert starts([label], ONE_DAY) == ["2024-01-02 00:00:00"]


@pytest.mark.parametrize(
    ("text", "us"), [("-4h", -14_400_000_000), ("30m", 1_800_000_000), ("1h30m", 5_400_000_000), ("0", 0)]
)
def test_shifts_read_as_written(text, us):
    assert parse_shift(text) == us
    assert format_shift(us) == text


@given(st.integers(-200_000, 200_000))
def test_a_shift_survives_being_written(seconds):
    assert parse_shift(format_shift(seconds * 1_000_000)) == seconds * 1_000_000


@pytest.mark.parametrize("text", ["4", "-4", "4 hours", "h", "4x", "--4h", "1d", ""])
def test_a_shift_without_a_unit_is_refused(text):
    with pytest.raises(ConfigError, match="-4h, 30m"):
        parse_shift(text)


@pytest.mark.parametrize("declared", [{"zone": "New York"}, {"zone": "EDT"}, {"label": "middle"}])
def test_what_does_not_exist_cannot_be_declared(declared):
    with pytest.raises(ConfigError, match=r"timezone is|label is"):
        Placing(ONE_MINUTE, **declared)
