"""How a vendor's table is laid out: which column is which by name, and what else has to be declared about it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from backtester.errors import ConfigError, InputError

PRICES = ("open", "high", "low", "close")
FIELDS = ("timestamp", "symbol", *PRICES, "volume")
REQUIRED = ("timestamp", *PRICES)

# Names that mean one thing at every vendor met so far, best first; letter case, spaces around and <> do not count.
# A bare "" is how pandas writes an index without a name, in text; __index_level_0__ is the same in Parquet.
ALIASES: dict[str, tuple[str, ...]] = {
    "timestamp": (
        "timestamp",
        "datetime",
        "date_time",
        "date time",
        "ts_event",
        "window_start",
        "open_time",
        "open time",
        "timestamp_utc",
        "date+time",
        "date",
        "time",
        "t",
        "__index_level_0__",
        "",
    ),
    "symbol": ("symbol", "ticker"),
    "open": ("open", "o"),
    "high": ("high", "h"),
    "low": ("low", "l"),
    "close": ("close", "c"),
    "volume": ("volume", "vol", "v"),
}


@dataclass(frozen=True)
class Layout:
    """What is declared of a vendor's table; every setting may stand in a map file, by the same name.

    columns      field -> names or 1-based positions; several are joined by a space: {"timestamp": ("Date", "Time")}
    symbols      the vendor's symbol text -> ours, for vendors that write instrument numbers
    price_scale  prices are stored multiplied by this: 10000 for tenths of a cent
    header       false: the first line is data, and columns are given by position
    volume       false: the table has no volume, 0 is stored
    newest_first rows run backwards in time and are turned round
    """

    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    symbols: dict[str, str] = field(default_factory=dict)
    time_format: str | None = None
    delimiter: str | None = None
    price_scale: float = 1.0
    header: bool = True
    volume: bool = True
    newest_first: bool = False
    timezone: str | None = None
    label: str | None = None
    shift: str | None = None

    def __post_init__(self) -> None:
        """ConfigError for a scale or a delimiter that cannot be one."""
        if not 0 < self.price_scale < float("inf"):
            raise ConfigError(f"price_scale is {self.price_scale}; expected a number above 0, such as 10000")
        if self.delimiter is not None and (len(self.delimiter) != 1 or self.delimiter in '"\r\n'):
            raise ConfigError(f"delimiter is {self.delimiter!r}; expected one character, such as ';'")

    @classmethod
    def of(cls, settings: dict[str, Any]) -> Layout:
        """The layout with these settings, which `load_layout` or the command line has checked."""
        return cls(**settings)

    def declared(self) -> dict[str, object]:
        """The settings that differ from the defaults, as JSON holds them."""
        changed = {one.name: getattr(self, one.name) for one in fields(self)}
        kept = {name: value for name, value in changed.items() if value != getattr(_DEFAULT, name)}
        if self.columns:
            kept["columns"] = {name: list(chosen) for name, chosen in sorted(self.columns.items())}
        return kept

    @property
    def is_by_position(self) -> bool:
        """True if each declared column is a position, so that a header's names play no part."""
        names = [name for chosen in self.columns.values() for name in chosen]
        return bool(names) and all(name.isdecimal() for name in names) and set(REQUIRED) <= set(self.columns)


_DEFAULT = Layout()


def parse_columns(text: str) -> dict[str, tuple[str, ...]]:
    """Read `timestamp=Date+Time,open=Open`; raise ConfigError on an unknown or repeated field."""
    columns: dict[str, tuple[str, ...]] = {}
    for part in text.split(","):
        name, equals, chosen = part.partition("=")
        name = name.strip()
        if not equals or name not in FIELDS or name in columns:
            raise ConfigError(f"columns: {part!r}; write field=column once for each of {', '.join(FIELDS)}")
        columns[name] = tuple(one.strip() for one in chosen.split("+"))
    return columns


def load_layout(path: Path) -> dict[str, object]:
    """The settings of a map file, checked by name and type; raise ConfigError that lists what is wrong."""
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"{path}: not a TOML file that can be read ({error})") from error
    known = {one.name for one in fields(Layout)}
    faults = [f"unknown key {key!r}; expected {', '.join(sorted(known))}" for key in document if key not in known]
    settings = {key: _setting(key, value, faults) for key, value in document.items() if key in known}
    if faults:
        raise ConfigError("\n".join(f"{path}: {fault}" for fault in faults))
    return settings


def resolve(header: list[str], layout: Layout, *, place: str) -> dict[str, tuple[int, ...]]:
    """Field -> indexes of its columns; `header` holds one name (or "") per column.

    A declared column wins; the rest are recognised by name, never by position. Raise InputError where a name is
    missing or means two columns, or volume is neither there nor declared absent.
    """
    folded = [name.strip().strip("<>").strip().casefold() for name in header] if layout.header else []
    found: dict[str, tuple[int, ...]] = {}
    for name in FIELDS:
        if name in layout.columns:
            found[name] = tuple(_declared(one, header, layout, f"{place}: {name}") for one in layout.columns[name])
            continue
        for alias in ALIASES[name]:
            if all(part in folded for part in alias.split("+")):
                found[name] = tuple(_only(part, folded, place) for part in alias.split("+"))
                break
    missing = [name for name in REQUIRED if name not in found]
    if missing:
        raise InputError(
            f"{place}: no column for {', '.join(missing)} among {_shown(header)}; declare it with --columns"
            f" '{missing[0]}=NAME' (if this line is data, --no-header and positions: '{missing[0]}=1')"
        )
    _check_volume(found, layout, place)
    return found


def _declared(name: str, header: list[str], layout: Layout, place: str) -> int:
    if layout.header and header.count(name) == 1:
        return header.index(name)
    if name.isdecimal() and 1 <= int(name) <= len(header):
        return int(name) - 1
    raise InputError(f"{place}: column {name!r} is not one of {_shown(header)}, nor a position from 1 to {len(header)}")


def _only(name: str, folded: list[str], place: str) -> int:
    if folded.count(name) > 1:
        raise InputError(f"{place}: {folded.count(name)} columns are named {name!r}; choose one with --columns")
    return folded.index(name)


def _check_volume(found: dict[str, tuple[int, ...]], layout: Layout, place: str) -> None:
    if "volume" in found and not layout.volume:
        raise InputError(f"{place}: there is a volume column, though --no-volume declares that there is none")
    if "volume" not in found and layout.volume:
        raise InputError(
            f"{place}: no volume column; name it with --columns 'volume=NAME', or store 0 with --no-volume"
        )


def _setting(key: str, value: object, faults: list[str]) -> object:
    """`value` as Layout wants it; what cannot be is added to `faults`."""
    if key in ("header", "volume", "newest_first"):
        expected, fits = "true or false", isinstance(value, bool)
    elif key == "price_scale":
        # bool is an int to Python, and 1e999 is a float: neither is a scale.
        expected = "a number above 0"
        fits = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")
    elif key in ("columns", "symbols"):
        expected, fits = "a table", isinstance(value, dict)
    else:
        expected, fits = "text", isinstance(value, str)
    if not fits:
        faults.append(f"{key} is {value!r}; expected {expected}")
    elif isinstance(value, dict):
        return _columns(value, faults) if key == "columns" else _symbols(value, faults)
    return float(value) if key == "price_scale" and isinstance(value, int) else value


def _columns(table: dict[str, object], faults: list[str]) -> dict[str, tuple[str, ...]]:
    columns: dict[str, tuple[str, ...]] = {}
    for name, value in table.items():
        chosen = value if isinstance(value, list) else [value]
        if name not in FIELDS:
            faults.append(f"columns.{name} is not a field; expected {', '.join(FIELDS)}")
        elif not chosen or not all(isinstance(one, str) for one in chosen):
            faults.append(f"columns.{name} is {value!r}; expected a column's name, or a list of names to join")
        else:
            columns[name] = tuple(str(one) for one in chosen)
    return columns


def _symbols(table: dict[str, object], faults: list[str]) -> dict[str, str]:
    faults += [
        f"symbols.{name} is {value!r}; expected text" for name, value in table.items() if not isinstance(value, str)
    ]
    return {name: str(value) for name, value in table.items()}


def _shown(header: list[str]) -> str:
    text = ", ".join(repr(name) for name in header[:20])
    return text + (f" and {len(header) - 20} more" if len(header) > 20 else "")
