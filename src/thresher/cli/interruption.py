"""Interruption: SIGTERM and SIGHUP end a command as Ctrl-C does, with workers ended and temporary files removed."""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

# The exit codes of a shell: 128 + the number of the signal.
CTRL_C = 128 + signal.SIGINT
CODES = {CTRL_C, 128 + signal.SIGTERM, 128 + signal.SIGHUP}
OUTPUTS = (1, 2)


@contextlib.contextmanager
def signals_raise() -> Iterator[None]:
    """Inside, SIGTERM and SIGHUP raise SystemExit with their code, unless they are ignored (nohup) or handled already."""
    terminals = [output for output in OUTPUTS if os.isatty(output)]

    def end(number: int, frame: FrameType | None) -> None:
        # A second one ends the process at once; its workers end with it.
        signal.signal(number, signal.SIG_DFL)
        for output in terminals:
            # Writing to a terminal that was closed is an error, which would hide the interruption.
            if not os.isatty(output):
                os.dup2(os.open(os.devnull, os.O_WRONLY), output)
        raise SystemExit(128 + number)

    numbers = [
        number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) == signal.SIG_DFL
    ]
    for number in numbers:
        signal.signal(number, end)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def leave(code: int) -> NoReturn:
    """End the process, without the interpreter's own teardown: with torch it takes longer than everything before it."""
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)
