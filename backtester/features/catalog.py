"""What every indicator is, as plain data: parameters, inputs, outputs, formula, warm-up; and the uses a config makes.

Nothing here imports Numba, Arrow or Polars. The entries themselves are in `catalog_entries.py`, the kernels in
`kernels/rolling_*.py`; `indicators.py` brings the two together.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from backtester.errors import ConfigError
from backtester.interval import Interval

Value = int | float | str | bool
Values = Mapping[str, Value]

INPUTS = ("open", "high", "low", "close", "volume", "median", "typical", "weighted", "mean")
# What a chosen input that is no column is made of: their sum over their number.
SUMS = {
    "median": (("high", "low"), 2),
    "typical": (("high", "low", "close"), 3),
    "weighted": (("high", "low", "close", "close"), 4),
    "mean": (("open", "high", "low", "close"), 4),
}
SCOPES = ("session", "continuous")
MISSING = ("skip", "require")
# Columns of the tables and frames that indicators stand in or beside; no indicator's column is one of them.
RESERVED = (
    *("session", "interval", "timestamp", "symbol", "known_at", "run_id"),
    *("open", "high", "low", "close", "volume"),
)
MAX_PERIOD = 2000
MAX_LAG = 10_000
MAX_DECIMALS = 9
DEFAULT_DECIMALS = 6


@dataclass(frozen=True)
class Parameter:
    """One parameter: a number in [low, high], or one of `choices`."""

    name: str
    default: Value
    meaning: str
    low: float = 1
    high: float = MAX_PERIOD
    choices: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """`int`, `float` or `str`."""
        return type(self.default).__name__

    def problem(self, found: object) -> str | None:
        """What is wrong with a value, None if nothing is."""
        if self.choices:
            if found in self.choices:
                return None
            near = difflib.get_close_matches(str(found), self.choices, n=1, cutoff=0.5)
            return f"expected {' or '.join(map(repr, self.choices))}" + (f"; did you mean {near[0]!r}?" if near else "")
        is_whole = isinstance(found, int) and not isinstance(found, bool)
        must_be_whole = isinstance(self.default, int)
        is_number = is_whole or (isinstance(found, float) and not must_be_whole)
        if is_number and self.low <= found <= self.high:  # type: ignore[operator]  # a number by then
            return None
        return f"expected a {'whole ' if must_be_whole else ''}number from {self.low:g} to {self.high:g}"


@dataclass(frozen=True)
class Indicator:
    """One indicator. Bars are counted on the use's own interval."""

    name: str
    group: str  # trend, momentum, volatility, volume, levels
    formula: str
    source: str  # whose definition it is
    warmup_says: str  # `warmup` in words of the parameters
    warmup: Callable[[Values], int]  # the first bar with a value of every output is the warmup-th
    kernel: str  # module:function under backtester.kernels
    exactness: str  # exact (one rounding of whole ticks), window (rounded sums of one window) or recursion
    parameters: tuple[Parameter, ...] = ()
    outputs: tuple[str, ...] = ("value",)
    floats: tuple[str, ...] = ()  # the columns it reads as numbers
    ticks: tuple[str, ...] = ()  # those it reads as ticks; "x" is the chosen input
    state: int = 0  # numbers carried per symbol in continuous scope, beside the rows
    rows: Callable[[Values], int] = lambda _: 0  # bars carried in continuous scope
    scopes: tuple[str, ...] = SCOPES  # the first is the default
    window: Callable[[Values], int | None] | None = None  # bars `require` looks at, None: since the open; else warmup
    known: str = "with its bar"
    reads: str = "close"  # what x is unless a use chooses; only the close can be exchanged
    sums: str = (
        ""  # what bounds its whole numbers: "linear", "quadratic" in the period, "distances" of prices, or "total"
    )
    of_session: bool = False  # one value all session, known before it, of all the bars of the one before
    custom: object = None  # a foreign.Custom, for indicators that are not of the catalog
    # What is wrong with parameters, scope and lookback together.
    check: Callable[[Values, str, int], str | None] = lambda _values, _scope, _lookback: None

    @property
    def takes_input(self) -> bool:
        """True if `input = "high"` and the like choose what it reads."""
        return "x" in self.ticks and self.reads == "close"

    def parameter(self, name: str) -> Parameter | None:
        """Its parameter of that name."""
        return next((each for each in self.parameters if each.name == name), None)


@dataclass(frozen=True)
class Use:
    """One indicator as a config asks for it, checked and with every default filled in."""

    name: str
    interval: str
    key: str
    columns: tuple[str, ...]  # one per output
    values: dict[str, Value] = field(default_factory=dict)
    input: str = "close"
    scope: str = "session"
    missing: str = "skip"
    partial: bool = False
    lag: int = 0
    decimals: int = DEFAULT_DECIMALS
    lookback: int = 0  # rows carried for indicators that are not of the catalog

    @property
    def is_chained(self) -> bool:
        """True if a session needs the state of the one before."""
        return self.scope == "continuous"


# What a use may say beside its indicator's own parameters.
COMMON = ("name", "interval", "input", "scope", "missing", "partial", "lag", "key", "decimals", "lookback")


def indicators() -> dict[str, Indicator]:
    """The catalog by name."""
    from backtester.features.catalog_entries import ENTRIES

    return ENTRIES


def uses_of(
    raw: list[Mapping[str, object]],
    *,
    run_interval: str,
    find: Callable[[str], Indicator] | None = None,
) -> tuple[list[Use], list[str]]:
    """The uses a config lists, and everything that is wrong with them, each line beginning `indicators[k]`.

    raw           one mapping per [[indicators]] section
    run_interval  the interval of the run's own bars; a use without one is on it
    find          finds `talib.NAME` and `module:name`, raising ValueError with the remedy (foreign.find)
    """
    uses, problems = [], []
    for k, section in enumerate(raw):
        use, wrong = _use(section, run_interval, find)
        problems += [f"indicators[{k}]{line}" for line in wrong]
        if use is not None and not wrong:
            uses.append(use)
    problems += [f"indicators: {line}" for line in clashes([((use.key, *use.columns), use.columns) for use in uses])]
    return uses, problems


def clashes(uses: Iterable[tuple[Iterable[str], Iterable[str]]]) -> list[str]:
    """What is wrong with names, the first of each use: all it goes by, which no other may, and its columns.

    A name differs from another by more than case, since SQL sees none.
    """
    problems = []
    seen: set[str] = set()
    for names, columns in uses:
        own = {name.lower(): name for name in names}
        twice = [name for lower, name in own.items() if lower in seen]
        taken = [name for name in columns if name.lower() in RESERVED]
        if twice:
            problems.append(f"{twice[0]} is computed twice; give one of them another key")
        if taken:
            problems.append(f"{taken[0]} is a column of the bars or of the tables; give it another key")
        seen |= own.keys()
    return problems


def find_indicator(name: str, find: Callable[[str], Indicator] | None = None) -> Indicator:
    """The indicator of that name; ValueError says what is near."""
    known = indicators()
    if name in known:
        return known[name]
    if find is not None and ("." in name or ":" in name):
        return find(name)
    near = difflib.get_close_matches(name.lower(), list(known), n=2, cutoff=0.5)
    remedy = f"did you mean {' or '.join(near)}?" if near else f"known: {', '.join(known)}"
    raise ValueError(f"no such indicator; {remedy} (also talib.NAME and module:name)")


def _use(
    section: Mapping[str, object], run_interval: str, find: Callable[[str], Indicator] | None
) -> tuple[Use | None, list[str]]:
    name = section.get("name")
    if not isinstance(name, str):
        return None, [".name: missing; add it" if name is None else f".name is {name!r}; expected text"]
    try:
        indicator = find_indicator(name, find)
    except ValueError as error:
        return None, [f".name is {name!r}; {error}"]
    problems = _unknown_keys(indicator, section)
    values: dict[str, Value] = {}
    for parameter in indicator.parameters:
        found = section.get(parameter.name, parameter.default)
        wrong = parameter.problem(found)
        if wrong:
            problems.append(f".{parameter.name} is {found!r}; {wrong}")
        values[parameter.name] = found  # type: ignore[assignment]  # of the right type, or a problem
    problems += _common_problems(indicator, section)
    if problems:
        return None, problems
    scope = str(section.get("scope", indicator.scopes[0]))
    lookback = int(section.get("lookback", 0))  # type: ignore[call-overload]  # checked above
    interval = str(section.get("interval") or run_interval).strip().lower()
    chosen = str(section.get("input", indicator.reads))
    lag = int(section.get("lag", 0))  # type: ignore[call-overload]  # checked above
    needed = max(indicator.warmup(values), lookback + 1) + lag
    contradiction = indicator.check(values, scope, lookback) or _never(name, values, scope, needed, interval)
    if contradiction:
        return None, [f": {contradiction}"]
    key = str(section.get("key") or default_key(indicator, values, chosen, interval, run_interval, lag))
    use = Use(
        name=name,
        interval=interval,
        key=key,
        columns=columns_of(indicator, key),
        values=values,
        input=chosen,
        scope=scope,
        missing=str(section.get("missing", "skip")),
        partial=bool(section.get("partial", False)) or indicator.of_session,
        lag=lag,
        decimals=int(section.get("decimals", DEFAULT_DECIMALS)),  # type: ignore[call-overload]  # checked above
        lookback=lookback,
    )
    return use, []


def _never(name: str, values: Values, scope: str, needed: int, interval: str) -> str | None:
    """Why a use could not have a value in any session, None if it could; needed: the bars of its first value."""
    try:
        bar = Interval.parse(interval)
    except ConfigError:
        return None  # told where intervals are checked
    if scope == "session" and interval == "1d" and needed > 1:
        return f"a session has one {interval} bar and the first value needs {needed}; say scope = 'continuous'"
    if name == "opening_range" and bar.is_intraday and bar.us > int(values["minutes"]) * 60_000_000:
        return f"no {interval} bar ends within {values['minutes']} minutes of the open; take a smaller interval"
    return None


def _unknown_keys(indicator: Indicator, section: Mapping[str, object]) -> list[str]:
    known = [each.name for each in indicator.parameters] + list(COMMON)
    problems = []
    for name in section:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            remedy = f"did you mean {near[0]}?" if near else f"{indicator.name} knows {', '.join(known)}"
            problems.append(f".{name}: unknown key (found {section[name]!r}); {remedy}")
    return problems


def _common_problems(indicator: Indicator, section: Mapping[str, object]) -> list[str]:
    problems = []
    choices = {"scope": SCOPES, "missing": MISSING, "input": INPUTS}
    for name, allowed in choices.items():
        found = section.get(name, allowed[0])
        if found not in allowed:
            near = difflib.get_close_matches(str(found), allowed, n=1, cutoff=0.5)
            remedy = f"; did you mean {near[0]!r}?" if near else ""
            problems.append(f".{name} is {found!r}; expected {', '.join(map(repr, allowed))}{remedy}")
    scope = section.get("scope", indicator.scopes[0])
    if scope in SCOPES and scope not in indicator.scopes:
        problems.append(f".scope is {scope!r}; {indicator.name} is always {indicator.scopes[0]!r}")
    if "input" in section and not indicator.takes_input:
        problems.append(f".input is {section['input']!r}; {indicator.name} reads {', '.join(_reads(indicator))}")
    if not isinstance(section.get("partial", False), bool):
        problems.append(f".partial is {section['partial']!r}; expected true or false")
    bounds = {"lag": (0, MAX_LAG), "decimals": (0, MAX_DECIMALS), "lookback": (0, MAX_LAG)}
    for name, (low, high) in bounds.items():
        found = section.get(name, low)
        if isinstance(found, bool) or not isinstance(found, int) or not low <= found <= high:
            problems.append(f".{name} is {found!r}; expected a whole number from {low} to {high}")
    if section.get("lookback") and indicator.custom is None:
        problems.append(f".lookback is {section['lookback']!r}; {indicator.name} knows itself how far it looks back")
    key = section.get("key", "key")
    if not isinstance(key, str) or not key.replace("_", "a").isalnum() or not key.isascii():
        problems.append(f".key is {key!r}; expected letters, digits and _")
    return problems


def _reads(indicator: Indicator) -> list[str]:
    return list(dict.fromkeys([*indicator.floats, *indicator.ticks]))


def default_key(indicator: Indicator, values: Values, chosen: str, interval: str, run_interval: str, lag: int) -> str:
    """`sma_20`, `sma_20_5m` on another interval than the run's, `sma_20_lag1`; what is not the default is in it."""
    parts = [indicator.name.replace(".", "_").replace(":", "_").lower()]
    for parameter in indicator.parameters:
        value = values[parameter.name]
        text = str(value).replace(".", "p").replace("-", "m")
        if parameter.name in ("period", "minutes"):
            parts += [text] if value else []
        elif value != parameter.default:
            parts.append(text if parameter.choices else f"{parameter.name}{text}")
    if chosen != indicator.reads:
        parts.append(chosen)
    if interval != run_interval:
        parts.append(interval)
    if lag:
        parts.append(f"lag{lag}")
    return "_".join(parts)


def columns_of(indicator: Indicator, key: str) -> tuple[str, ...]:
    """The column of each output: the key alone for the main one (`macd`), else `key_output` (`macd_signal`)."""
    return tuple(key if output in ("value", indicator.name) else f"{key}_{output}" for output in indicator.outputs)
