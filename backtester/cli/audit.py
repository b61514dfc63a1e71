"""`backtester audit`: prove on sampled sessions that a run does not look ahead, and that fast and slow agree."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from backtester.errors import VerificationError

if TYPE_CHECKING:
    from backtester.run.audit import Audit
    from backtester.run.warming import History

WAYS = {"replay": "row by row", "interpreted": "as plain Python", "afresh": "with a strategy made anew"}


@click.command()
@click.argument("config_path", metavar="CONFIG", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--store", type=click.Path(path_type=Path), default=Path("store"), show_default=True, help="Source bars.")
@click.option("--sessions", type=click.IntRange(1), default=2, show_default=True, help="How many, evenly spread.")
@click.option("--every", type=click.IntRange(1), default=13, show_default=True, help="Look at every so many bars.")
@click.option("--full", is_flag=True, help="Look at every bar.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Processes.")
@click.option("--out", type=click.Path(path_type=Path), help="Keep the result in the manifest of CONFIG's run there.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    config_path: Path,
    store: Path,
    sessions: int,
    every: int,
    full: bool,
    workers: int,
    out: Path | None,
    as_json: bool,
) -> None:
    """Change the future of CONFIG's sessions and see whether its past moves; compare fast with slow; exit 8 if so.

    \b
    backtester audit my.toml --sessions 5 --full
    backtester audit my.toml --out runs
    """
    from backtester.cli.talk import talk_aside
    from backtester.data.store import Store
    from backtester.run import plan as plans
    from backtester.run.audit import choose_kernels_for, finished_run, keep, run_audit

    with talk_aside():
        plan = plans.from_file(config_path, Store(store))
        run_dir = finished_run(plan, out) if out is not None else None
        every = 1 if full else every
        choose_kernels_for(plan, sessions=sessions, every=every, tell=lambda text: click.echo(text, err=True))
        found = run_audit(plan, sessions=sessions, every=every, workers=workers, config_path=config_path)
    told = found.told()
    if run_dir is not None:
        keep(run_dir, told)
    if as_json:
        click.echo(json.dumps({**told, "violations": found.violations, "run_id": plan.run_id}))
    else:
        click.echo("\n".join([*_lines(found), f"sha256 {told['sha256']}"]))
    if found.violations:
        raise VerificationError(f"{config_path}: {found.violations} violations")


def _lines(found: Audit) -> list[str]:
    shown = ", ".join(found.sessions[:5]) + (", ..." if len(found.sessions) > 5 else "")
    lines = [f"audited {len(found.sessions)} sessions ({shown}), {found.checks:,} changed futures"]
    # What nothing was held against is shown by nothing: no "ok" for it.
    seen = "FAIL" if found.leaks else "ok  " if found.checks else "none"
    lines.append(f"{seen}  nothing known by an instant depends on what came after it")
    lines += [f"      {line}" for line in _leaks(found.leaks)]
    ways = ", ".join(f"{WAYS[way]} in {_counted(count)}" for way, count in found.compared.items()) or "nothing"
    seen = "FAIL" if found.parity else "ok  " if found.compared else "none"
    lines.append(f"{seen}  the same bytes when run otherwise (compared: {ways})")
    lines += [f"      {line}" for line in found.parity]
    lines += [f"note  {column} {_history(history)}" for column, history in found.warm_up.items()]
    for column, rows in found.order.items():
        lines.append(f"note  {column} depends on the order of symbols at one label in {rows} rows")
    for failure in found.failures:
        lines.append(f"note  a changed session failed {failure.times} times, which compares nothing: {failure.where}")
        lines.append(f"      {failure.words}")
    return lines


def _leaks(leaks: list[dict[str, Any]]) -> list[str]:
    """Those of the first table of the pipeline in full; what comes after it has it from there, or its own."""
    if not leaks:
        return []
    first = leaks[0]["output"]
    lines = [_leak(leak) for leak in leaks if leak["output"] == first]
    later: dict[str, int] = {}
    for leak in leaks:
        if leak["output"] != first:
            later[leak["output"]] = later.get(leak["output"], 0) + 1
    columns = ", ".join(f"{output} ({count})" for output, count in later.items())
    return [*lines, f"and columns of what follows from it: {columns} (--json tells each)"] if later else lines


def _leak(leak: dict[str, Any]) -> str:
    import numpy as np

    at = np.datetime64(leak["timestamp"], "us").astype("datetime64[s]")
    where = f"{leak['output']}.{leak['column']} of {leak['symbol'] or 'the account'} at {at}Z"
    away = leak["distance_bars"]
    how = f"{leak['poison']} first, {leak['places']} times"
    return f"{where} changed with what came up to {away} label{'s' if away != 1 else ''} later ({how})"


def _history(history: History) -> str:
    first = f"has its first value with bar {history.first_bars} of {history.interval}"
    if history.first_bars is None:
        first = "has no value without history"
    if history.bars == 0:
        return f"{first}; nothing before the session changes it"
    if history.bars is None:
        tried = (
            f"with all of the {history.tried_sessions} sessions tried" if history.tried_sessions else "; none to try"
        )
        return f"{first}; it goes on overnight, and still changes {tried}"
    in_sessions = _counted(history.sessions or 0)
    return f"{first}; the {history.bars} bars before the session change it (in {in_sessions}), more do not"


def _counted(sessions: int) -> str:
    return f"{sessions} session{'' if sessions == 1 else 's'}"
