"""Bars for the importer's tests: simulated sessions of every kind of instrument, and the real files where they are."""

from __future__ import annotations

import datetime as dt
import functools
from pathlib import Path
from typing import NamedTuple
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from backtester.cli import cli
from backtester.data import calendar
from backtester.data.importers import csv, lean, parquet
from backtester.data.importers.layout import Layout, parse_columns
from backtester.data.importers.rows import Naming
from backtester.data.placing import Placing, parse_shift, place
from backtester.errors import BacktestError
from backtester.interval import Interval

REAL = Path(__file__).resolve().parents[3] / "shared" / "data"
MINUTE_US = 60_000_000
ONE_MINUTE = Interval.parse("1m")
POSITIONS = "timestamp=1,open=2,high=3,low=4,close=5,volume=6"
COLUMNS = ("symbol", "timestamp", "open", "high", "low", "close", "volume")


class Imported(NamedTuple):
    """What a command line gave back."""

    code: int
    out: str
    err: str


def run_import(*arguments: object) -> Imported:
    """Run `backtester import ...` in this process; an error of ours gives its exit code and words."""
    result = CliRunner().invoke(cli, ["import", *map(str, arguments)])
    if isinstance(result.exception, BacktestError):
        return Imported(result.exception.exit_code, result.stdout, str(result.exception))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Imported(result.exit_code, result.stdout, result.stderr)


def real(*parts: str) -> Path:
    """A real vendor's file or folder; the test is skipped where it is not at hand."""
    path = REAL.joinpath(*parts)
    if not path.exists():
        pytest.skip(f"no real vendor files here ({'/'.join(parts)})")
    return path


class Kind(NamedTuple):
    """How an instrument trades: share of minutes with a bar inside and outside regular hours, and its volume."""

    regular: float = 1.0
    extended: float = 0.0
    volume: float = 20_000.0
    closing_print: bool = False


def simulate(
    kinds: dict[str, Kind], *, start: str, end: str, exchange: str = "XNYS", interval: str = "1m", seed: int = 7
) -> pl.DataFrame:
    """Simulated bars by start label (int64 us), by symbol and time: a busy opening, a U-shaped day, a late surge."""
    length, sessions = Interval.parse(interval).us, calendar.load(exchange).sessions(_date(start), _date(end))
    random, frames = np.random.default_rng(seed), []
    for symbol, kind in kinds.items():
        for session in sessions:
            before = 330 * MINUTE_US // length * length
            at = np.arange(session.open_at - before, session.close_at + 240 * MINUTE_US, length)
            inside = (at >= session.open_at) & (at < session.close_at)
            here = random.random(at.size) < np.where(inside, kind.regular, kind.extended)
            here |= (at == session.open_at) & (random.random() < 0.9)
            here |= (at == session.close_at) & kind.closing_print
            since, left = (at - session.open_at) / MINUTE_US, (session.close_at - at) / MINUTE_US
            shape = np.where(inside, 1 + 3 * np.exp(-since / 30) + 2 * np.exp(-left / 20), 0.05)
            shape[at == session.open_at] = 25.0
            shape[at == session.close_at] = 40.0 if kind.closing_print else 0.05
            volume = np.ceil(kind.volume * shape * random.lognormal(0.0, 0.7, at.size)) if kind.volume else 0.0 * shape
            frames.append(_walk(symbol, at[here], volume[here], random))
    return pl.concat(frames)


def _walk(symbol: str, at: np.ndarray, volume: np.ndarray, random: np.random.Generator) -> pl.DataFrame:
    ticks = 10_000 + np.cumsum(random.integers(-5, 6, (at.size, 4)).reshape(-1)).reshape(-1, 4)
    return pl.DataFrame(
        {
            "symbol": pl.Series([symbol] * at.size, dtype=pl.String),
            "timestamp": pl.Series(at, dtype=pl.Int64),
            "open": ticks[:, 0] / 100,
            "high": ticks.max(axis=1) / 100,
            "low": ticks.min(axis=1) / 100,
            "close": ticks[:, 3] / 100,
            "volume": volume,
        }
    )


def _date(text: str) -> dt.date:
    return dt.date.fromisoformat(text)


def rezone(bars: pl.DataFrame, *, shown: str, read_as: str) -> pl.DataFrame:
    """The bars as they come out if a vendor's clock shows one zone and the import declares another."""
    clock = pl.col("timestamp").cast(pl.Datetime("us", "UTC")).dt.convert_time_zone(shown).dt.replace_time_zone(None)
    read = clock.dt.replace_time_zone(read_as, ambiguous="null", non_existent="null").dt.convert_time_zone("UTC")
    return bars.with_columns(read.to_physical().alias("timestamp")).drop_nulls("timestamp")


def shift(bars: pl.DataFrame, minutes: int) -> pl.DataFrame:
    """The bars with every label moved."""
    return bars.with_columns(pl.col("timestamp") + minutes * MINUTE_US)


def write_csv(bars: pl.DataFrame, path: Path, *, zone: str = "UTC", label_minutes: int = 0) -> Path:
    """Write bars as a vendor would, times as naive text on the clock of `zone`."""
    instant = (pl.col("timestamp") + label_minutes * MINUTE_US).cast(pl.Datetime("us", "UTC"))
    text = instant.dt.convert_time_zone(zone).dt.strftime("%Y-%m-%d %H:%M:%S")
    bars.select(text.alias("timestamp"), *COLUMNS[2:], "symbol").write_csv(path)
    return path


def _text(path: Path, placing: Placing, layout: Layout, naming: Naming) -> pl.DataFrame:
    frames = [place(rows, placing, place="file")[0] for rows, _ in csv.read((path,), layout, naming)]
    return _canonical(pl.concat(frames))


def _canonical(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("symbol", pl.col("timestamp").to_physical(), *COLUMNS[2:])


def _lean(asset_class: str, price: str = "trade") -> pl.DataFrame:
    source = lean.LeanSource(real("lean"), ONE_MINUTE, asset_class=asset_class, price=price)
    placing = Placing(ONE_MINUTE, zone=lean.data_zone(source))
    return _canonical(pl.concat([place(rows, placing, place="zip")[0] for rows, _ in lean.read(source)]))


@functools.cache
def real_bars(name: str) -> pl.DataFrame:
    """A real data set placed as it should be: symbol, timestamp (int64 us), prices, volume."""
    start, by_header = Placing(ONE_MINUTE), Layout()
    end_utc = Placing(ONE_MINUTE, label="end", zone="UTC")
    shifted = Placing(ONE_MINUTE, zone="UTC", shift_us=parse_shift("-4h"))
    fixed = Layout(header=False, columns=parse_columns(POSITIONS))
    new_york = Placing(ONE_MINUTE, zone="America/New_York", time_format="%m/%d/%Y %H:%M")
    texts = {
        "mit": ("us_equity_2024_1m_mit/stocks", start, by_header, Naming(pattern="*/2024.csv")),
        "ext": ("us_equity_2025_1m_ext/2025-01", start, by_header, Naming(pattern="*.csv")),
        "ibkr": ("ibkr_aapl_1d/AAPL_1min.csv", start, by_header, Naming("AAPL")),
        "spx": ("mplfinance_spx_2019/SP500_NOV2019_IDay.csv", new_york, by_header, Naming("SPX")),
        "ninjatrader": ("ninjatrader_spy_2011/nt-spy-minute-2011.csv", end_utc, fixed, Naming("SPY")),
        "polygon": ("reencoded_containers/polygon_flatfile_layout", start, by_header, Naming()),
        "aapl": ("mismartera/bars_dump_AAPL_2025-07-02.csv", shifted, by_header, Naming("AAPL")),
        "rivn": ("mismartera/bars_dump_RIVN_2025-07-02.csv", shifted, by_header, Naming("RIVN")),
        "six_e": ("nautilus/xcme", end_utc, by_header, Naming("6EH4")),
        "btc": ("nautilus/btc-perp-20211231-20220201_1m.csv", end_utc, by_header, Naming("BTC")),
        "adabtc": ("nautilus/ADABTC-1m-2021-11-27.csv", start, fixed, Naming("ADABTC")),
        "usdjpy": ("nautilus/fxcm/usdjpy-m1-bid-2013.csv", start, Layout(volume=False), Naming("USDJPY")),
        "fesx": (
            "backtrader/2006-01-02-volume-min-001.txt",
            Placing(ONE_MINUTE, label="end", zone="Europe/Berlin"),
            Layout(columns=parse_columns("timestamp=1+2,open=3,high=4,low=5,close=6,volume=7")),
            Naming("FESX"),
        ),
    }
    if name in texts:
        path, placing, layout, naming = texts[name]
        return _text(real(path), placing, layout, naming)
    if name in ("yahoo", "yfinance"):
        folder = real("us_equity_2026_1m_yahoo" if name == "yahoo" else "yfinance_csv_2026-03")
        pattern = "*.csv" if name == "yahoo" else "*_1m.csv"
        paths = [path for path in sorted(folder.glob(pattern)) if path.name != "MANIFEST.csv"]
        return pl.concat([_text(path, start, by_header, Naming(pattern=pattern)) for path in paths])
    if name == "parquet":
        reads = parquet.read((real("us_equity_2025-11_1m_parquet"),), by_header, Naming(pattern="*_1m.parquet"))
        return _canonical(pl.concat([place(rows, start, place="file")[0].drop("label") for rows, _ in reads]))
    asset_class, price = {
        "lean": ("equity", "trade"),
        "crypto": ("crypto", "trade"),
        "future": ("future", "trade"),
        "forex": ("forex", "mid"),
        "cfd": ("cfd", "mid"),
    }[name]
    return _lean(asset_class, price)


def new_york(timestamps: pl.Series) -> list[str]:
    """Instants (int64 us) as New York clock times."""
    zone = ZoneInfo("America/New_York")
    return [f"{dt.datetime.fromtimestamp(at / 1e6, zone):%Y-%m-%d %H:%M}" for at in timestamps.to_list()]
