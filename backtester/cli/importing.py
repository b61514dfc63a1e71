"""`backtester import`: vendor files into a store, one command a format."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, TypeVar, Unpack

import click

from backtester.errors import UsageError

if TYPE_CHECKING:
    from backtester.data.importers.layout import Layout
    from backtester.data.importers.rows import Naming
    from backtester.data.ingest import Import, Reads, Summary
    from backtester.data.placing import Placing

Command = TypeVar("Command", bound=Callable[..., object])
SOURCES = click.Path(exists=True, path_type=Path)
STORE = click.Path(file_okay=False, path_type=Path)


class CommonOptions(TypedDict):
    """What every format takes."""

    exchange: str
    interval: str
    bad_rows: str
    allow_nonpositive: bool
    accept_labels: bool
    replace: bool
    as_json: bool


class LeanOptions(CommonOptions):
    """What a LEAN folder takes besides."""

    symbols: str | None
    start: dt.datetime | None
    end: dt.datetime | None
    asset_class: str
    market: str | None
    price: str
    timezone: str | None


class TableOptions(CommonOptions):
    """What text and Parquet tables take besides."""

    symbol: str | None
    symbol_from: str | None
    timezone: str | None
    label: str | None
    shift: str | None
    columns: str | None
    map_path: Path | None
    time_format: str | None
    price_scale: float | None
    no_volume: bool
    newest_first: bool


class TextOptions(TableOptions):
    """What only text tables take."""

    delimiter: str | None
    no_header: bool


COMMON = (
    click.option("--exchange", required=True, help="MIC of the calendar, such as XNYS; 24/7 for crypto."),
    click.option("--interval", required=True, help="Length of a bar: 1m, 5m, 1s, 1d."),
    click.option(
        "--bad-rows",
        type=click.Choice(["refuse", "quarantine"]),
        default="refuse",
        show_default=True,
        help="Refuse an import with rows that are no bars, or set those rows aside and count them.",
    ),
    click.option("--allow-nonpositive", is_flag=True, help="The instrument may trade at zero and below."),
    click.option("--accept-labels", is_flag=True, help="Import although the bars contradict their labels."),
    click.option("--replace", is_flag=True, help="Let bars take the place of stored ones that differ."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object to stdout."),
)
TABLE = (
    click.option("--symbol", help="The symbol of every row, where no column holds it."),
    click.option("--symbol-from", help="The symbol as part of the path: '*_1m.parquet', '*/2024.csv'."),
    click.option("--timezone", help="The zone whose clock the times show, unless they carry an offset or are counts."),
    click.option("--label", type=click.Choice(["start", "end"]), help="Which end of its bar a time names."),
    click.option("--shift", help="Added to every time: -4h, 30m, -90m."),
    click.option("--columns", help="field=column,...: 'timestamp=Date+Time,open=Open', or positions: 'open=2'."),
    click.option("--map", "map_path", type=SOURCES, help="A TOML file with all that describes the vendor's table."),
    click.option("--time-format", help="How times read: '%m/%d/%Y %H:%M', epoch_s, epoch_ms, epoch_us, epoch_ns."),
    click.option("--price-scale", type=float, help="Prices are stored multiplied by this, such as 10000."),
    click.option("--no-volume", is_flag=True, help="The table has no volume: store 0."),
    click.option("--newest-first", is_flag=True, help="Rows run backwards in time."),
)
TEXT = (
    click.option("--delimiter", help="What parts the fields, if not the commonest of , ; tab |."),
    click.option("--no-header", is_flag=True, help="The first line is data; give --columns by position."),
)


def _with(*groups: tuple[Callable[[Command], Command], ...]) -> Callable[[Command], Command]:
    def decorate(command: Command) -> Command:
        for option in reversed([option for group in groups for option in group]):
            command = option(command)
        return command

    return decorate


@click.group(name="import")
def command() -> None:
    """Bring vendor files into a store: read, placed in time, checked, kept by session.

    What a file cannot say is declared, never guessed. Rows that are no bars and labels that the bars themselves
    contradict are refused, with evidence and the option that helps.
    """


LEAN = (
    click.option("--symbols", help="Comma-separated; all of the market without it."),
    click.option("--start", type=click.DateTime(["%Y-%m-%d"]), help="Date of the first file to read."),
    click.option("--end", type=click.DateTime(["%Y-%m-%d"]), help="Date of the last file to read."),
    click.option(
        "--asset-class",
        type=click.Choice(["equity", "crypto", "forex", "future", "cfd"]),
        default="equity",
        show_default=True,
    ),
    click.option("--market", help="LEAN's market folder, such as usa; the only one there without it."),
    click.option(
        "--price",
        type=click.Choice(["trade", "mid", "bid", "ask"]),
        default="trade",
        show_default=True,
        help="Trades, or bars built from quotes, with volume 0.",
    ),
    click.option("--timezone", help="The zone of the files, where it is not on record for the market."),
)


@command.command()
@click.argument("source", type=SOURCES)
@click.argument("store", type=STORE)
@_with(LEAN, COMMON)
def lean(source: Path, store: Path, **options: Unpack[LeanOptions]) -> None:
    """Import the trades or quotes of SOURCE, a LEAN data folder, into STORE."""
    from backtester.data.importers import lean as reader
    from backtester.data.placing import Placing
    from backtester.interval import Interval

    start, end = (day.date() if day else None for day in (options["start"], options["end"]))
    if start and end and start > end:
        raise UsageError(f"--start {start} lies after --end {end}")
    wanted = tuple(symbol.strip() for symbol in (options["symbols"] or "").split(",") if symbol.strip())
    folder = reader.LeanSource(
        root=source,
        interval=Interval.parse(options["interval"]),
        asset_class=options["asset_class"],
        market=options["market"],
        symbols=wanted,
        start=start,
        end=end,
        price=options["price"],
    )
    placing = Placing(folder.interval, zone=options["timezone"] or reader.data_zone(folder))
    facts = {"format": "lean", "asset_class": folder.asset_class, "price": folder.price}
    summary = _run(reader.read(folder), _plan(placing, facts, options), store, as_json=options["as_json"])
    absent = [symbol for symbol in wanted if not any(one.startswith(symbol.upper()) for one in summary.symbols)]
    if absent:
        click.echo(f"no file in the range: {', '.join(absent)}", err=True)


@command.command(name="csv")
@click.argument("sources", type=SOURCES, nargs=-1, required=True)
@click.argument("store", type=STORE)
@_with(TABLE, TEXT, COMMON)
def csv_command(sources: tuple[Path, ...], store: Path, **options: Unpack[TextOptions]) -> None:
    """Import SOURCES, text tables (.gz too) or folders of them, into STORE."""
    from backtester.data.importers import csv as reader

    layout = _layout(options, delimiter=options["delimiter"], header=False if options["no_header"] else None)
    placing, naming = _placing(layout, options), _naming(options)
    plan = _plan(placing, _facts("csv", layout), options)
    _run(reader.read(sources, layout, naming), plan, store, as_json=options["as_json"])


@command.command()
@click.argument("sources", type=SOURCES, nargs=-1, required=True)
@click.argument("store", type=STORE)
@_with(TABLE, COMMON)
def parquet(sources: tuple[Path, ...], store: Path, **options: Unpack[TableOptions]) -> None:
    """Import SOURCES, Parquet tables or folders of them, into STORE."""
    from backtester.data.importers import parquet as reader

    layout = _layout(options)
    placing, naming = _placing(layout, options), _naming(options)
    plan = _plan(placing, _facts("parquet", layout), options)
    _run(reader.read(sources, layout, naming), plan, store, as_json=options["as_json"])


def _layout(options: TableOptions, **text: str | bool | None) -> Layout:
    """What the map file says, with what the command line says in its place."""
    from backtester.data.importers.layout import Layout, load_layout, parse_columns

    declared: dict[str, object] = {
        "columns": parse_columns(options["columns"]) if options["columns"] else None,
        "time_format": options["time_format"],
        "price_scale": options["price_scale"],
        "volume": False if options["no_volume"] else None,
        "newest_first": options["newest_first"] or None,
        "timezone": options["timezone"],
        "label": options["label"],
        "shift": options["shift"],
        **text,
    }
    mapped = load_layout(options["map_path"]) if options["map_path"] else {}
    return Layout.of(mapped | {name: value for name, value in declared.items() if value is not None})


def _placing(layout: Layout, options: TableOptions) -> Placing:
    from backtester.data.placing import Placing, parse_shift
    from backtester.interval import Interval

    interval = Interval.parse(options["interval"])
    if layout.label is None and interval.is_intraday:
        raise UsageError("the files cannot say which end of its bar a time names: declare --label start or --label end")
    return Placing(
        interval,
        label=layout.label or "start",
        zone=layout.timezone,
        shift_us=parse_shift(layout.shift or "0"),
        time_format=layout.time_format,
    )


def _naming(options: TableOptions) -> Naming:
    from backtester.data.importers.rows import Naming

    if options["symbol"] is not None and options["symbol_from"] is not None:
        raise UsageError("--symbol and --symbol-from both name the symbol; give one")
    return Naming(options["symbol"], options["symbol_from"])


def _facts(kind: str, layout: Layout) -> dict[str, object]:
    """What was declared of a table, as the store keeps it."""
    return {"format": kind, **layout.declared()}


def _plan(placing: Placing, facts: Mapping[str, object], options: CommonOptions) -> Import:
    from backtester.data.ingest import Import
    from backtester.data.placing import format_shift

    placed = {"timezone": placing.zone, "label": placing.label, "shift": format_shift(placing.shift_us)}
    return Import(
        exchange=options["exchange"],
        placing=placing,
        source={**facts, **placed},
        quarantine=options["bad_rows"] == "quarantine",
        allow_nonpositive=options["allow_nonpositive"],
        accept_labels=options["accept_labels"],
        replace=options["replace"],
    )


def _run(reads: Reads, plan: Import, store: Path, *, as_json: bool) -> Summary:
    from backtester.data.ingest import ingest
    from backtester.data.store import Store

    summary = ingest(reads, plan, Store(store), tell=lambda text: click.echo(text, err=True))
    click.echo(summary.text(), err=True)
    if as_json:
        click.echo(json.dumps(summary.to_json(), sort_keys=True))
    return summary
