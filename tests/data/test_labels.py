"""The label detector: silent on correct data of every kind, right on every mutation that leaves evidence."""

from __future__ import annotations

import polars as pl
import pytest

from backtester.data import calendar, labels
from backtester.data.labels import AGREES, CONTRADICTS, INCONCLUSIVE, Evidence
from backtester.data.placing import Placing
from backtester.interval import Interval
from tests.data.vendor_bars import Kind, real_bars, rezone, shift, simulate

ONE_MINUTE = Interval.parse("1m")
LIQUID, THIN = Kind(extended=0.4, closing_print=True), Kind(regular=0.3, extended=0.01, closing_print=True)
REGULAR_ONLY, INDEX = Kind(), Kind(volume=0.0)
SIMULATED = {
    "liquid": ({"AAA": LIQUID, "BBB": LIQUID}, "2025-06-02", "2025-06-13"),
    "regular_only": ({"AAA": REGULAR_ONLY}, "2025-01-06", "2025-01-10"),
    "thin": ({"AAA": THIN, "BBB": THIN, "CCC": THIN}, "2025-06-02", "2025-06-20"),
    "index": ({"IDX": INDEX}, "2025-06-02", "2025-06-06"),
    "clock_change": ({"AAA": THIN, "BBB": LIQUID}, "2025-02-24", "2025-03-21"),
    "half_days": ({"AAA": LIQUID, "BBB": LIQUID, "CCC": LIQUID}, "2024-12-23", "2024-12-27"),
}
# Real sets with an exchange that closes: all of them show where their sessions lie.
CLOSING = (
    "lean",
    "mit",
    "ext",
    "yahoo",
    "yfinance",
    "ibkr",
    "spx",
    "ninjatrader",
    "polygon",
    "parquet",
    "aapl",
    "rivn",
)
# Sets of one symbol and session: too little to tell a label one bar off from an opening delayed at one exchange.
SINGLE = ("ibkr", "aapl", "rivn")
CONTINUOUS = {
    "crypto": "24/7",
    "btc": "24/7",
    "adabtc": "24/7",
    "forex": "24/5",
    "usdjpy": "24/5",
    "future": "CMES",
    "six_e": "CMES",
    "cfd": "us_futures",
    "fesx": "XEUR",
}
HALF_HOURS = {"30m": 30, "-30m": -30, "1h": 60, "-1h": -60, "4h": 240, "-5h": -300, "5h30m": 330, "13h": 780}


def examine(
    bars: pl.DataFrame,
    *,
    exchange: str = "XNYS",
    zone: str | None = None,
    label: str = "start",
    interval: Interval = ONE_MINUTE,
) -> Evidence:
    names = bars["symbol"].unique().sort().to_list()
    coded = bars.select(pl.col("symbol").cast(pl.Enum(names)).to_physical(), "timestamp", "volume")
    placing = Placing(interval, label=label, zone=zone)
    return labels.examine(
        coded, calendar=calendar.load(exchange), placing=placing, is_wall_clock=zone is not None, names=names
    )


def simulated(name: str) -> pl.DataFrame:
    kinds, start, end = SIMULATED[name]
    return simulate(kinds, start=start, end=end)


def opposite(text: str) -> str:
    return text.removeprefix("-") if text.startswith("-") else f"-{text}"


@pytest.mark.parametrize("name", SIMULATED)
def test_correct_simulated_labels_agree(name):
    assert examine(simulated(name)).verdict == AGREES


@pytest.mark.parametrize("moved", HALF_HOURS)
@pytest.mark.parametrize("name", SIMULATED)
def test_simulated_labels_off_by_half_hours_are_contradicted_with_the_shift_that_helps(name, moved):
    evidence = examine(shift(simulated(name), HALF_HOURS[moved]))

    assert (evidence.verdict, evidence.remedies) == (CONTRADICTS, (f"--shift {opposite(moved)}",))


@pytest.mark.parametrize("name", SIMULATED)
def test_simulated_end_labels_declared_start_are_contradicted(name):
    evidence = examine(shift(simulated(name), 1))

    assert (evidence.verdict, evidence.remedies) == (CONTRADICTS, ("--label end",))


@pytest.mark.parametrize("name", SIMULATED)
def test_simulated_start_labels_declared_end_are_contradicted(name):
    evidence = examine(shift(simulated(name), -1), label="end")

    assert (evidence.verdict, evidence.remedies) == (CONTRADICTS, ("--label start",))


@pytest.mark.parametrize(
    ("name", "shown", "read_as"),
    [
        ("liquid", "UTC", "America/New_York"),
        ("liquid", "America/New_York", "UTC"),
        ("thin", "UTC", "America/New_York"),
        ("thin", "America/New_York", "Etc/GMT+5"),
        ("index", "America/New_York", "Etc/GMT+5"),
        ("regular_only", "UTC", "Europe/London"),
        ("regular_only", "America/New_York", "America/Chicago"),
        ("half_days", "America/New_York", "Asia/Kolkata"),
        ("clock_change", "America/New_York", "Etc/GMT+5"),
        ("clock_change", "UTC", "America/New_York"),
    ],
)
def test_a_wrong_zone_is_contradicted_and_the_right_one_named(name, shown, read_as):
    evidence = examine(rezone(simulated(name), shown=shown, read_as=read_as), zone=read_as)

    # London keeps the clock of UTC in January: nothing is wrong.
    expected = (AGREES, ()) if read_as == "Europe/London" else (CONTRADICTS, (f"--timezone {shown}",))
    assert (evidence.verdict, evidence.remedies) == expected


def test_a_zone_without_clock_changes_names_both_sides_where_labels_are_instants():
    bars = rezone(simulated("clock_change"), shown="America/New_York", read_as="Etc/GMT+5")

    assert examine(bars).remedies == (
        "the two sides of the clock change apart, --shift -1h where America/New_York is at UTC-4",
    )


@pytest.mark.parametrize(("minutes", "remedy"), [(60, "--shift -1h"), (1, "--label end")])
def test_one_wrong_symbol_among_right_ones_is_named(minutes, remedy):
    bars = simulate(dict.fromkeys("ABCDE", LIQUID), start="2025-06-02", end="2025-06-13")
    wrong = pl.col("symbol") == "C"
    bars = bars.with_columns(pl.when(wrong).then(pl.col("timestamp") + minutes * 60_000_000).otherwise("timestamp"))

    evidence = examine(bars)

    assert evidence.verdict == CONTRADICTS
    assert evidence.remedies == (remedy,)
    assert "C " in evidence.contradictions[0]


@pytest.mark.parametrize(("interval", "declared"), [("5m", "1m"), ("15m", "5m")])
def test_bars_longer_than_declared_are_contradicted_with_their_length(interval, declared):
    bars = simulate({"AAA": REGULAR_ONLY}, start="2025-06-02", end="2025-06-04", interval=interval)

    evidence = examine(bars, interval=Interval.parse(declared))

    assert (evidence.verdict, evidence.remedies) == (CONTRADICTS, (f"--interval {interval}",))


@pytest.mark.parametrize("interval", ["5m", "15m", "30m", "60m"])
def test_wider_bars_agree_as_they_are_and_not_an_hour_off(interval):
    length = Interval.parse(interval)
    bars = simulate({"AAA": LIQUID, "BBB": LIQUID}, start="2025-06-02", end="2025-06-27", interval=interval)

    assert examine(bars, interval=length).verdict != CONTRADICTS
    assert examine(shift(bars, 60), interval=length).verdict == CONTRADICTS


@pytest.mark.parametrize("count", [0, 1, 5, 20])
def test_a_handful_of_bars_is_inconclusive_wherever_they_lie(count):
    bars = simulated("thin").sample(count, seed=3)

    assert examine(bars).verdict == INCONCLUSIVE
    assert examine(shift(bars, 300)).verdict == INCONCLUSIVE


def test_a_morning_of_data_with_its_premarket_is_not_taken_for_a_wrong_zone():
    bars = simulate({"AAA": Kind(extended=1.0)}, start="2025-06-02", end="2025-06-02")

    assert examine(bars.head(420)).verdict != CONTRADICTS


def test_a_first_trade_at_noon_with_a_long_evening_is_not_taken_for_a_wrong_zone():
    bars = simulate({"AAA": Kind(extended=0.6)}, start="2025-06-02", end="2025-06-02")
    noon = bars["timestamp"].min() + (330 + 150) * 60_000_000

    assert examine(bars.filter(pl.col("timestamp") >= noon)).verdict != CONTRADICTS


@pytest.mark.parametrize("name", CLOSING)
def test_correct_real_labels_agree(name):
    assert examine(real_bars(name)).verdict == AGREES


@pytest.mark.parametrize("name", CONTINUOUS)
def test_correct_real_labels_of_continuous_markets_are_never_contradicted(name):
    assert examine(real_bars(name), exchange=CONTINUOUS[name]).verdict == INCONCLUSIVE


@pytest.mark.parametrize("moved", HALF_HOURS)
@pytest.mark.parametrize("name", CLOSING)
def test_real_labels_off_by_half_hours_are_contradicted_with_the_shift_that_helps(name, moved):
    evidence = examine(shift(real_bars(name), HALF_HOURS[moved]))

    assert (evidence.verdict, evidence.remedies) == (CONTRADICTS, (f"--shift {opposite(moved)}",))


@pytest.mark.parametrize(("minutes", "label", "remedy"), [(1, "start", "end"), (-1, "end", "start")])
@pytest.mark.parametrize("name", CLOSING)
def test_real_labels_at_the_other_end_of_the_bar_are_contradicted(name, minutes, label, remedy):
    evidence = examine(shift(real_bars(name), minutes), label=label)

    found = (evidence.verdict, evidence.remedies)
    assert found == (CONTRADICTS, (f"--label {remedy}",)) or (name in SINGLE and found == (INCONCLUSIVE, ()))


@pytest.mark.parametrize(
    ("name", "shown", "read_as"),
    [
        ("mit", "America/New_York", "Etc/GMT+5"),
        ("mit", "UTC", "America/New_York"),
        ("ext", "America/New_York", "UTC"),
        ("yahoo", "America/New_York", "Etc/GMT+5"),
        ("ninjatrader", "UTC", "America/New_York"),
        ("aapl", "America/New_York", "Etc/GMT+5"),
        ("lean", "America/New_York", "Etc/GMT+5"),
    ],
)
def test_a_wrong_zone_of_real_data_is_contradicted_and_the_right_one_named(name, shown, read_as):
    evidence = examine(rezone(real_bars(name), shown=shown, read_as=read_as), zone=read_as)

    assert (evidence.verdict, evidence.remedies) == (CONTRADICTS, (f"--timezone {shown}",))


def test_the_six_e_future_with_end_labels_is_contradicted_as_start():
    evidence = examine(shift(real_bars("six_e"), 1), exchange="CMES")

    assert evidence.remedies == ("--label end",)


@pytest.mark.parametrize("name", ["mit", "ext", "parquet", "lean"])
def test_real_symbol_sessions_alone_are_never_contradicted(name):
    day = pl.col("timestamp") // 86_400_000_000
    parts = real_bars(name).with_columns(day.alias("day")).partition_by("symbol", "day", include_key=True)

    verdicts = {examine(part).verdict for part in parts[:: max(1, len(parts) // 40)]}

    assert CONTRADICTS not in verdicts


def test_the_refusal_shows_the_evidence_and_the_option():
    evidence = examine(shift(real_bars("aapl"), 240))

    text = labels.refusal(evidence, exchange="XNYS")
    assert "349 of 390 bars of regular hours" in text
    assert "390 of 390 bars of regular hours" in text
    assert "the market wakes at 13:30" in text
    assert "--shift -4h" in text
    assert "--accept-labels" in text
