"""`backtester explain`: why a fill, an order, a trade or a refusal is what it is."""

from __future__ import annotations

import json
from pathlib import Path

import click

from backtester.errors import UsageError


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--fill", type=int, help="Number of a fill.")
@click.option("--order", type=int, help="Number of an order.")
@click.option("--trade", type=int, help="Number of a trade.")
@click.option("--reject", type=int, help="Number of an order that was refused or ended unfilled.")
@click.option("--json", "as_json", is_flag=True, help="One object instead of lines.")
def command(
    run_dir: Path, fill: int | None, order: int | None, trade: int | None, reject: int | None, as_json: bool
) -> None:
    """Explain one fill, order, trade or refusal of RUN_DIR: bar, rule, prices, costs, cash, quality.

    \b
    backtester explain runs/bf32bf4671274faf --fill 0
    """
    from backtester.data.run_dir import RunDir
    from backtester.results import explain
    from backtester.results.render import plain

    makers = {
        "fill": (fill, explain.explain_fill),
        "order": (order, explain.explain_order),
        "trade": (trade, explain.explain_trade),
        "reject": (reject, explain.explain_reject),
    }
    asked = [(number, make) for number, make in makers.values() if number is not None]
    if len(asked) != 1:
        raise UsageError("explain: give one of --fill, --order, --trade and --reject, with a number")
    number, make = asked[0]
    told = make(RunDir.open(run_dir), number)
    if as_json:
        click.echo(json.dumps(plain({"what": told.what, "number": told.number, **told.sections})))
    else:
        click.echo(explain.text_of(told))
