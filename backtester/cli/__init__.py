"""The command line: each command's module is imported only when that command runs."""

from __future__ import annotations

import gc
import importlib
import os
import sys

import click

from backtester import __version__
from backtester.errors import BacktestError

# command -> (module under backtester.cli, the line shown by --help)
COMMANDS = {
    "init": ("init", "Write a project that runs: config, strategy, simulated bars."),
    "sample": ("sample", "Write simulated sessions into a store."),
    "import": ("importing", "Bring vendor files into a store."),
    "data": ("data", "Show and check what a store holds."),
    "calendar": ("calendar", "Show the sessions of an exchange."),
    "run": ("run", "Run a config over its sessions."),
    "sql": ("sql", "Ask a run a question in SQL."),
    "replay": ("replay", "Step through a session in the terminal."),
    "audit": ("audit", "Prove that a config's run does not look ahead, and that fast and slow agree."),
    "explain": ("explain", "Say why a fill, an order, a trade or a refusal is what it is."),
    "diff": ("diff", "Find where two runs part, and what made them."),
    "verify": ("verify", "Check every digest and invariant of a run."),
}


class LazyGroup(click.Group):
    """A group that knows its commands' names and help without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  # click passes it
        """The commands in the order of the work: data in, run, answers out."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command:
        """The command `cmd_name`, imported now; its function is named `command` in its module."""
        if cmd_name not in COMMANDS:
            raise click.NoSuchCommand(cmd_name, possibilities=COMMANDS, ctx=ctx)
        # What an import makes stays: looking for garbage among it took a twentieth of a small run.
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            module = importlib.import_module(f"backtester.cli.{COMMANDS[cmd_name][0]}")
        finally:
            if was_enabled:
                gc.enable()
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The list of commands, written without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="backtester")
def cli() -> None:
    """Backtest intraday sessions: vendor files in, one pass a session, tables out, questions answered in SQL."""


def main() -> None:
    """Run the command line; an error of ours ends with its own exit code and no traceback."""
    try:
        cli.main(standalone_mode=False)
    except BacktestError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except click.exceptions.Exit as request:
        sys.exit(request.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted; what was committed stays, and `run --resume` finishes a run", err=True)
        sys.exit(130)
    except BrokenPipeError:
        # The reader went away (`| head`): not an error, and nothing is left to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
