"""A command that is interrupted ends at once, says how to continue, and leaves no process; the same command resumes."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from command_line import UNPROVED, Call, training

pytestmark = pytest.mark.slow
PATIENCE = 600.0  # seconds, on a machine that does much else
CTRL_C, HANG_UP = "Ctrl-C", "hang up"


@dataclass(frozen=True)
class Interrupted:
    """How a command ended: exit code, what it printed, processes that it left."""

    code: int
    said: str
    left: list[psutil.Process]


def interrupt(arguments: list[object], when: Callable[[psutil.Process], bool], how: str) -> Interrupted:
    """Start a command on a pseudo-terminal of its own and interrupt it: by the terminal, or by a signal to it alone."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, "-m", "thresher", *map(str, arguments)])
    os.set_blocking(terminal, False)
    said, status, process = bytearray(), 0, psutil.Process(pid)

    def ended(hung_up: bool = False) -> bool:
        nonlocal status
        over, status = os.waitpid(pid, os.WNOHANG)
        # Whoever waits to write to a terminal that nobody reads does not end.
        with contextlib.suppress(OSError):
            while not hung_up and (part := os.read(terminal, 1 << 16)):
                said.extend(part)
        time.sleep(0.02)
        return over != 0

    until, workers = time.monotonic() + PATIENCE, []
    try:
        while not when(process):
            assert not ended() and time.monotonic() < until, said[-500:]
        workers = process.children(recursive=True)
        until = time.monotonic() + PATIENCE
        if how == CTRL_C:
            os.write(terminal, b"\x03")
        elif how == HANG_UP:
            os.close(terminal)
        else:
            process.send_signal(signal.Signals[how])
        while not ended(how == HANG_UP):
            assert time.monotonic() < until, said[-500:]
        left = psutil.wait_procs(workers, timeout=3)[1]
    finally:
        for one in (process, *workers):
            with contextlib.suppress(psutil.Error):
                one.kill()
        if how != HANG_UP:
            os.close(terminal)
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode(errors="replace"))
    return Interrupted(os.waitstatus_to_exitcode(status), plain, left)


def long_run(material: Path, out: Path, workers: int = 1, epochs: int = 10) -> list[object]:
    """Many steps, so that there is a middle to be interrupted in."""
    more = ["--epochs", epochs, "--checkpoints", 8, "--prune", 0.4, "--workers", workers]
    return ["run", *training(material, out), *UNPROVED, *more]


def training_in(out: Path) -> Callable[[psutil.Process], bool]:
    """Whether a training has taken a step."""
    return lambda process: (out / ".thresher/train/progress/run-0/progress").is_file()


def workers_start(process: psutil.Process) -> bool:
    """Whether two workers were started, which have not imported anything yet."""
    workers = 0
    for child in process.children():
        with contextlib.suppress(psutil.Error):
            workers += "--process-name" in child.cmdline()
    return workers == 2


@pytest.mark.parametrize(
    ("how", "code", "starting"),
    [
        (CTRL_C, 130, True),
        (CTRL_C, 130, False),
        ("SIGTERM", 143, False),
        (HANG_UP, 129, False),
    ],
)
def test_an_interrupted_command_ends_at_once_and_leaves_no_process(
    material: Path, tmp_path: Path, how: str, code: int, starting: bool
) -> None:
    """Its trainings would take hours."""
    run = long_run(material, tmp_path / "R", workers=2, epochs=10_000)
    ended = interrupt(run, workers_start if starting else training_in(tmp_path / "R"), how)
    assert ended.code == code, ended.said
    assert ended.left == []
    if how != HANG_UP:
        assert ended.said.splitlines()[-1] == "interrupted; run the same command again to resume"
        assert "Traceback" not in ended.said


def test_the_same_command_resumes_and_ends_with_the_same_bytes(
    material: Path, tmp_path: Path, call: Call
) -> None:
    """The number of workers changes nothing."""
    out, undisturbed = tmp_path / "R", tmp_path / "undisturbed"
    checkpoint = out / ".thresher/train/checkpoints/run-0/step-00000010/checkpoint.json"
    ended = interrupt(long_run(material, out, workers=2), lambda process: checkpoint.is_file(), CTRL_C)
    assert ended.code == 130, ended.said
    for run in (out, undisturbed):
        answer = call(*long_run(material, run))
        assert answer.code == 0, answer.err
    scores = [(run / ".thresher/score/scores.parquet").read_bytes() for run in (out, undisturbed)]
    assert scores[0] == scores[1]
