"""`backtester diff`: where two runs part, and what made them."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("run_a", type=click.Path(path_type=Path))
@click.argument("run_b", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One object instead of lines.")
def command(run_a: Path, run_b: Path, as_json: bool) -> None:
    """Compare the fills of two runs: the first that differs, and the setting or input that caused it."""
    from backtester.data.run_dir import RunDir
    from backtester.results.diff import diff, shown
    from backtester.results.render import plain

    found = diff(RunDir.open(run_a), RunDir.open(run_b))
    if as_json:
        click.echo(json.dumps(plain(found._asdict())))
        return
    if found.column is None:
        click.echo(f"the same {found.number} fills")
    else:
        click.echo(f"first difference: fill {found.number}, {found.column}")
        for name, fill in (("a", found.fill_a), ("b", found.fill_b)):
            told = "no more fills" if fill is None else _line(fill)
            click.echo(f"  {name}  {told}")
    click.echo(f"cause: {found.cause}")
    for key, (one, other) in found.settings.items():
        click.echo(f"  setting  {key}: {shown(one)} and {shown(other)}")
    for session in found.inputs[:10]:
        click.echo(f"  input    {session}: other source bars")
    if len(found.inputs) > 10:
        click.echo(f"  input    and {len(found.inputs) - 10} more")
    for name in found.sources:
        click.echo(f"  source   {name}: another file")
    if found.code is not None:
        click.echo(f"  code     {found.code[0]} and {found.code[1]}")


def _line(fill: dict[str, object]) -> str:
    side = "buy" if fill["side"] == 1 else "sell"
    at = str(fill["filled_at"]).replace("+00:00", "Z")
    return (
        f"{at} {fill['symbol']} {side} {fill['quantity']:g} at {fill['price']:.10g} "
        f"({fill['rule']}, reference {fill['reference_price']:.10g}, commission {fill['commission']:.6g})"
    )
