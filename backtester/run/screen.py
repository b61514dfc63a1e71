"""The screen of a session played back: lines of text for any size of terminal, without colour."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

if TYPE_CHECKING:
    from backtester.run.player import Player

SPEEDS = (1, 2, 5, 10, 30, 60, 120)  # labels a second
KEYS = (
    ("space", "play and pause"),
    ("n b", "a label on, a label back (right, left)"),
    ("] [", "ten labels on, ten back (page down, page up)"),
    ("f", "the next fill"),
    ("g", "the next gap"),
    ("0 e", "the open, the end (home, end)"),
    ("s S", "the next symbol, the one before (down, up)"),
    ("+ -", "faster, slower"),
    ("?", "this list"),
    ("q", "leave"),
)
# The first that fits the width.
HELP = (
    "space play/pause  n/b step  ]/[ ten  f fill  g gap  0/e ends  s/S symbol  +/- speed  ? keys  q quit",
    "space play  n/b step  ]/[ ten  f fill  g gap  0/e ends  s symbol  ? keys  q quit",
    "space n b f g +/-  ? keys  q quit",
    "? keys  q quit",
)


class Column(NamedTuple):
    """One column of the table of symbols."""

    name: str
    width: int
    rank: int  # the highest goes first where there is no room


COLUMNS = (
    Column("close", 11, 0),
    Column("volume", 14, 3),
    Column("high", 11, 5),
    Column("low", 11, 4),
    Column("vwap", 11, 7),
    Column("bars", 6, 2),
    Column("qual%", 7, 6),
    Column("position", 10, 1),
    Column("filled", 11, 8),
)


def lines(player: Player, width: int, height: int) -> list[str]:
    """Exactly `height` lines of at most `width` characters."""
    body = [_head(player), _money(player), _bar(player)]
    # A third of what is left is for what happens, at least.
    room = max(min(len(player.symbols), (height - 6) * 2 // 3), 1)
    hidden = len(player.symbols) - room
    body += [*_table(player, room, width), f"{hidden} more symbols (s)" if hidden > 0 else ""]
    left = max(height - 1 - len(body), 0)
    body += _keys(left) if player.is_explaining else player.happened(left)
    body = [*body[: height - 1], *[""] * (height - 1 - len(body))]
    return [line[:width] for line in [*body, next((text for text in HELP if len(text) <= width), "")]]


def _head(player: Player) -> str:
    """The clock first and the run's name last: a narrow screen cuts it."""
    state = "playing" if player.is_playing else "paused"
    clock = f"{local(player.now, player.zone):%H:%M:%S}"
    label = f"label {player.label + 1}/{len(player.known_at)}"
    told = [clock, f"{state} {SPEEDS[player.speed]}/s", label, str(player.session.date), player.note, player.name]
    return "  ".join(part for part in told if part)


def _money(player: Player) -> str:
    cash, equity = player.account()
    return f"equity {equity:,.2f}  cash {cash:,.2f}" if player.has_account else "no strategy, no account"


def _bar(player: Player) -> str:
    """The bar that is just over of the first symbol shown, and who has none here."""
    if player.label < 0:
        return "before the first bar"
    symbol, at = player.symbols[player.symbol], player.labels[player.label]
    bar = player.data.get_latest_bar(symbol)
    clock = f"{local(at, player.zone):%H:%M}"
    told = f"{symbol} {clock}"
    if bar is None or bar.timestamp != at:
        told += " no bar"
    else:
        prices = zip("ohlc", (bar.open, bar.high, bar.low, bar.close), strict=True)
        told += "".join(f" {name} {number(price)}" for name, price in prices) + f" v {number(bar.volume)}"
    missing = [name for name in player.missing() if name != symbol]
    more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
    return told + (f"  none of {', '.join(missing[:3])}{more}" if missing else "")


def _table(player: Player, room: int, width: int) -> list[str]:
    """As many symbols as there is room for, and the columns that fit."""
    shown = [player.symbols[(player.symbol + k) % len(player.symbols)] for k in range(room)]
    wide = min(max(map(len, ["symbol", *player.symbols])), 12)
    chosen: set[str] = set()
    left = width - wide
    for column in sorted(COLUMNS, key=lambda each: each.rank):
        if column.width <= left:
            chosen.add(column.name)
            left -= column.width
    columns = [column for column in COLUMNS if column.name in chosen]
    found = [f"{'symbol':{wide}}" + "".join(f"{column.name:>{column.width}}" for column in columns)]
    for symbol in shown:
        cells = _cells(player, symbol)
        found.append(f"{symbol[:wide]:{wide}}" + "".join(f"{cells[each.name]:>{each.width}}" for each in columns))
    return found


def _cells(player: Player, symbol: str) -> dict[str, str]:
    own = player.data.get_symbol_data(symbol)
    metrics = None if own is None else own.metrics()
    position, price = player.position(symbol)
    cells = dict.fromkeys((column.name for column in COLUMNS), "-")
    cells |= {"position": f"{position:.8g}", "filled": number(price)}
    if own is not None and metrics is not None:
        prices = zip(
            ("close", "volume", "high", "low", "vwap"),
            (own.close, metrics.session_volume, metrics.session_high, metrics.session_low, metrics.session_vwap),
            strict=True,
        )
        cells |= {name: number(value) for name, value in prices}
        cells |= {"bars": str(metrics.bars), "qual%": f"{metrics.quality_pct:.1f}"}
    return cells


def _keys(room: int) -> list[str]:
    if room >= len(KEYS):
        return [f"{keys:6} {does}" for keys, does in KEYS]
    return [
        "  ".join(f"{keys} {does.partition(' (')[0]}" for keys, does in KEYS[k :: max(room, 1)]) for k in range(room)
    ]


def number(value: float | None) -> str:
    """A price or a volume in at most 13 characters: up to 7 digits as they are, above that whole."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if abs(value) >= 100_000.0 else f"{value:.7g}"


def local(instant: int, zone: ZoneInfo) -> datetime:
    """An instant on the exchange's clock."""
    return datetime.fromtimestamp(instant / 1e6, UTC).astimezone(zone)
