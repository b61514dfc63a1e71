"""From a vendor's label to the instant a bar starts: its form, its zone, its side of the bar, a declared shift."""

from __future__ import annotations

import datetime as dt
import re
import zoneinfo
from dataclasses import dataclass

import polars as pl

from backtester.errors import ConfigError, InputError
from backtester.interval import Interval

UTC_INSTANT = pl.Datetime("us", "UTC")
LABELS = ("start", "end")
SHIFT_UNITS_US = {"h": 3_600_000_000, "m": 60_000_000, "s": 1_000_000}
# Counts since 1970 by unit: microseconds = count * mul / div. The four ranges are 1989 to 2096 and do not touch.
EPOCHS = {"epoch_s": (1_000_000, 1), "epoch_ms": (1000, 1), "epoch_us": (1, 1), "epoch_ns": (1, 1000)}
EPOCH_FIRST_S, EPOCH_LAST_S = 600_000_000, 4_000_000_000

UNREADABLE_TIME = "unreadable time"
AMBIGUOUS_TIME = "local time occurs twice"
MISSING_TIME = "local time does not exist"

# Times that read one way only. Month names, 1/2/2024 and the like have to be declared with a format.
_TEXT = re.compile(
    r"(?P<date>\d{4}(?P<dash>[-/.]?)\d{2}(?P=dash)\d{2})"
    r"(?:(?P<gap>T| {0,2})(?P<hour>\d{1,2})(?P<colon>:?)(?P<minute>\d{2})"
    r"(?:(?P=colon)(?P<second>\d{2})(?:\.\d+)?)?(?P<offset> ?(?:Z|[+-]\d{2}:?\d{2}))?)?"
)


@dataclass(frozen=True)
class Placing:
    """What is declared of a vendor's labels.

    zone       IANA name of the wall clock the labels show; None where they are instants by themselves
    label      `start` or `end`: which end of its bar a label names
    shift_us   added to every label's instant
    time_format  strptime text, `epoch_s|ms|us|ns`, or None for times that read one way only
    """

    interval: Interval
    label: str = "start"
    zone: str | None = None
    shift_us: int = 0
    time_format: str | None = None

    def __post_init__(self) -> None:
        """ConfigError for a zone or a label that does not exist."""
        fixed = re.fullmatch(r"[+-]\d{2}:\d{2}", self.zone or "+00:00")
        if fixed is None and self.zone not in zoneinfo.available_timezones():
            raise ConfigError(f"timezone is {self.zone!r}; expected UTC, America/New_York, or an offset such as -05:00")
        if self.label not in LABELS:
            raise ConfigError(f"label is {self.label!r}; expected {' or '.join(LABELS)}")


def parse_shift(text: str) -> int:
    """Microseconds of `-4h`, `30m`, `-90m`, `1h30m` or `0`; raise ConfigError otherwise."""
    match = re.fullmatch(r"([+-]?)((?:\d{1,4}[hms])+)", text.strip())
    if text.strip() == "0":
        return 0
    if match is None:
        raise ConfigError(f"shift is {text!r}; expected a sign, counts and units h, m, s, such as -4h, 30m or 1h30m")
    total = sum(int(count) * SHIFT_UNITS_US[unit] for count, unit in re.findall(r"(\d+)([hms])", match[2]))
    return -total if match[1] == "-" else total


def format_shift(shift_us: int) -> str:
    """The text `parse_shift` reads: `-4h`, `30m`, `1h30m`, `0`."""
    rest, parts = abs(shift_us), []
    for unit, us in SHIFT_UNITS_US.items():
        if rest >= us:
            parts.append(f"{rest // us}{unit}")
            rest %= us
    return ("-" if shift_us < 0 else "") + "".join(parts) if parts else "0"


def place(rows: pl.DataFrame, placing: Placing, *, place: str) -> tuple[pl.DataFrame, bool]:
    """`rows` with `timestamp`, the instant its bar starts (us, UTC), and `fault`, why there is none.

    The second value is true if the labels showed a wall clock, so that the declared zone placed them.
    For daily bars the timestamp is midnight UTC of the label's date. Raise InputError where a zone is needed and not
    declared, or declared and contradicted by what the labels say of themselves.
    """
    label = rows["label"]
    if not placing.interval.is_intraday:
        days = _dates(label, placing.time_format, place)
        return rows.with_columns(days.cast(UTC_INSTANT).alias("timestamp"), _fault(days).alias("fault")), True
    times = _times(label, placing.time_format, place)
    if _zone_of(times) is None:
        instants, fault = _localised(times, placing.zone, place)
    else:
        instants, fault = times.dt.convert_time_zone("UTC"), _fault(times)
        _check_stated_offset(label, times, placing.zone, place)
    move_us = placing.shift_us - (placing.interval.us if placing.label == "end" else 0)
    starts = instants.dt.cast_time_unit("us") + dt.timedelta(microseconds=move_us)
    return rows.with_columns(starts.alias("timestamp"), fault.alias("fault")), _zone_of(times) is None


def _times(label: pl.Series, time_format: str | None, place: str) -> pl.Series:
    """Labels as datetimes: zoned where they are instants, naive where they show a wall clock; null where unreadable."""
    if isinstance(label.dtype, pl.Datetime):
        return label
    if label.dtype == pl.String:
        text = label.str.strip_chars()
        form = time_format or _form(text, place)
        if form not in EPOCHS:
            # A 60th second would be read as the next minute.
            text = text.set(text.str.contains(r"[^0-9]60(?:\D|$)"), None)
            return _strptime(text, form)
        label = text.cast(pl.Int64, strict=False)
    if not (label.dtype.is_numeric() and (time_format is None or time_format in EPOCHS)):
        raise InputError(f"{place}: times are {label.dtype}, which a time format {time_format!r} cannot read")
    return _counts_to_instants(label.cast(pl.Int64, strict=False), time_format, place)


def _counts_to_instants(counts: pl.Series, time_format: str | None, place: str) -> pl.Series:
    """Instants of counts since 1970, the unit declared or told by the size of the first; other sizes become null."""
    first = counts.drop_nulls().head(1).to_list()
    units = [unit for unit, (mul, div) in EPOCHS.items() if first and _is_epoch(first[0], mul, div)]
    if time_format is None and not units:
        raise InputError(f"{place}: times such as {first} are no count since 1970; declare --time-format")
    mul, div = EPOCHS[time_format or units[0]]
    per_s = 1_000_000 * div // mul
    counts = counts.set((counts < EPOCH_FIRST_S * per_s) | (counts >= EPOCH_LAST_S * per_s), None)
    return (counts // div * mul).cast(UTC_INSTANT)


def _is_epoch(count: int, mul: int, div: int) -> bool:
    return EPOCH_FIRST_S <= count * mul // div // 1_000_000 < EPOCH_LAST_S


def _form(text: pl.Series, place: str) -> str:
    """The format of times that read one way only, told by the first that does; raise InputError if none does."""
    sample = text.drop_nulls().unique(maintain_order=True).head(100).to_list()
    for value in sample:
        # Counts first: written as dates they would lie in the year 1704 or have 19 digits.
        units = [unit for unit, (mul, div) in EPOCHS.items() if value.isdecimal() and _is_epoch(int(value), mul, div)]
        if units:
            return units[0]
        match = _TEXT.fullmatch(value)
        if match is not None:
            return _strptime_format(match)
    shown = sample[0] if sample else ""
    raise InputError(
        f"{place}: a time such as {shown!r} reads more than one way; declare it with --time-format,"
        " for example '%m/%d/%Y %H:%M'"
    )


def _strptime_format(match: re.Match[str]) -> str:
    dash, colon = match["dash"], match["colon"] or ""
    form = f"%Y{dash}%m{dash}%d"
    if match["hour"] is None:
        return form
    form += f"{match['gap']}%H{colon}%M"
    if match["second"] is not None:
        # A fraction may be left out where it is zero, so it is allowed even if the first time has none.
        form += f"{colon}%S%.f" if colon else "%S"
    offset = match["offset"] or ""
    return form + (" " if offset.startswith(" ") else "") + ("%#z" if offset else "")


def _strptime(text: pl.Series, form: str) -> pl.Series:
    try:
        return text.str.to_datetime(form, strict=False, time_unit="us")
    except pl.exceptions.PolarsError as error:
        raise ConfigError(f"time format {form!r} cannot be used ({error})") from error


def _dates(label: pl.Series, time_format: str | None, place: str) -> pl.Series:
    """The dates of daily labels; a time of day in them is ignored, an instant's date is that of its own zone."""
    if label.dtype == pl.Date:
        return label
    if label.dtype == pl.String and time_format is None:
        text = label.str.strip_chars()
        form = _form(text, place)
        if form.startswith("%Y"):
            day = form[:8] if not form[2].isalnum() and form[2] != "%" else "%Y%m%d"
            return text.str.slice(0, 10 if len(day) == 8 else 8).str.to_date(day, strict=False)
    return _times(label, time_format, place).dt.date()


def _localised(times: pl.Series, zone: str | None, place: str) -> tuple[pl.Series, pl.Series]:
    """Instants of wall-clock times, and a fault for each time that a clock change skips or repeats."""
    if zone is None:
        raise InputError(f"{place}: the times carry no offset; declare the zone their clock shows with --timezone")
    local = times.dt.replace_time_zone(zone, ambiguous="null", non_existent="null").dt.convert_time_zone("UTC")
    fault = _fault(times)
    if local.null_count() > times.null_count():
        earliest = times.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null")
        fault = fault.set(local.is_null() & earliest.is_not_null(), AMBIGUOUS_TIME)
        fault = fault.set(earliest.is_null() & times.is_not_null(), MISSING_TIME)
    return local, fault


def _check_stated_offset(label: pl.Series, times: pl.Series, zone: str | None, place: str) -> None:
    """Refuse a declared zone whose clock differs from the offset the labels state: one of the two is wrong."""
    if zone is None:
        return
    declared = _offset_minutes(times, zone)
    stated = _stated_minutes(label, times)
    differs = (declared != stated).fill_null(value=False).arg_true()
    if differs.len():
        at = int(differs[0])
        raise InputError(
            f"{place}: row {at + 1} after the header states an offset of {_hours(int(stated[at]))} ({label[at]}),"
            f" but {zone} is at {_hours(int(declared[at]))} then; labels that carry an offset need no --timezone,"
            " and --shift moves labels whose offset is wrong"
        )


def _stated_minutes(label: pl.Series, times: pl.Series) -> pl.Series:
    if label.dtype == pl.String:
        sign = label.str.extract(r"([+-])\d{2}:?\d{2}$").replace_strict(
            {"+": 1, "-": -1}, default=0, return_dtype=pl.Int64
        )
        hours = label.str.extract(r"[+-](\d{2}):?\d{2}$").cast(pl.Int64)
        minutes = label.str.extract(r"[+-]\d{2}:?(\d{2})$").cast(pl.Int64)
        return (sign * (hours * 60 + minutes)).fill_null(0)
    return _offset_minutes(times, _zone_of(times) or "UTC")


def _offset_minutes(times: pl.Series, zone: str) -> pl.Series:
    local = times.dt.convert_time_zone(zone)
    return (local.dt.base_utc_offset() + local.dt.dst_offset()).dt.total_minutes()


def _hours(minutes: int) -> str:
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def _zone_of(times: pl.Series) -> str | None:
    zone: str | None = getattr(times.dtype, "time_zone", None)
    return zone


def _fault(times: pl.Series) -> pl.Series:
    return pl.select(pl.when(times.is_null()).then(pl.lit(UNREADABLE_TIME))).to_series()
