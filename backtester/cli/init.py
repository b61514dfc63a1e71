"""`backtester init`: a project that runs: a config, a strategy, simulated bars."""

from __future__ import annotations

from pathlib import Path

import click

FILES = ("config.toml", "breakout.py")


@click.command("init")
@click.argument("folder", metavar="DIR", type=click.Path(file_okay=False, path_type=Path))
@click.option("--symbols", type=click.IntRange(1, 500), default=8, show_default=True, help="How many to simulate.")
def command(folder: Path, symbols: int) -> None:
    """Write a project into DIR: a config, a strategy to change, and a store of simulated bars.

    \b
    backtester init mine
    cd mine && backtester run config.toml
    """
    import datetime as dt

    from backtester.data import sample
    from backtester.data.store import Store
    from backtester.errors import UsageError
    from backtester.interval import Interval

    taken = [name for name in (*FILES, "store") if (folder / name).exists()]
    if taken:
        raise UsageError(f"{folder} has {', '.join(taken)} already; name another folder")
    folder.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        (folder / name).write_bytes((_templates() / name).read_bytes())
    plan = sample.Sample(
        exchange="XNYS",
        interval=Interval.parse("1m"),
        start=dt.date(2024, 11, 18),
        end=dt.date(2024, 12, 3),
        symbols=symbols,
        seed=7,
    )
    written = sample.write(plan, Store(folder / "store"), tell=lambda _: None)
    click.echo(f"{folder}/config.toml   the run: sessions, symbols, strategy, execution, limits")
    click.echo(f"{folder}/breakout.py   the strategy: change it, or point [strategy] use at your own")
    click.echo(
        f"{folder}/store         {sum(written.bars.values()):,} simulated bars of {symbols} symbols, no market's"
    )
    click.echo(f"next: cd {folder} && backtester run config.toml")


def _templates() -> Path:
    """The project's files: beside the package in a checkout, inside it when installed."""
    package = Path(__file__).parent.parent
    installed = package / "_configs"
    return (installed if installed.is_dir() else package.parent / "configs") / "project"
