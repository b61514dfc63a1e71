"""LEAN data folders: minute and second zips of trades or quotes, one CSV in each (futures: one a contract), no header.

A row is milliseconds since midnight of the file's date in the market's data zone, then open, high, low, close, volume
for trades, or bid open..close and size, ask open..close and size for quotes. Labels are bar starts.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from backtester.data.importers.containers import VendorFile, describe, read_bytes, unzip
from backtester.data.importers.csv import read_text, require_text
from backtester.data.importers.rows import to_rows
from backtester.errors import InputError, UsageError
from backtester.interval import Interval

FOLDERS = {"1m": "minute", "1s": "second"}
# Equity prices are whole tenths of a cent; every other class writes plain decimals.
EQUITY_SCALE = 10_000.0
# Zone of the rows, from LEAN's market-hours database; None holds for the markets of a class not named. Checked on data:
# the US payrolls of 2014-05-02 08:30 New York move EURUSD (fxcm) at 07:30, ES (cme) is busiest at 20:00 UTC's close.
ZONES: dict[str, dict[str | None, str]] = {
    "equity": {"usa": "America/New_York", "india": "Asia/Kolkata"},
    "crypto": {None: "UTC"},
    "forex": {"fxcm": "Etc/GMT+5", "oanda": "UTC", "interactivebrokers": "UTC"},
    "cfd": {"oanda": "UTC", "interactivebrokers": "UTC"},
    "future": {
        **dict.fromkeys(("cme", "cbot", "comex", "nymex", "cfe", "nyseliffe", "sgx"), "UTC"),
        "eurex": "Europe/Berlin",
        "hkfe": "Asia/Hong_Kong",
        "india": "Asia/Kolkata",
        "krx": "Asia/Seoul",
    },
}
# Columns of open, high, low, close in a quote row.
BID, ASK = (1, 2, 3, 4), (6, 7, 8, 9)
# Small files are parsed together: a call costs more than the 900 rows of one.
GROUP_BYTES = 32 << 20
MS_PER_DAY = 86_400_000


@dataclass(frozen=True)
class LeanSource:
    """What to read of a LEAN data folder; price is `trade`, or `mid`, `bid`, `ask` to build bars from quotes."""

    root: Path
    interval: Interval
    asset_class: str = "equity"
    market: str | None = None
    symbols: tuple[str, ...] = ()
    start: dt.date | None = None
    end: dt.date | None = None
    price: str = "trade"


@dataclass(frozen=True)
class _Member:
    file: VendorFile
    date: dt.date
    symbol: str
    data: bytes


def data_zone(source: LeanSource) -> str:
    """The zone of the rows' milliseconds; raise InputError for a market whose zone is not on record."""
    market = _market(source).name
    zones = ZONES[source.asset_class]
    zone = zones.get(market, zones.get(None))
    if zone is None:
        raise InputError(f"{source.asset_class}/{market}: the zone of its files is not on record; declare --timezone")
    return zone


def read(source: LeanSource) -> Iterator[tuple[pl.DataFrame, tuple[VendorFile, ...]]]:
    """Yield groups of rows, oldest first; see `importers` for their shape. Labels are naive, in `data_zone`."""
    group: list[_Member] = []
    size = 0
    for symbol, path in _find(source):
        name = path.relative_to(source.root).as_posix()
        members = _members(name, read_bytes(path), symbol=symbol, asset_class=source.asset_class)
        group.extend(members)
        size += sum(len(member.data) for member in members)
        if size > GROUP_BYTES:
            yield _group_to_rows(group, source)
            group, size = [], 0
    if group:
        yield _group_to_rows(group, source)


def _market(source: LeanSource) -> Path:
    folder = source.root / source.asset_class
    markets = sorted(path.name for path in folder.iterdir() if path.is_dir()) if folder.is_dir() else []
    if not markets:
        raise InputError(f"{source.root}: no folder {source.asset_class}/<market>; name LEAN's data folder itself")
    if source.market is None and len(markets) > 1:
        raise UsageError(f"{folder}: several markets ({', '.join(markets)}); choose one with --market")
    market = source.market or markets[0]
    if market not in markets:
        raise UsageError(f"{folder}: no market {market!r}; there is {', '.join(markets)}")
    return folder / market


def _find(source: LeanSource) -> list[tuple[str, Path]]:
    """(symbol, zip) in the range asked for, by date and symbol; raise InputError if there is none or no such symbol."""
    if source.interval.text not in FOLDERS:
        raise UsageError(f"interval is {source.interval}; LEAN's zips are read at {' or '.join(FOLDERS)}")
    folder = _market(source) / FOLDERS[source.interval.text]
    there = {path.name.upper(): path for path in folder.iterdir() if path.is_dir()} if folder.is_dir() else {}
    unknown = [symbol for symbol in source.symbols if symbol.upper() not in there]
    if unknown or not there:
        raise InputError(
            f"{folder}: no data for {', '.join(unknown) or 'anything'}; there is {', '.join(sorted(there))}"
        )
    wanted = [symbol.upper() for symbol in source.symbols] or sorted(there)
    kind = "trade" if source.price == "trade" else "quote"
    found = [(date, symbol, path) for symbol in wanted for date, path in _dated(there[symbol], kind, source)]
    if not found:
        raise InputError(_nothing_found(there[wanted[0]], source))
    return [(symbol, path) for _, symbol, path in sorted(found)]


def _dated(folder: Path, kind: str, source: LeanSource) -> list[tuple[dt.date, Path]]:
    dated = []
    for path in folder.iterdir():
        match = re.fullmatch(rf"(\d{{4}})(\d\d)(\d\d)_{kind}\.zip", path.name)
        if match is None:
            continue
        try:
            date = dt.date(int(match[1]), int(match[2]), int(match[3]))
        except ValueError as error:
            raise InputError(f"{path}: its name holds no date") from error
        if (source.start or date) <= date <= (source.end or date):
            dated.append((date, path))
    return dated


def _nothing_found(folder: Path, source: LeanSource) -> str:
    between = f"from {source.start or 'the first'} to {source.end or 'the last'}"
    if source.price == "trade" and _dated(folder, "quote", source):
        return f"{folder}: only quotes {between}; build bars from them with --price mid (or bid, ask), volume 0"
    kind = "trade" if source.price == "trade" else "quote"
    return f"{folder}: no {kind} file {between}; widen --start and --end"


def _members(name: str, raw: bytes, *, symbol: str, asset_class: str) -> list[_Member]:
    file = describe(name, raw)
    date = dt.datetime.strptime(Path(name).name[:8], "%Y%m%d").date()  # noqa: DTZ007 - a date has no zone
    members = [_Member(file, date, _symbol(inside, symbol, asset_class), data) for inside, data in unzip(raw, name)]
    if not members or (len(members) > 1 and asset_class != "future"):
        raise InputError(f"{name}: {len(members)} files in the zip; expected one")
    return members


def _symbol(inside: str, symbol: str, asset_class: str) -> str:
    """The folder's name in capitals; for a future with the contract's month, as LEAN names the file: ES201312."""
    if asset_class != "future":
        return symbol
    match = re.search(r"_(\d{6})(?:_\d{8})?\.csv$", inside)
    if match is None:
        raise InputError(f"{symbol}: {inside!r} in the zip does not end in _<yyyymm>.csv, so its contract is unknown")
    return f"{symbol}{match[1]}"


def _group_to_rows(group: list[_Member], source: LeanSource) -> tuple[pl.DataFrame, tuple[VendorFile, ...]]:
    width = 6 if source.price == "trade" else 11
    bodies = [member.data.strip(b"\r\n") for member in group]
    for member, body in zip(group, bodies, strict=True):
        require_text(body, member.file.name)
    lines = [body.count(b"\n") + 1 if body else 0 for body in bodies]
    joined = b"\n".join(body for body in bodies if body)
    if not joined:
        raise InputError(f"{group[0].file.name}: no row of data")
    text, ragged = read_text(joined, width=width, wanted=list(range(width)), place=group[0].file.name)
    if ragged or text.height != sum(lines):
        _name_the_faulty(group, width)
    number = {file: k for k, file in enumerate(dict.fromkeys(member.file for member in group))}
    counts = pl.Series(lines, dtype=pl.UInt32)
    facts = pl.DataFrame(
        {
            "date": pl.Series([member.date for member in group], dtype=pl.Date),
            "symbol": [member.symbol for member in group],
            "file": pl.Series([number[member.file] for member in group], dtype=pl.UInt32),
        }
    ).select(pl.all().repeat_by(counts).explode(empty_as_null=False))
    # The lines of each file, for a future of each contract, count from 1.
    facts = facts.with_columns(row=np.concatenate([np.arange(1, count + 1) for count in lines]))
    rows = _to_rows(text, facts, source)
    return rows.with_columns(facts["file"], facts["row"]), tuple(number)


def _to_rows(text: pl.DataFrame, facts: pl.DataFrame, source: LeanSource) -> pl.DataFrame:
    ms = text["0"].cast(pl.Int64, strict=False)
    ms = ms.set((ms < 0) | (ms >= MS_PER_DAY), None)
    label = facts["date"].cast(pl.Datetime("us")) + (ms * 1000).cast(pl.Duration("us"))
    scale = EQUITY_SCALE if source.asset_class == "equity" else 1.0
    if source.price == "trade":
        names = {"1": "open", "2": "high", "3": "low", "4": "close", "5": "volume"}
        table = text.select(list(names)).rename(names)
    else:
        table = _quotes(text, source.price)
    table = table.with_columns(label.alias("label"), facts["symbol"])
    return to_rows(table, file=0, first_row=1, price_scale=scale)


def _quotes(text: pl.DataFrame, price: str) -> pl.DataFrame:
    """Bars of one side, or halfway between both; null, hence unreadable, where a side had no quote. Volume is 0."""
    sides = {"bid": (BID,), "ask": (ASK,), "mid": (BID, ASK)}[price]
    prices = []
    for field, columns in zip(("open", "high", "low", "close"), zip(*sides, strict=True), strict=True):
        values = [text[str(column)].cast(pl.Float64, strict=False) for column in columns]
        total = values[0] if len(values) == 1 else (values[0] + values[1]) / 2.0
        prices.append(total.alias(field))
    return pl.DataFrame(prices).with_columns(pl.lit(0.0).alias("volume"))


def _name_the_faulty(group: list[_Member], width: int) -> None:
    for member in group:
        body = member.data.strip(b"\r\n")
        text, ragged = read_text(body, width=width, wanted=[0], place=member.file.name)
        if ragged:
            line, found = ragged[0]
            raise InputError(f"{member.file.name}: line {line} is {found!r}; expected {width} fields")
        if text.height != body.count(b"\n") + 1:
            raise InputError(f"{member.file.name}: holds empty lines; expected {width} fields in each")
    raise AssertionError("a group is faulty only if a member is")
