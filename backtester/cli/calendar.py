"""`backtester calendar`: the sessions of an exchange, or the exchanges there are."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import click

from backtester.errors import UsageError

if TYPE_CHECKING:
    from backtester.data.calendar import Calendar, Session

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@click.command()
@click.argument("exchange", required=False)
@click.option("--start", type=click.DateTime(["%Y-%m-%d"]), help="First date, inclusive [default: 1 January].")
@click.option("--end", type=click.DateTime(["%Y-%m-%d"]), help="Last date, inclusive [default: 31 December].")
@click.option("--list", "is_list", is_flag=True, help="List the exchanges with zone, range and aliases.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
def command(
    exchange: str | None, start: dt.datetime | None, end: dt.datetime | None, is_list: bool, as_json: bool
) -> None:
    """Show the sessions of EXCHANGE, in its own time, or list the exchanges when none is named.

    Without --start and --end the year of the other is shown, without both the current year.

    \b
    backtester calendar XNYS --start 2025-06-30 --end 2025-07-07
    backtester calendar 24/7 --start 2025-01-01 --end 2025-01-31 --json
    """
    if exchange is None or is_list:
        if exchange is not None or start is not None or end is not None:
            raise UsageError(
                "--list shows every exchange; leave out EXCHANGE, --start and --end, or name EXCHANGE without --list"
            )
        list_exchanges(as_json=as_json)
        return
    from backtester.data import calendar  # numpy and pyarrow: 0.2 s

    known = calendar.load(exchange)
    first, last = shown_range(start, end)
    sessions = known.sessions(first, last)
    if as_json:
        click.echo(json.dumps(sessions_object(known, sessions, first, last), indent=2))
    else:
        print_sessions(known, sessions, first, last)


def shown_range(start: dt.datetime | None, end: dt.datetime | None) -> tuple[dt.date, dt.date]:
    """The dates asked for; an end left out is that of the other's year, or of this one, and stderr says so."""
    year = start.year if start else end.year if end else dt.datetime.now(dt.UTC).year
    first = start.date() if start else dt.date(year, 1, 1)
    last = end.date() if end else dt.date(year, 12, 31)
    if start is None or end is None:
        click.echo(f"showing {first} to {last}; choose with --start and --end", err=True)
    return first, last


def list_exchanges(*, as_json: bool) -> None:
    """Print every exchange with its zone, range and aliases."""
    from backtester.data import calendar  # numpy: 0.1 s

    if as_json:
        rows = [
            {
                "exchange": known.name,
                "zone": known.zone,
                "first": known.first.isoformat(),
                "last": known.last.isoformat(),
                "aliases": list(known.aliases),
            }
            for known in calendar.packaged()
        ]
        click.echo(json.dumps({"exchanges": rows}, indent=2))
        return
    click.echo(f"{'exchange':<12}{'zone':<34}{'first':<12}{'last':<12}also known as")
    for known in calendar.packaged():
        line = f"{known.name:<12}{known.zone:<34}{known.first!s:<12}{known.last!s:<12}{', '.join(known.aliases)}"
        click.echo(line.rstrip())


def print_sessions(known: Calendar, sessions: list[Session], first: dt.date, last: dt.date) -> None:
    """One line a session in exchange time; an instant on another date than its session's shows how many days off."""
    zone = ZoneInfo(known.zone)
    click.echo(f"{known.exchange}, {known.zone} time, {first} to {last}: {len(sessions)} sessions")
    click.echo(f"{'session':<16}{'open':<10}{'close':<10}{'break':<15}early close")
    for session in sessions:
        opened, closed = (clock(at, session.date, zone) for at in (session.open_at, session.close_at))
        pause = "-"
        if session.break_start_at is not None and session.break_end_at is not None:
            begins, ends = (clock(at, session.date, zone) for at in (session.break_start_at, session.break_end_at))
            pause = f"{begins}-{ends}"
        early = "yes" if session.is_early_close else "-"
        click.echo(f"{session.date:%Y-%m-%d %a}  {opened:<10}{closed:<10}{pause:<15}{early}")


def clock(at: int, date: dt.date, zone: ZoneInfo) -> str:
    """Local hours and minutes, with `-1d` or `+1d` for the day before or after the session's date."""
    local = local_time(at, zone)
    days = (local.date() - date).days
    return f"{local:%H:%M}" + (f" {days:+d}d" if days else "")


def local_time(at: int, zone: ZoneInfo) -> dt.datetime:
    """UTC microseconds as a time in `zone`."""
    return (EPOCH + dt.timedelta(microseconds=at)).astimezone(zone)


def sessions_object(known: Calendar, sessions: list[Session], first: dt.date, last: dt.date) -> dict[str, Any]:
    """The sessions as JSON, every instant in exchange time (with its offset) and in UTC; no break is null."""
    zone = ZoneInfo(known.zone)
    rows = []
    for session in sessions:
        row: dict[str, Any] = {"session": session.date.isoformat()}
        for name in ("open", "close", "break_start", "break_end"):
            at: int | None = getattr(session, f"{name}_at")
            row[f"{name}_local"] = None if at is None else local_time(at, zone).isoformat()
            row[f"{name}_at"] = None if at is None else local_time(at, ZoneInfo("UTC")).isoformat()
        rows.append(row | {"is_early_close": session.is_early_close})
    head = {"exchange": known.exchange, "zone": known.zone, "start": first.isoformat(), "end": last.isoformat()}
    return head | {"sessions": rows}
