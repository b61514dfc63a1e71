"""`backtester audit`: prove on sampled sessions that a run does not look ahead, and that fast and slow agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backtester.errors import VerificationError

if TYPE_CHECKING:
    from backtester.run.audit import Audit


@click.command()
@click.argument("config_path", metavar="CONFIG", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--store", type=click.Path(path_type=Path), default=Path("store"), show_default=True, help="Source bars.")
@click.option("--sessions", type=click.IntRange(1), default=2, show_default=True, help="How many, evenly spread.")
@click.option("--every", type=click.IntRange(1), default=13, show_default=True, help="Look at every so many bars.")
@click.option("--full", is_flag=True, help="Look at every bar.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(config_path: Path, store: Path, sessions: int, every: int, full: bool, as_json: bool) -> None:
    """Change the future of CONFIG's sessions and see whether its past moves; compare fast with slow; exit 8 if so.

    \b
    backtester audit my.toml --sessions 5 --full
    """
    from backtester.cli.talk import talk_aside
    from backtester.data.store import Store
    from backtester.kernels import jit
    from backtester.run import plan as plans
    from backtester.run.audit import run_audit
    from backtester.run.pool import COMPILE_ROWS

    with talk_aside():
        plan = plans.from_file(config_path, Store(store))
    rows = sum(plan.rows(session.date) for session in plan.sessions) / len(plan.sessions)
    # Each look at a session computes it three times over, from its bars on.
    if rows * sessions * (390 if full else 390 / every) * 3 >= COMPILE_ROWS:
        jit.compiled()
    with talk_aside():
        found = run_audit(plan, sessions=sessions, every=every, full=full)
    shown = {**found._asdict(), "violations": found.violations, "digest": found.digest}
    click.echo(json.dumps(shown) if as_json else _text(found))
    if found.violations:
        raise VerificationError(f"{config_path}: {found.violations} violations")


def _text(found: Audit) -> str:
    lines = [
        f"audited {len(found.sessions)} sessions ({', '.join(found.sessions[:5])}), {found.checks} changed futures"
    ]
    lines.append(f"{'FAIL' if found.leaks else 'ok  '}  nothing known by an instant depends on what came after it")
    lines += [f"      {_leak(leak)}" for leak in found.leaks]
    ways = " and ".join(found.compared) or "nothing"
    lines.append(f"{'FAIL' if found.parity else 'ok  '}  the same bytes when run otherwise (compared: {ways})")
    lines += [f"      {line}" for line in found.parity]
    for column, sessions in found.warm_up.items():
        told = "more than 20 sessions" if sessions is None else f"{sessions} sessions"
        lines.append(f"note  {column} needs {told} of history before its values stay the same")
    for column, rows in found.order.items():
        lines.append(f"note  {column} depends on the order of symbols at one label in {rows} rows")
    for text, count in found.failures.items():
        lines.append(f"note  the strategy failed {count} times on a changed session: {text}")
    lines.append(f"digest {found.digest}")
    return "\n".join(lines)


def _leak(leak: dict[str, object]) -> str:
    import numpy as np

    at = np.datetime64(int(str(leak["timestamp"])), "us")
    where = f"{leak['output']}.{leak['column']} of {leak['symbol'] or 'the account'} at {at}Z"
    return f"{where} changed with a bar {leak['distance_bars']} labels later ({leak['poison']}, {leak['places']} times)"
