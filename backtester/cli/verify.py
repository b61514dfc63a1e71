"""`backtester verify`: prove that a run's files and numbers are what they claim."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from backtester.errors import VerificationError

if TYPE_CHECKING:
    from backtester.results.verify import Report


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="One object instead of lines.")
def command(run_dir: Path, as_json: bool) -> None:
    """Check every digest, schema and row count of RUN_DIR, then every invariant of sql/checks; exit 8 if one fails."""
    from backtester.data.run_dir import RunDir
    from backtester.results.verify import verify

    report = verify(RunDir.open(run_dir))
    click.echo(_json(report) if as_json else _text(report))
    if not report.ok:
        failed = [check.name for check in report.checks if check.violations]
        found = [f"damage in {len(report.damage)} places"] if report.damage else []
        found += [f"failed checks: {', '.join(failed)}"] if failed else []
        raise VerificationError(f"{run_dir}: {'; '.join(found)}")


def _json(report: Report) -> str:
    from backtester.results.render import plain

    checks = [
        {"name": check.name, "claim": check.claim, "violations": check.violations, "rows": plain(check.rows)}
        for check in report.checks
    ]
    digests = {"ok": not report.damage, "damage": report.damage}
    found = {"ok": report.ok, "sessions": report.sessions, "files": report.files, "digests": digests, "checks": checks}
    return json.dumps(found, indent=1, ensure_ascii=False)


def _text(report: Report) -> str:
    from backtester.results.render import aligned, plain

    lines = [f"{'ok  ' if not report.damage else 'FAIL'}  digests, schemas and row counts of {report.files} files"]
    lines += [f"      {text}" for text in report.damage]
    for check in report.checks:
        lines.append(f"{'FAIL' if check.violations else 'ok  '}  {check.claim}  [{check.name}]")
        if check.violations:
            names = list(check.rows[0])
            rows = [names, *([str(plain(row[name])) for name in names] for row in check.rows)]
            lines += [f"      {line}" for line in aligned(rows, to_right=[False] * len(names))]
            lines.append(f"      ({len(check.rows)} of {check.violations:,} rows)")
    failed = sum(check.violations > 0 for check in report.checks)
    verdict = "verified" if report.ok else "NOT verified"
    lines.append(
        f"{verdict}: {report.sessions} sessions, {report.files} files, {failed} of {len(report.checks)} checks failed"
    )
    return "\n".join(lines)
