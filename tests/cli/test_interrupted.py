"""A run that the user interrupts says so, goes on where it was and ends with the same bytes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import Call, training

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals"),
]
PATIENCE = 240.0  # seconds, on a machine that does much else


def long_run(material: Path, out: Path, workers: int = 1) -> list[object]:
    """Many steps, so that there is a middle to be interrupted in."""
    more = ["--epochs", 10, "--checkpoints", 8, "--prune", 0.4, "--workers", workers]
    return ["run", *training(material, out), *more]


def interrupt_at(arguments: list[object], there: Path) -> tuple[int, str]:
    """Start a command, and once a file is there send SIGINT to it and its workers, as a terminal does with Ctrl-C."""
    command = [sys.executable, "-m", "thresher", *map(str, arguments)]
    started = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    )
    until = time.monotonic() + PATIENCE
    while not there.exists() and started.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    assert there.exists() and started.poll() is None, f"{there} never came"
    os.killpg(started.pid, signal.SIGINT)
    _, err = started.communicate(timeout=PATIENCE)
    return started.returncode, err


def test_interrupted_by_the_user(material: Path, tmp_path: Path, call: Call) -> None:
    """With workers, which Ctrl-C reaches, too; how many there are changes nothing."""
    out, undisturbed = tmp_path / "R", tmp_path / "undisturbed"
    place = out / ".thresher/train/checkpoints/run-0/step-00000010/checkpoint.json"
    code, err = interrupt_at(long_run(material, out, workers=2), place)
    assert code == 130, err
    assert err.splitlines()[-1] == "interrupted; the same command goes on where it was"
    assert "Traceback" not in err
    for run in (out, undisturbed):
        answer = call(*long_run(material, run))
        assert answer.code == 0, answer.err
    assert (out / ".thresher/score/scores.parquet").read_bytes() == (
        undisturbed / ".thresher/score/scores.parquet"
    ).read_bytes()
