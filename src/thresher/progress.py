"""Progress and status lines on stderr: bars on a terminal, elsewhere a line a minute."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections.abc import Callable, Iterator

from thresher.wording import printable

_quiet = False
EVERY = 60.0  # seconds between lines of progress


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

    Where stderr is no terminal, as in a notebook or a log file, a line a minute says how far it is.

    >>> with track("measure", 10) as advance:
    ...     advance(10)
    """
    if _quiet or not sys.stderr.isatty():
        yield line_by_line(description, total, unit)
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


def line_by_line(
    description: str, total: float, unit: str, clock: Callable[[], float] = time.monotonic
) -> Callable[[float], None]:
    """The function that advances progress without a bar: it prints at most a line a minute.

    >>> seconds = iter([0, 30, 90, 120])
    >>> import contextlib, sys
    >>> with contextlib.redirect_stderr(sys.stdout):
    ...     advance = line_by_line("measure", 1000, "rows", lambda: next(seconds))
    ...     advance(100), advance(200), advance(100)
    measure: 300 of 1,000 rows, 4 min left
    (None, None, None)
    """
    started = said = clock()
    done = 0.0

    def advance(amount: float) -> None:
        nonlocal said, done
        done, now = done + amount, clock()
        if now - said >= EVERY and 0 < done < total:
            said = now
            left = duration((now - started) * (total - done) / done)
            say(f"{description}: {done:,.0f} of {total:,.0f} {unit}, {left} left")

    return advance


def duration(low: float, high: float | None = None) -> str:
    """A time in words, or a time between two; the upper end is rounded up.

    >>> [duration(one) for one in (59.2, 200, 8000)]
    ['60 s', '4 min', '2.3 h']
    >>> duration(20, 25), duration(65, 400), duration(3000, 9000), duration(9, 9.5)
    ('20 to 25 s', '1 to 7 min', '0.8 to 2.5 h', '9 to 10 s')
    """
    most = low if high is None else high
    size, digits, unit = (1, 0, "s") if most < 90 else (60, 0, "min") if most < 5400 else (3600, 1, "h")
    upper = f"{math.ceil(most / size * 10**digits) / 10**digits:.{digits}f}"
    lower = upper if high is None else f"{low / size:.{digits}f}"
    return f"{upper} {unit}" if lower == upper else f"{lower} to {upper} {unit}"


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
