"""`backtester sample`: simulated sessions into a store."""

from __future__ import annotations

import datetime as dt
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from backtester.data.sample import Sample, Written

DATE = click.DateTime(["%Y-%m-%d"])


@click.command()
@click.argument("store", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--symbols", type=click.IntRange(1, 9999), default=8, show_default=True, help="How many; 8 show each kind."
)
@click.option("--start", type=DATE, default="2024-11-18", show_default="2024-11-18", help="First date, inclusive.")
@click.option("--end", type=DATE, default="2024-12-03", show_default="2024-12-03", help="Last date, inclusive.")
@click.option("--exchange", default="XNYS", show_default=True, help="Whose sessions; see `backtester calendar`.")
@click.option("--interval", default="1m", show_default=True, help="Length of a bar, below a day.")
@click.option("--seed", type=click.IntRange(min=0), default=7, show_default=True, help="Another seed, other bars.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
def command(
    store: Path,
    symbols: int,
    start: dt.datetime,
    end: dt.datetime,
    exchange: str,
    interval: str,
    seed: int,
    as_json: bool,
) -> None:
    """Write simulated bars into STORE, a new directory or one made by this command.

    They look like a market's (a busy open and close, missing bars, a halt, a half day, a late listing, a thin symbol)
    and are no market's. The same seed gives the same bars, on any machine and in any range.

    \b
    backtester sample store
    backtester sample bench-store --symbols 500 --start 2024-11-01 --end 2024-12-31
    """
    from backtester.data import sample as simulated
    from backtester.data.store import Store
    from backtester.interval import Interval

    plan = simulated.Sample(
        exchange=exchange,
        interval=Interval.parse(interval),
        start=start.date(),
        end=end.date(),
        symbols=symbols,
        seed=seed,
    )
    is_watched = sys.stderr.isatty() and symbols >= 50

    def tell(session: dt.date) -> None:
        if is_watched:
            click.echo(f"\rsimulated {session}", err=True, nl=False)

    written = simulated.write(plan, Store(store), tell=tell)
    if is_watched:
        click.echo(err=True)
    if as_json:
        click.echo(json.dumps(as_object(plan, written, store)))
    else:
        print_summary(plan, written, store)


def print_summary(plan: Sample, written: Written, store: Path) -> None:
    """What was simulated, and what each symbol shows; beyond the first round of kinds, how many symbols more."""
    first, last = written.sessions[0], written.sessions[-1]
    click.echo(
        f"simulated, not market data: {plan.symbols} symbols x {len(written.sessions)} sessions of {plan.exchange}, "
        f"{first} to {last}, {sum(written.bars.values())} bars of {plan.interval} ({written.new_bars} new) in {store}"
    )
    early = ", ".join(date.isoformat() for date in written.early_closes)
    click.echo(f"half days: {early or 'none'}; seed {plan.seed}")
    click.echo(f"{'symbol':<10}{'bars':>8}  what it shows")
    shown = list(zip(plan.names(), written.bars.values(), plan.kinds(), strict=True))
    for name, bars, kind in shown[:8]:
        click.echo(f"{name:<10}{bars:>8}  {kind.text}")
    if len(shown) > 8:
        click.echo(f"and {len(shown) - 8} more, of the same kinds in turn, to {shown[-1][0]}")


def as_object(plan: Sample, written: Written, store: Path) -> dict[str, object]:
    """The same as JSON."""
    symbols = zip(plan.names(), written.bars.values(), plan.kinds(), strict=True)
    return {
        "kind": "simulated",
        "store": str(store),
        "exchange": plan.exchange,
        "interval": str(plan.interval),
        "seed": plan.seed,
        "sessions": [date.isoformat() for date in written.sessions],
        "early_closes": [date.isoformat() for date in written.early_closes],
        "bars": sum(written.bars.values()),
        "new_bars": written.new_bars,
        "symbols": [{"symbol": name, "bars": bars, "shows": kind.text} for name, bars, kind in symbols],
    }
