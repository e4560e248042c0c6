"""Progress on anything over two seconds: a bar with rate and time left on a terminal, silence elsewhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from thresher.wording import printable

_quiet = False


def be_quiet(quiet: bool = True) -> None:
    """Switch bars off for this process, whatever stderr is."""
    global _quiet
    _quiet = quiet


@contextlib.contextmanager
def track(description: str, total: float, unit: str = "rows") -> Iterator[Callable[[float], None]]:
    """Yield a function that is told how much more is done.

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
    """One line for the person at the terminal, on stderr; control characters from data are dropped.

    >>> say("nothing is printed to stdout")
    """
    if not _quiet:
        print(printable(line), file=sys.stderr, flush=True)


def warn(line: str) -> None:
    """A line that is printed when quiet, too: what was asked for and what was done differ.

    >>> warn("nothing is printed to stdout")
    """
    print(f"warning: {printable(line)}", file=sys.stderr, flush=True)
