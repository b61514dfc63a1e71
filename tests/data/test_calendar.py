"""The packaged calendar: equal to its source, explained where another source differs, and right at every edge."""

from __future__ import annotations

import datetime as dt
import importlib.util
import itertools
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from backtester.data import calendar
from backtester.errors import CalendarError

ROOT = Path(__file__).resolve().parents[2]
DATE = dt.date.fromisoformat
NAT = np.datetime64("NaT", "D")


def at(text: str, zone: str = "UTC") -> int:
    """UTC microseconds of a local time such as `2025-07-03 13:00`."""
    moment = dt.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone))
    return int(moment.timestamp()) * 1_000_000


def dates_of(exchange: str, *texts: str, zone: str | None = None) -> list[str]:
    """The session dates of local times, `NaT` where there is none."""
    known = calendar.load(exchange)
    instants = np.array([at(text, zone or known.zone) for text in texts], dtype=np.int64)
    return [str(date) for date in known.session_dates_of(instants)]


def build_script() -> ModuleType:
    """scripts/build_calendar.py as a module; the test is skipped where exchange_calendars is not installed."""
    pytest.importorskip("exchange_calendars", reason="exchange_calendars is not installed: pip install '.[calendar]'")
    spec = importlib.util.spec_from_file_location("build_calendar", ROOT / "scripts" / "build_calendar.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return build_script()


@pytest.fixture(scope="module")
def pandas_is_fit(script: ModuleType) -> bool:
    return bool(script.pandas_is_fit())


@pytest.mark.parametrize("exchange", calendar.exchanges())
@pytest.mark.filterwarnings("ignore:::exchange_calendars.*", "ignore:::pandas.*")
def test_every_session_equals_exchange_calendars(exchange: str, script: ModuleType, pandas_is_fit: bool) -> None:
    import exchange_calendars as ec
    import pandas as pd

    if exchange in script.NEED_OLDER_PANDAS and not pandas_is_fit:
        pytest.skip(f"exchange_calendars {ec.__version__} loses {exchange} sessions with pandas {pd.__version__}")
    known = calendar.load(exchange)
    source = ec.get_calendar(exchange, start=pd.Timestamp(known.first), end=pd.Timestamp(known.last))

    columns = known.columns
    assert str(source.tz) == known.zone
    np.testing.assert_array_equal(columns.dates, source.sessions.to_numpy().astype("datetime64[D]"))
    for ours, name in ((columns.opens, "open"), (columns.closes, "close")):
        np.testing.assert_array_equal(ours, micros(source.schedule[name]), err_msg=name)
    for ours, name in ((columns.break_starts, "break_start"), (columns.break_ends, "break_end")):
        np.testing.assert_array_equal(ours, micros(source.schedule[name]), err_msg=name)
    np.testing.assert_array_equal(columns.is_early_close, source.sessions.isin(source.early_closes))


def micros(column: object) -> np.ndarray:
    """A pandas column of instants as UTC microseconds; NaT is the smallest int64, as NO_BREAK is."""
    return column.dt.tz_convert(None).to_numpy().astype("datetime64[us]").astype(np.int64)  # type: ignore[attr-defined]


@pytest.mark.filterwarnings("ignore:::exchange_calendars.*", "ignore:::pandas.*", "ignore:::pandas_market_calendars.*")
def test_every_difference_from_pandas_market_calendars_is_explained(script: ModuleType) -> None:
    pytest.importorskip("pandas_market_calendars", reason="not installed: pip install '.[calendar]'")
    packaged = pq.ParquetFile(calendar.TABLE)
    found = set()
    for row_group, known in enumerate(calendar.packaged()):
        if known.name in script.INDEPENDENT:
            differences = script.compare(known.name, packaged.read_row_group(row_group), known.last)
            found |= {tuple(map(str, difference)) for difference in differences}

    explained = {}
    for line in (ROOT / "docs" / "calendar.md").read_text(encoding="utf-8").splitlines():
        cells = tuple(cell.strip() for cell in line.strip("|").split("|"))
        if cells[0] in script.INDEPENDENT:
            explained[cells[:-1]] = cells[-1]
    assert found - explained.keys() == set(), "new differences: explain them in docs/calendar.md"
    assert explained.keys() - found == set(), "rows of docs/calendar.md that no longer hold"
    assert all(explained.values())


def test_the_week_of_independence_day_has_five_sessions_and_a_half_day() -> None:
    sessions = calendar.load("XNYS").sessions(DATE("2025-06-30"), DATE("2025-07-07"))

    assert [str(session.date) for session in sessions] == [
        "2025-06-30",
        "2025-07-01",
        "2025-07-02",
        "2025-07-03",
        "2025-07-07",
    ]
    assert [session.is_early_close for session in sessions] == [False, False, False, True, False]
    assert sessions[3] == (
        DATE("2025-07-03"),
        at("2025-07-03 09:30", "America/New_York"),
        at("2025-07-03 13:00", "America/New_York"),
        None,
        None,
        True,
        at("2025-07-04 00:00", "America/New_York"),
    )
    assert sum(end - start for session in sessions[2:4] for start, end in session.segments) == 600 * 60_000_000


@pytest.mark.parametrize(
    ("day", "count", "expected"),
    [
        pytest.param("2025-07-07", 5, "06-27 06-30 07-01 07-02 07-03", id="Monday after a holiday"),
        pytest.param("2025-07-08", 1, "07-07", id="Tuesday"),
        pytest.param("2025-07-05", 2, "07-02 07-03", id="Saturday"),
        pytest.param("2025-07-04", 1, "07-03", id="holiday"),
        pytest.param("2025-07-03", 0, "", id="none"),
    ],
)
def test_trailing_sessions_lie_strictly_before_the_day(day: str, count: int, expected: str) -> None:
    trailing = calendar.load("XNYS").trailing(DATE(day), count)

    assert [f"{session.date:%m-%d}" for session in trailing] == expected.split()


@given(st.dates(DATE("2001-01-01"), DATE("2027-12-31")), st.integers(0, 200))
def test_trailing_sessions_are_the_last_ones_of_the_range_before(day: dt.date, count: int) -> None:
    known = calendar.load("XTKS")

    before = known.sessions(known.first, day - dt.timedelta(days=1))
    assert known.trailing(day, count) == before[len(before) - count :]


@pytest.mark.parametrize(
    ("exchange", "day", "opens", "closes"),
    [
        ("XNYS", "2025-03-07", "14:30", "21:00"),
        ("XNYS", "2025-03-10", "13:30", "20:00"),  # New York's clock went forward on the 9th
        ("XNYS", "2025-10-31", "13:30", "20:00"),
        ("XNYS", "2025-11-03", "14:30", "21:00"),
        ("XLON", "2025-03-28", "08:00", "16:30"),
        ("XLON", "2025-03-31", "07:00", "15:30"),
        ("XASX", "2025-04-04", "23:00", "05:00"),  # the evening before in UTC
        ("XASX", "2025-04-07", "00:00", "06:00"),
    ],
)
def test_hours_follow_the_clock_changes(exchange: str, day: str, opens: str, closes: str) -> None:
    session = calendar.load(exchange).session(DATE(day))

    shown = [str(np.datetime64(instant, "us"))[11:16] for instant in (session.open_at, session.close_at)]
    assert shown == [opens, closes]


@pytest.mark.parametrize(
    ("exchange", "zone", "day", "segments"),
    [
        ("XHKG", "Asia/Hong_Kong", "2025-12-23", ("09:30-12:00", "13:00-16:00")),
        ("XHKG", "Asia/Hong_Kong", "2025-12-24", ("09:30-12:00",)),
        ("XTKS", "Asia/Tokyo", "2024-11-01", ("09:00-11:30", "12:30-15:00")),
        ("XTKS", "Asia/Tokyo", "2024-11-05", ("09:00-11:30", "12:30-15:30")),
        ("XNYS", "America/New_York", "2024-11-29", ("09:30-13:00",)),
        ("24/7", "UTC", "2024-02-29", ("00:00-00:00",)),
    ],
)
def test_segments_leave_the_break_out(exchange: str, zone: str, day: str, segments: tuple[str, ...]) -> None:
    def clock(instant: int) -> str:
        return f"{dt.datetime.fromtimestamp(instant / 1e6, ZoneInfo(zone)):%H:%M}"

    session = calendar.load(exchange).session(DATE(day))

    assert tuple(f"{clock(start)}-{clock(end)}" for start, end in session.segments) == segments


@pytest.mark.parametrize("exchange", calendar.exchanges())
def test_sessions_are_in_order_and_do_not_overlap(exchange: str) -> None:
    known = calendar.load(exchange)
    sessions = known.sessions(known.first, known.last)

    assert len(sessions) == len(known.columns.dates)
    flat = [instant for session in sessions for segment in session.segments for instant in segment]
    assert all(start < end for session in sessions for start, end in session.segments)
    assert flat == sorted(flat)
    assert all(early.date < late.date for early, late in itertools.pairwise(sessions))


@pytest.mark.parametrize("exchange", calendar.exchanges())
def test_every_open_and_last_microsecond_belongs_to_its_own_session(exchange: str) -> None:
    known = calendar.load(exchange)
    columns = known.columns

    np.testing.assert_array_equal(known.session_dates_of(columns.opens), columns.dates)
    np.testing.assert_array_equal(known.session_dates_of(columns.closes - 1), columns.dates)
    sessions = known.sessions(known.first, known.last)[:-1]
    over = np.array([session.over_at for session in sessions])
    np.testing.assert_array_equal(known.session_dates_of(over - 1), columns.dates[:-1])
    assert not (known.session_dates_of(over) == columns.dates[:-1]).any()


def test_new_york_bars_before_the_open_and_after_the_close_belong_to_their_date() -> None:
    found = dates_of(
        "XNYS", "2025-07-03 00:00", "2025-07-03 04:00", "2025-07-03 13:00", "2025-07-03 19:59", "2025-07-03 23:59"
    )

    assert found == ["2025-07-03"] * 5


def test_weekend_and_holiday_bars_belong_to_no_session() -> None:
    found = dates_of("XNYS", "2025-07-04 00:00", "2025-07-04 10:00", "2025-07-05 10:00", "2025-07-06 23:59")

    assert found == ["NaT"] * 4


def test_an_overnight_session_begins_at_its_open_the_day_before() -> None:
    found = dates_of(
        "CMES",
        "2025-07-10 16:59",
        "2025-07-10 17:00",
        "2025-07-10 23:59",
        "2025-07-11 00:00",
        "2025-07-11 16:59",
        "2025-07-11 18:00",
        "2025-07-12 00:00",
        "2025-07-13 16:59",
        "2025-07-13 17:00",
    )

    assert found[:6] == ["2025-07-10", "2025-07-11", "2025-07-11", "2025-07-11", "2025-07-11", "2025-07-11"]
    assert found[6:] == ["NaT", "NaT", "2025-07-14"]


def test_a_day_of_crypto_is_a_session_of_its_own() -> None:
    found = dates_of("24/7", "2025-07-05 00:00", "2025-07-05 23:59", "2025-07-06 00:00")

    assert found == ["2025-07-05", "2025-07-05", "2025-07-06"]


def test_the_window_follows_local_midnight_through_a_clock_change() -> None:
    # Tel Aviv's clock went forward on Friday 28 March 2025 at 02:00; Sunday the 30th is the next session.
    found = dates_of("XTAE", "2025-03-27 23:59", "2025-03-28 00:00", "2025-03-29 23:59", "2025-03-30 00:00")

    assert found == ["2025-03-27", "NaT", "NaT", "2025-03-30"]


@given(st.sampled_from(["XNYS", "CMES", "XHKG", "24/7", "XTAE"]), st.data())
def test_each_instant_lies_in_at_most_one_window(exchange: str, data: st.DataObject) -> None:
    known = calendar.load(exchange)
    low, high = at("2019-06-01"), at("2027-11-30")
    instants = np.array(data.draw(st.lists(st.integers(low, high), max_size=20)), dtype=np.int64)

    found = known.session_dates_of(instants)
    for instant, date in zip(instants.tolist(), found, strict=True):
        assert str(date) == str(slow_session_date(known, instant))


def slow_session_date(known: calendar.Calendar, instant: int) -> dt.date | np.datetime64:
    """The rule of docs/calendar.md in plain Python over the sessions around `instant`."""
    zone = ZoneInfo(known.zone)
    day = dt.datetime.fromtimestamp(instant // 1_000_000, zone).date()
    sessions = known.sessions(day - dt.timedelta(days=15), day + dt.timedelta(days=15))
    for before, session, after in zip(sessions, sessions[1:], sessions[2:], strict=False):
        midnight = dt.datetime.combine(session.date, dt.time(), zone)
        next_midnight = dt.datetime.combine(session.date + dt.timedelta(days=1), dt.time(), zone)
        start = max(min(session.open_at, int(midnight.timestamp()) * 1_000_000), before.close_at)
        end = max(session.close_at, int(next_midnight.timestamp()) * 1_000_000)
        if after.open_at < end:
            end = after.open_at
        if start <= instant < end:
            return session.date
    return NAT


def test_an_empty_column_of_instants_has_no_sessions() -> None:
    found = calendar.load("XNYS").session_dates_of(np.array([], dtype=np.int64))

    assert found.dtype == np.dtype("datetime64[D]")
    assert found.size == 0


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("NYSE", "write 'XNYS'"),
        ("nasdaq", "write 'XNYS'"),
        ("xnys", "write 'XNYS'"),
        ("XNSY", "did you mean XNYS"),
        ("24-7", "did you mean 24/7"),
        ("MARS", "backtester calendar --list"),
        ("", "backtester calendar --list"),
    ],
)
def test_an_unknown_exchange_is_an_error_with_a_hint(name: str, hint: str) -> None:
    with pytest.raises(CalendarError, match=hint):
        calendar.load(name)


def test_dates_beyond_the_table_are_errors_that_say_how_to_refresh() -> None:
    known = calendar.load("XSHG")
    beyond = known.last + dt.timedelta(days=1)

    with pytest.raises(CalendarError, match=r"XSHG: 2027-01-01 .* 2000-01-01 to 2026-12-31; .*build_calendar"):
        known.sessions(known.last, beyond)
    with pytest.raises(CalendarError, match="1999-12-31"):
        known.sessions(DATE("1999-12-31"), DATE("2000-01-31"))
    with pytest.raises(CalendarError, match="build_calendar"):
        known.session(beyond)
    with pytest.raises(CalendarError, match="2031-01-02 00:00:00 UTC"):
        known.session_dates_of(np.array([at("2025-01-02"), at("2031-01-02")]))
    with pytest.raises(CalendarError, match="1970-01-21"):  # milliseconds taken for microseconds
        known.session_dates_of(np.array([at("2025-01-02") // 1000]))


def test_an_overnight_session_after_the_table_is_not_taken_for_the_last_one() -> None:
    known = calendar.load("CMES")
    last = known.columns

    assert known.session_dates_of(last.closes[-1:] - 1)[0] == last.dates[-1]
    with pytest.raises(CalendarError):
        known.session_dates_of(last.closes[-1:])


def test_too_many_trailing_sessions_are_an_error() -> None:
    with pytest.raises(CalendarError, match=r"5 trailing sessions before 2000-01-06 .* holds 3"):
        calendar.load("XNYS").trailing(DATE("2000-01-06"), 5)
    with pytest.raises(CalendarError, match="-1 trailing"):
        calendar.load("XNYS").trailing(DATE("2025-01-06"), -1)


@pytest.mark.parametrize(
    ("day", "words"),
    [
        ("2025-07-04", "(Friday) is not a session; the nearest are 2025-07-03 and 2025-07-07"),
        ("2000-01-01", "2000-01-03"),
    ],
)
def test_a_date_without_a_session_names_the_nearest_ones(day: str, words: str) -> None:
    with pytest.raises(CalendarError) as raised:
        calendar.load("XNYS").session(DATE(day))

    assert words in str(raised.value)


def test_a_range_that_ends_before_it_starts_is_an_error() -> None:
    with pytest.raises(CalendarError, match="swap"):
        calendar.load("XNYS").sessions(DATE("2025-07-04"), DATE("2025-07-03"))


def test_a_weekend_has_no_sessions() -> None:
    assert calendar.load("XNYS").sessions(DATE("2025-07-05"), DATE("2025-07-06")) == []


def test_index_and_table_name_the_same_exchanges() -> None:
    packaged = pq.ParquetFile(calendar.TABLE)
    names = [packaged.read_row_group(k, ["exchange"])["exchange"][0].as_py() for k in range(packaged.num_row_groups)]

    assert tuple(names) == calendar.exchanges()
    assert len(names) == 71
    assert calendar.TABLE.stat().st_size < 300_000


def test_the_names_of_exchanges_do_not_import_pyarrow() -> None:
    code = "import sys; from backtester.data import calendar; calendar.exchanges(); print('pyarrow' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)

    assert found.stdout == "False\n"
