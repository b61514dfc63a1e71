"""`backtester sql`: a question to a run, in SQL."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING

import click

from backtester.errors import UsageError

if TYPE_CHECKING:
    from backtester.data.run_dir import RunDir


@click.command()
@click.argument("run_dir", type=click.Path(path_type=Path))
@click.argument("statement", required=False)
@click.option("-f", "--file", type=click.File("r", encoding="utf-8"), help="Read the statement from FILE; - is stdin.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json", "parquet"]), default="table")
@click.option("--json", "form", flag_value="json", help="The same as --format json.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write to a file; parquet needs one.")
@click.option("--timeout", type=click.FloatRange(min=0.1), default=60.0, show_default=True, help="In seconds.")
def command(
    run_dir: Path, statement: str | None, file: IO[str] | None, form: str, output: Path | None, timeout: float
) -> None:
    """Answer STATEMENT, one SELECT or EXPLAIN, over the committed tables of RUN_DIR; without it, list the views.

    The statement runs in a process of its own that can read the run's tables and nothing else.
    """
    from backtester.data.run_dir import RunDir

    if statement is not None and file is not None:
        raise UsageError("a statement and --file were both given; expected one of them")
    if form == "parquet" and output is None:
        raise UsageError("--format parquet needs --output FILE")
    if output is not None and output.resolve().is_relative_to(run_dir.resolve()):
        raise UsageError(f"{output} lies inside the run; results are never written over, choose another place")
    run = RunDir.open(run_dir)
    if run.manifest() is None:
        committed = len(run.sessions())
        click.echo(f"note: this run has not finished; the answer is over its {committed} committed sessions", err=True)
    text = file.read() if file is not None else statement
    content = _listing(run, form) if text is None else _answer(run, text, form=form, timeout=timeout)
    _write(content, output)


def _answer(run: RunDir, text: str, *, form: str, timeout: float) -> bytes:
    from backtester.results import query

    try:
        table = query.ask(run.root, text, limits=query.Limits(seconds=timeout))
    except KeyboardInterrupt:
        click.echo("interrupted: the statement was stopped", err=True)
        sys.exit(130)
    from backtester.results.render import render

    return render(table, form)


def _listing(run: RunDir, form: str) -> bytes:
    """Every view with its grain and its columns."""
    from backtester.results import views

    found = views.described(run)
    if form == "json":
        return (json.dumps(found, indent=1) + "\n").encode()
    lines = []
    for view in found:
        lines += [f"{view['view']}: {view['grain']}"]
        lines += [f"    {column['name']}  {column['type']}" for column in view["columns"]]
    return ("\n".join(lines) + "\n").encode()


def _write(content: bytes, output: Path | None) -> None:
    if output is None:
        sys.stdout.buffer.write(content)
        return
    from backtester.data.durable import write_whole

    write_whole(output, content, sync=True)
    click.echo(f"wrote {output} ({len(content):,} bytes)", err=True)
