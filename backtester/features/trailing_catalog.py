"""What every historical indicator is, as plain data, and the uses a config makes of them."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field

from backtester.errors import ConfigError
from backtester.features.catalog import Parameter, clashes
from backtester.interval import Interval

DAY = Interval.parse("1d")
MINUTE = Interval.parse("1m")
UNITS = ("sessions", "weeks", "bars")
MAX_WINDOW = {"sessions": 2520, "weeks": 520, "bars": 10_000}
SOURCES = ("auto", "1d", "bars")


@dataclass(frozen=True)
class Historical:
    """One historical indicator."""

    name: str
    formula: str
    units: tuple[str, ...] = UNITS
    outputs: tuple[str, ...] = ("",)
    parameters: tuple[Parameter, ...] = ()
    missing: tuple[str, ...] = ("skip", "require")
    is_profile: bool = False
    looks_back: int = 0  # periods before the window whose close it needs


ENTRIES = {
    entry.name: entry
    for entry in (
        Historical("avg_volume", "mean volume"),
        Historical("avg_range", "mean of high - low"),
        Historical(
            "atr_daily",
            "mean of max(high - low, |high - c|, |low - c|), c the close of the period before",
            units=("sessions", "bars"),
            looks_back=1,
        ),
        Historical(
            "gap_stats",
            "open - close of the period before: its mean, in currency and as a fraction; how many are larger than "
            "threshold, up, down",
            units=("sessions", "bars"),
            outputs=("avg_move", "avg_move_frac", "moves", "up_moves", "down_moves"),
            parameters=(Parameter("threshold", 0.01, "quote currency", low=0.0, high=1e9),),
            looks_back=1,
        ),
        Historical("range_ratio", "high - low of the latest period / mean of high - low"),
        Historical("high_low", "highest high, lowest low", outputs=("high", "low")),
        Historical(
            "volume_profile",
            "mean volume of each minute of the session",
            units=("sessions",),
            missing=("skip", "zero", "require"),
            is_profile=True,
        ),
        Historical(
            "cumulative_volume",
            "mean volume from the open to the end of each minute of the session",
            units=("sessions",),
            is_profile=True,
        ),
    )
}


@dataclass(frozen=True)
class Use:
    """One historical indicator as a config asks for it; `window` counts sessions, weeks or bars."""

    key: str
    name: str
    unit: str
    window: int
    source: Interval  # the stored bars it is computed from
    interval: Interval  # of its bars (unit `bars`) or of its slots (profiles); 1d otherwise
    missing: str = "skip"
    skip_early_close: bool = False
    params: Mapping[str, float] = field(default_factory=dict)

    @property
    def is_profile(self) -> bool:
        """True for a value per slot of the session, not one per session."""
        return ENTRIES[self.name].is_profile

    @property
    def is_fine(self) -> bool:
        """True where daily bars do not do."""
        return self.is_profile or (self.unit == "bars" and self.interval.is_intraday)

    @property
    def step_us(self) -> int:
        """The length of a profile's slots."""
        return self.interval.us

    @property
    def extra(self) -> int:
        """How many periods before the window it looks at."""
        return ENTRIES[self.name].looks_back


def historical_uses(
    raw: list[Mapping[str, object]], *, run_interval: Interval, source: Interval, has_daily: bool
) -> tuple[list[Use], list[str]]:
    """The uses a config lists, and everything that is wrong with them, each line beginning with its key.

    raw        one mapping per [[historical_indicators]] section
    source     the bars the run reads
    has_daily  the store holds daily bars, which `source = "auto"` then takes
    """
    uses: list[Use] = []
    problems: list[str] = []
    for k, section in enumerate(raw):
        use, wrong = _use(section, run_interval, source, has_daily=has_daily)
        problems += [f"historical_indicators[{k}]{line}" for line in wrong]
        if use is not None:
            uses.append(use)
    named = [((use.key, *row_columns_of(use)), row_columns_of(use)) for use in uses]
    problems += [f"historical_indicators: {line}" for line in clashes(named)]
    return uses, problems


def columns_of(use: Use) -> list[str]:
    """The key of each output: `high_low_20_high`, or the use's own where there is one."""
    return [f"{use.key}_{output}" if output else use.key for output in ENTRIES[use.name].outputs]


def row_columns_of(use: Use) -> list[str]:
    """Its columns on rows: the key of each output, and `KEY_ratio` of cumulative volume (features/trailing_rows.py)."""
    return [*columns_of(use), *([f"{use.key}_ratio"] if use.name == "cumulative_volume" else [])]


def _use(
    section: Mapping[str, object], run_interval: Interval, source: Interval, *, has_daily: bool
) -> tuple[Use | None, list[str]]:
    name = section.get("name")
    entry = ENTRIES.get(name) if isinstance(name, str) else None
    if entry is None:
        return None, [_unknown_name(name)]
    problems = _unknown_keys(entry, section)
    unit, window = _window(entry, section, problems)
    interval = _interval(entry, section, unit, run_interval, problems)
    params = {}
    for parameter in entry.parameters:
        found = section.get(parameter.name, parameter.default)
        if wrong := parameter.problem(found):
            problems.append(f".{parameter.name} is {found!r}; {wrong}")
        else:
            params[parameter.name] = float(found)  # type: ignore[arg-type]  # a number, or a problem
    problems += _common_problems(entry, section, interval)
    if problems:
        return None, problems
    chosen = section.get("source", "auto")
    is_daily = not interval.is_intraday and (chosen == "1d" or (chosen == "auto" and has_daily))
    use = Use(
        key=str(section.get("key") or _default_key(entry, section, unit, window, interval)),
        name=entry.name,
        unit=unit,
        window=window,
        source=DAY if is_daily else source,
        interval=interval,
        missing=str(section.get("missing", "skip")),
        skip_early_close=bool(section.get("skip_early_close", False)),
        params=params,
    )
    return use, []


def _common_problems(entry: Historical, section: Mapping[str, object], interval: Interval) -> list[str]:
    problems: list[str] = []
    _one_of(section, "missing", entry.missing, problems)
    _one_of(section, "source", SOURCES, problems)
    if "source" in section and interval.is_intraday:
        problems.append(f".source is {section['source']!r}; bars of {interval} come from the run's own; leave it out")
    if type(section.get("skip_early_close", False)) is not bool:
        problems.append(f".skip_early_close is {section['skip_early_close']!r}; expected true or false")
    key = section.get("key", "key")
    if not isinstance(key, str) or not key.isascii() or not key.isidentifier():
        problems.append(f".key is {key!r}; expected letters, digits and _, a letter first")
    return problems


def _unknown_name(name: object) -> str:
    if name is None:
        return ".name: missing; add it"
    near = difflib.get_close_matches(str(name).lower(), ENTRIES, n=2, cutoff=0.5)
    remedy = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(ENTRIES)}"
    return f".name is {name!r}; no such historical indicator; {remedy}"


def _unknown_keys(entry: Historical, section: Mapping[str, object]) -> list[str]:
    known = ["name", *entry.units, "missing", "key", *(each.name for each in entry.parameters)]
    known += ["interval"] if "bars" in entry.units or entry.is_profile else []
    known += ["skip_early_close"] if entry.is_profile else ["source"]
    problems = []
    for name in section:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            remedy = f"did you mean {near[0]}?" if near else f"{entry.name} knows {', '.join(known)}"
            problems.append(f".{name}: unknown key (found {section[name]!r}); {remedy}")
    return problems


def _window(entry: Historical, section: Mapping[str, object], problems: list[str]) -> tuple[str, int]:
    given = [unit for unit in entry.units if unit in section]
    if len(given) != 1:
        found = " and ".join(given) or "none"
        problems.append(f": expected one of {', '.join(f'{unit} = N' for unit in entry.units)}, found {found}")
        return entry.units[0], 1
    unit, window = given[0], section[given[0]]
    if type(window) is not int or not 1 <= window <= MAX_WINDOW[unit]:
        problems.append(f".{unit} is {window!r}; expected a whole number from 1 to {MAX_WINDOW[unit]}")
        return unit, 1
    return unit, window


def _interval(
    entry: Historical, section: Mapping[str, object], unit: str, run_interval: Interval, problems: list[str]
) -> Interval:
    """The interval of a use's bars or slots; daily bars for sessions and weeks."""
    if not entry.is_profile and unit != "bars":
        if "interval" in section:
            problems.append(f".interval is {section['interval']!r}; {unit} are made of daily bars; leave it out")
        return DAY
    default = max(run_interval, MINUTE) if entry.is_profile else run_interval
    found = section.get("interval", str(default))
    try:
        interval = Interval.parse(found) if isinstance(found, str) else None
    except ConfigError as error:
        problems.append(f".interval is {found!r}; {str(error).partition('; ')[2]}")
        return default
    if interval is None or not (interval == run_interval or run_interval.divides(interval)):
        problems.append(f".interval is {found!r}; expected {run_interval} or a multiple of it")
        return default
    if entry.is_profile and (not interval.is_intraday or interval < MINUTE):
        problems.append(f".interval is {found!r}; a profile has slots of a minute or more, inside the session")
    return interval


def _one_of(section: Mapping[str, object], name: str, allowed: tuple[str, ...], problems: list[str]) -> None:
    found = section.get(name, allowed[0])
    if found not in allowed:
        near = difflib.get_close_matches(str(found), allowed, n=1, cutoff=0.5)
        remedy = f"; did you mean {near[0]!r}?" if near else ""
        problems.append(f".{name} is {found!r}; expected {', '.join(map(repr, allowed))}{remedy}")


def _default_key(entry: Historical, section: Mapping[str, object], unit: str, window: int, interval: Interval) -> str:
    """`avg_volume_20` of sessions, `high_low_52w` of weeks, `avg_volume_10_5m` of bars, and what is not the default."""
    parts = [entry.name, f"{window}w" if unit == "weeks" else str(window)]
    if unit == "bars" or (entry.is_profile and "interval" in section):
        parts.append(str(interval))
    if section.get("skip_early_close"):
        parts.append("full")
    if section.get("missing", "skip") != "skip":
        parts.append(str(section["missing"]))
    if section.get("source", "auto") != "auto":
        parts.append(f"of_{section['source']}")
    for parameter in entry.parameters:
        value = section.get(parameter.name, parameter.default)
        if value != parameter.default:
            parts.append(f"{parameter.name}{value}".replace(".", "p"))
    return "_".join(parts)
