"""The entry point of the command line: exit codes, errors on one line, warnings, interruption."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version as installed
from pathlib import Path
from typing import Annotated, Any, TextIO

import typer

from thresher.cli import interruption
from thresher.cli.commands import LazyCommands
from thresher.errors import UserError
from thresher.execution import torchrun
from thresher.progress import warn
from thresher.wording import printable

# Where typer keeps it depends on its version.
UsageError: Any = typer.BadParameter.__bases__[0]
USER_MISTAKE = 2
OURS = Path(__file__).parents[1]

app = typer.Typer(
    name="thresher",
    cls=LazyCommands,
    epilog="Start with `thresher demo --out demo-run`.",
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def thresher(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="print the version and exit")] = False,
) -> None:
    """Which rows of a fine-tuning set can your language model do without? Scored, pruned, proved by retraining."""
    if version:
        print(installed("thresher"))
        raise typer.Exit
    if torchrun.world() > 1 and context.invoked_subcommand not in (None, "train"):
        raise UserError("torchrun is for `thresher train`; run the other steps once, without it")
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 invalid input, 130, 143 or 129 interrupted.

    Anything else is a defect of thresher; it keeps its traceback and exits with 1.
    """
    warnings.showwarning = _show_warning
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character must not end the command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # torchrun ends its processes with SIGTERM. One that waits for the others would not get to run a handler.
    with contextlib.nullcontext() if torchrun.world() > 1 else interruption.signals_raise():
        code = _outcome(arguments)
    if code in interruption.CODES:
        if torchrun.rank() == 0:
            print("interrupted; run the same command again to resume", file=sys.stderr)
        interruption.leave(code)
    sys.exit(code)


def _outcome(arguments: Sequence[str] | None) -> int:
    """Run the command line; the exit code."""
    try:
        if torchrun.rank() > 0:
            from thresher.training.train import train_job

            torchrun.follow(train_job)
            return 0
        code = app(args=None if arguments is None else list(arguments), standalone_mode=False)
        torchrun.dismiss()
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return interruption.CTRL_C
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0
    except UserError as error:
        return _fail(str(error))
    except Exception as error:
        if not isinstance(error, UsageError):
            raise
        return _fail(_usage(error))


def _fail(message: str) -> int:
    print(f"error: {printable(message)}", file=sys.stderr)
    return USER_MISTAKE


def _usage(error: Any) -> str:
    """Print an error in the options on one line, with the command for help."""
    message = error.format_message().rstrip(".")
    command = error.ctx.command_path if error.ctx else "thresher"
    return f"{message}; `{command} --help` lists what there is"


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Show thresher's warnings, and hide those of libraries."""
    if Path(filename).is_relative_to(OURS):
        warn(str(message))
