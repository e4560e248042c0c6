"""Progress bars and status lines on stderr; the bars are drawn on a terminal only."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from thresher.wording import printable

_quiet = False


def be_quiet(quiet: bool = True) -> None:
    """Switch the progress bars and status lines of thresher off, or on again with `quiet=False`, for this process.

    Results and errors are as before, and warnings are still printed. On the command line it is the option `--quiet`.

    >>> be_quiet()
    >>> say("not printed")
    >>> be_quiet(False)
    """
    global _quiet
    _quiet = quiet


@contextlib.contextmanager
def track(description: str, total: float, unit: str = "rows") -> Iterator[Callable[[float], None]]:
    """Show a progress bar with rate and remaining time; yields the function that advances it.

    >>> with track("measure", 10) as advance:
    ...     advance(10)
    """
    if _quiet or not sys.stderr.isatty():
        yield lambda amount: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.completed:.0f}/{task.total:.0f} " + unit),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(description, total=total, rate="")

        def advance(amount: float) -> None:
            progress.advance(task, amount)
            speed = progress.tasks[0].speed
            progress.update(task, rate=f"{speed:.1f} {unit}/s" if speed else "")

        yield advance


def say(line: str) -> None:
    """Print a status line to stderr, without control characters, unless quiet.

    >>> say("nothing is printed to stdout")
    """
    if not _quiet:
        tell(printable(line))


def warn(line: str) -> None:
    """Print a warning to stderr, even when quiet.

    >>> warn("nothing is printed to stdout")
    """
    tell(f"warning: {printable(line)}")


def tell(line: str) -> None:
    """Print a line to stderr as it is. One that is closed or full ends no work."""
    with contextlib.suppress(OSError, ValueError):
        print(line, file=sys.stderr, flush=True)
