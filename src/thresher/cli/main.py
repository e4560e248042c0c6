"""The entry point of the command line: exit codes, errors on one line, warnings, interruption."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import shlex
import sys
import tempfile
import traceback
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
from thresher.progress import tell, warn
from thresher.wording import printable, shown

# Where typer keeps it depends on its version.
UsageError: Any = typer.BadParameter.__bases__[0]
USER_MISTAKE = 2
DEFECT = 1
# 128 + SIGPIPE, as a shell shows it.
READER_GONE = 141
UNWRITABLE = (errno.EPIPE, errno.ENOSPC, errno.EIO)
MEND = "check the path and its permissions, and run the same command again"
# A file or folder that the user must mend, wherever it is met.
UNUSABLE = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.EISDIR, errno.ENOTDIR, errno.ELOOP),
    *(errno.ENAMETOOLONG, errno.ENOSPC, errno.EDQUOT),
)
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

    Anything else is a defect of thresher: one line that says where its traceback was written, and exit code 1.
    """
    warnings.showwarning = _show_warning
    _open_outputs()
    for stream in (sys.stdout, sys.stderr):
        # A terminal that cannot show a character must not end the command.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # torchrun ends its processes with SIGTERM. One that waits for the others would not get to run a handler.
    with contextlib.nullcontext() if torchrun.world() > 1 else interruption.signals_raise():
        code = _written(_outcome(arguments))
    if code in interruption.CODES:
        if torchrun.rank() == 0:
            tell("interrupted; run the same command again to resume")
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
    except OSError as error:
        if error.errno in UNWRITABLE and error.filename is None:
            return _unwritable(error)
        if error.errno in UNUSABLE and error.filename is not None:
            return _fail(f"{error.filename}: cannot be used ({error.strerror}); {MEND}")
        if isinstance(error, PermissionError):
            return _fail(f"{error}; {MEND}")  # of polars, which puts the path into the text
        return _defect(error, sys.argv[1:] if arguments is None else arguments)
    except Exception as error:
        if isinstance(error, UsageError):
            return _fail(_usage(error))
        if torchrun.world() > 1:
            raise
        return _defect(error, sys.argv[1:] if arguments is None else arguments)


def _fail(message: str) -> int:
    tell(f"error: {printable(message)}")
    return USER_MISTAKE


def _open_outputs() -> None:
    """Give a process that was started with a closed output one that swallows: no file may get its number."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDONLY if name == "stdin" else os.O_WRONLY)
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", encoding="utf-8"))


def _written(code: int) -> int:
    """The exit code, once everything that was printed is written."""
    try:
        sys.stdout.flush()
    except OSError as error:
        return _unwritable(error)
    return code


def _unwritable(error: OSError) -> int:
    """The exit code where the result could not be printed: of a reader that has gone, silently, as of any other command."""
    # What is left in the buffer would be tried again as the process ends.
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    if error.errno == errno.EPIPE:
        return READER_GONE
    return _fail(
        f"the result cannot be printed ({error.strerror}); the work is done, run the same command again"
    )


def _defect(error: Exception, arguments: Sequence[str]) -> int:
    """Write the traceback of a defect to a file, and say on one line what was being done and where the file is."""
    command = shlex.join(["thresher", *map(str, arguments)])
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="thresher-traceback-", suffix=".txt", delete=False, encoding="utf-8", errors="replace"
        ) as file:
            file.write(f"{command}\nthresher {installed('thresher')}, Python {sys.version}\n\n")
            file.write("".join(traceback.format_exception(error)))
        place = f"its traceback is in {file.name}"
    except OSError as full:
        place = f"its traceback could not be written ({full.strerror})"
    tell(
        f"error: `{shown(command, 200)}` stopped with {shown(what, 200)}; this is a defect of thresher, {place}"
    )
    return DEFECT


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
