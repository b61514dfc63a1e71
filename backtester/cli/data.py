"""`backtester data`: what a store holds, and whether it can be trusted."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import click

from backtester.cli import indicators

STORE = click.argument("store", type=click.Path(exists=True, file_okay=False, path_type=Path))
JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.group("data")
def command() -> None:
    """Show and check what a store holds, and what can be computed from it."""


command.add_command(indicators.command, "indicators")


@command.command("list")
@STORE
@JSON
def list_(store: Path, as_json: bool) -> None:
    """The exchanges and intervals of STORE, with their sessions, symbols, bars and bytes.

    \b
    backtester data list store
    backtester data list store --json
    """
    from backtester.data.store import Store
    from backtester.data.survey import holdings

    found = holdings(Store(store))
    if as_json:
        click.echo(json.dumps({"store": str(store), "holdings": [_plain(each) for each in found]}))
        return
    rows = [[h.exchange, h.interval, h.sessions, h.first, h.last, h.symbols, h.bars, h.bytes] for h in found]
    _print_table(["exchange", "interval", "sessions", "first", "last", "symbols", "bars", "bytes"], rows)


@command.command()
@STORE
@click.option("--exchange", required=True)
@click.option("--interval", required=True)
@JSON
def info(store: Path, exchange: str, interval: str, as_json: bool) -> None:
    """Each symbol of one exchange and interval: sessions, bars, and where they came from.

    \b
    backtester data info store --exchange XNYS --interval 1m
    backtester data info store --exchange XNYS --interval 1m --json
    """
    from backtester.data.store import Store
    from backtester.data.survey import sources, symbols
    from backtester.interval import Interval

    opened, parsed = Store(store), Interval.parse(interval)
    found, origins = symbols(opened, exchange, parsed), sources(opened, exchange, parsed)
    if as_json:
        click.echo(json.dumps({"symbols": [_plain(each) for each in found], "sources": origins}))
        return
    rows = [[each.symbol, each.sessions, each.first, each.last, each.bars] for each in found]
    _print_table(["symbol", "sessions", "first", "last", "bars"], rows)
    click.echo()
    for origin in origins:
        click.echo("source  " + ", ".join(f"{key} {value}" for key, value in sorted(origin.items())))


@command.command()
@STORE
@click.option("--exchange", required=True)
@click.option("--interval", required=True)
@click.option("--start", type=date.fromisoformat, default=None, metavar="DATE", help="First session; default all.")
@click.option("--end", type=date.fromisoformat, default=None, metavar="DATE", help="Last session; default all.")
@JSON
def check(store: Path, exchange: str, interval: str, start: date | None, end: date | None, as_json: bool) -> None:
    """Verify every digest and count the gaps of STORE's bars against the calendar.

    \b
    backtester data check store --exchange XNYS --interval 1m
    backtester data check store --exchange XNYS --interval 1m --start 2024-11-25 --json
    """
    from backtester.data.store import Store
    from backtester.data.survey import check_bars
    from backtester.errors import VerificationError
    from backtester.interval import Interval

    found = check_bars(Store(store), exchange, Interval.parse(interval), start=start, end=end)
    if as_json:
        click.echo(json.dumps(_plain(found)))
    else:
        rows = [
            [
                q.symbol,
                q.sessions,
                q.bars,
                q.expected_bars,
                q.missing_bars,
                f"{q.quality_pct:.4f}",
                q.worst or "",
                q.outside_bars,
            ]
            for q in found.symbols
        ]
        names = ["symbol", "sessions", "bars", "expected", "missing", "quality_pct", "worst session", "extended"]
        _print_table(names, rows)
        click.echo()
        click.echo(f"{found.sessions} sessions, {found.missing_sessions} of the calendar's between them not stored")
        for reason, count in found.quarantined.items():
            click.echo(f"quarantined  {count}  {reason}")
        for line in found.labels:
            click.echo(f"labels       {line}")
        for line in found.damage:
            click.echo(f"damage       {line}")
    if found.damage:
        raise VerificationError(f"{store}: {len(found.damage)} damaged session files; import their sources again")


def _plain(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if hasattr(value, "_asdict"):
        return {key: _plain(each) for key, each in value._asdict().items()}
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return value


def _print_table(names: list[str], rows: list[list[Any]]) -> None:
    cells = [names, *([f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(names))]
    numeric = [bool(rows) and isinstance(rows[0][column], int) for column in range(len(names))]
    for row in cells:
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(row, widths, numeric, strict=True)
        )
        click.echo("  ".join(padded).rstrip())
