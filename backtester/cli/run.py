"""`backtester run`: a config over its sessions."""

from __future__ import annotations

import dataclasses
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from backtester.run.attest import Attestor
    from backtester.run.plan import Plan
    from backtester.run.pool import Progress


@click.command("run")
@click.argument("config_path", metavar="CONFIG", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--store", type=click.Path(path_type=Path), default=Path("store"), show_default=True, help="Source bars.")
@click.option("--out", type=click.Path(path_type=Path), default=Path("runs"), show_default=True, help="Where runs go.")
@click.option("--start", metavar="DATE", help="Replaces run.start.")
@click.option("--end", metavar="DATE", help="Replaces run.end.")
@click.option("--symbols", metavar="A,B,...", help='Replaces run.symbols; "*" takes every symbol of the store.')
@click.option(
    "--mode",
    type=click.Choice(["vector", "replay"]),
    default="vector",
    show_default=True,
    help="Row by row gives the same bytes; event strategies know no other way.",
)
@click.option("--attest", type=click.IntRange(0), default=0, help="Look for look-ahead in so many sessions.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, show_default=True, help="Sessions at a time.")
@click.option("--resume", is_flag=True, help="Finish a run that was interrupted.")
@click.option(
    "--permute-ties", type=click.IntRange(min=1), metavar="N", help="Try N other orders of the symbols; see their P&L."
)
@click.option("--dry-run", is_flag=True, help="Say what would be read, and write nothing.")
@click.option("--verbose", is_flag=True, help="Print every SESSION_FLOW line.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    config_path: Path,
    store: Path,
    out: Path,
    start: str | None,
    end: str | None,
    symbols: str | None,
    mode: str,
    attest: int,
    workers: int,
    resume: bool,
    permute_ties: int | None,
    dry_run: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Run CONFIG over its sessions and commit their tables under OUT/<run_id>.

    \b
    backtester run configs/seed.toml --store store --out runs
    backtester run configs/seed.toml --start 2025-07-02 --end 2025-07-02 --json
    """
    begun = time.perf_counter()
    listed = symbols if symbols in (None, "*") else symbols.split(",")
    given = {"start": start, "end": end, "symbols": listed}
    overrides = {key: value for key, value in given.items() if value is not None}

    from backtester.cli.talk import talk_aside
    from backtester.data.store import Store
    from backtester.errors import PartialError, VerificationError
    from backtester.run import plan as plans

    with talk_aside():
        plan = plans.from_file(config_path, Store(store), overrides=overrides, tell=_say)
    plan = dataclasses.replace(plan, is_replayed=mode == "replay")
    if dry_run:
        _print_estimate(plan, as_json=as_json)
        return

    from backtester.run import pool

    with talk_aside():
        outcome = pool.run_plan(
            plan,
            out,
            workers=workers,
            resume=resume,
            attestor=_attestor(plan, attest),
            tell=_say,
            progress=_Bar(verbose=verbose).show,
        )
    seconds = time.perf_counter() - begun
    result = {
        "run_id": plan.run_id,
        "run_dir": str(outcome.run_dir),
        "sessions": outcome.sessions,
        "bars": outcome.bars,
        "seconds": round(seconds, 3),
        "failed": outcome.failed,
    }
    from backtester.data.run_dir import RunDir
    from backtester.results import headline

    metrics = headline.metrics_of(RunDir(outcome.run_dir)) if plan.strategy is not None else {}
    refused = headline.refusals(RunDir(outcome.run_dir)) if plan.strategy is not None else {}
    attested = {"attestation": outcome.attestation} if attest and outcome.attestation is not None else {}
    ties = {} if permute_ties is None else _ties(plan, permute_ties)
    if as_json:
        more = {"metrics": headline.as_json(metrics), "refused": refused} if metrics else {}
        click.echo(json.dumps(result | more | attested | ({"ties": ties} if ties else {})))
    else:
        already = "" if outcome.computed else " (already complete)"
        click.echo(f"{outcome.sessions} sessions, {outcome.bars:,} bars in {seconds:.2f} s{already}: {outcome.run_dir}")
        lines = [*(headline.headline(metrics) if metrics else ()), *headline.refusals_line(refused)]
        lines += _attested(outcome.attestation) if outcome.attestation is not None and attest else []
        for line in [*lines, *(headline.ties_line(ties) if ties else ())]:
            click.echo(line)
    if outcome.attestation is not None and outcome.attestation["violations"]:
        raise VerificationError("; ".join(outcome.attestation["violations"]))
    if outcome.failed:
        raise PartialError(f"{outcome.failed} symbol-sessions failed; their reasons are in the run's view `failures`")


def _say(text: str) -> None:
    click.echo(text, err=True)


def _ties(plan: Plan, orders: int) -> dict[str, Any]:
    """The P&L under other orders of the symbols."""
    from backtester.cli.talk import talk_aside
    from backtester.run import pool, ties

    pool.choose_kernels(plan, plan.sessions, _say)
    with talk_aside():
        spread = ties.spread_of(plan, orders=orders)
    return {"orders": orders, "seed": ties.SEED, "pnl": spread.pnl.tolist(), "widest": spread.widest}


def _attestor(plan: Plan, sessions: int) -> Attestor | None:
    """Imported where it is asked for: it brings Polars."""
    if not sessions:
        return None
    from backtester.run.attest import Attestor

    return Attestor(plan, sessions)


def _attested(found: dict[str, Any]) -> list[str]:
    """What an attestation says, for people."""
    sessions, violations = found["sessions"], found["violations"]
    verdict = f"{len(violations)} violations" if violations else "nothing known by then depends on what came after"
    if not sessions:
        verdict = "nothing is shown"
    lines = [f"attested at one instant of {len(sessions)} sessions ({', '.join(sessions[:5]) or 'none'}): {verdict}"]
    return [*lines, *(f"  not attested: {day}: {why}" for day, why in found["skipped"].items())]


class _Bar:
    """Progress on a terminal's one line, nothing elsewhere; every flow line if asked for."""

    def __init__(self, *, verbose: bool) -> None:
        self.verbose = verbose
        self.is_terminal = sys.stderr.isatty()

    def show(self, at: Progress) -> None:
        if self.verbose:
            click.echo("\n".join(at.lines), err=True)
        elif self.is_terminal:
            left = at.seconds / at.sessions * (at.of_sessions - at.sessions)
            end = "\n" if at.sessions == at.of_sessions else ""
            rate = at.bars / at.seconds / 1e6
            text = f"\r{at.sessions}/{at.of_sessions} sessions  {rate:.1f} M rows/s  ETA {left:.0f} s "
            click.echo(text + end, err=True, nl=False)


def _print_estimate(plan: Plan, *, as_json: bool) -> None:
    entries = [entry for session in plan.sessions if (entry := plan.entry(session.date)) is not None]
    rows = sum(plan.rows(session.date) for session in plan.sessions)
    # 30 ns a row: read, pass and commit of 500 symbols on two cores (bench/bench_run.py); a second to load kernels.
    estimate = {
        "run_id": plan.run_id,
        "sessions": len(plan.sessions),
        "files": len(entries),
        "symbols": len(plan.symbols),
        "rows": rows,
        "bytes": sum(entry.size for entry in entries),
        "estimated_seconds": round(0.3 + (0.9 + rows * 30e-9 if rows >= 50_000 else rows * 20e-6), 1),
    }
    if as_json:
        click.echo(json.dumps(estimate))
    else:
        for key, value in estimate.items():
            click.echo(f"{key:18} {value:,}" if isinstance(value, int | float) else f"{key:18} {value}")
