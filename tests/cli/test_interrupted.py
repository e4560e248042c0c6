"""A run that is killed or interrupted goes on where it was and ends with the same bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import process, training

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs POSIX signals"),
]
PATIENCE = 240.0  # seconds, on a machine that does much else


def long_run(material: Path, out: Path, workers: int = 1) -> list[object]:
    """Many steps and many small parts, so that there is a middle to be killed in."""
    more = ["--epochs", 10, "--checkpoints", 8, "--chunk-rows", 3, "--prune", 0.4, "--workers", workers]
    return ["run", *training(material, out), *more]


@pytest.fixture(scope="module")
def undisturbed(material: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("undisturbed")
    answer = process(*long_run(material, folder / "R"), cwd=folder)
    assert answer.code == 0, answer.err
    return folder / "R"


def stop_at(
    arguments: list[object], there: Path, how: signal.Signals, everyone: bool = False
) -> tuple[int, str]:
    """Start a command, and once a file is there send a signal; to its workers, too, as a terminal does with Ctrl-C."""
    command = [sys.executable, "-m", "thresher", *map(str, arguments)]
    started = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, start_new_session=True
    )
    until = time.monotonic() + PATIENCE
    while not there.exists() and started.poll() is None and time.monotonic() < until:
        time.sleep(0.002)
    assert there.exists() and started.poll() is None, f"{there} never came"
    if everyone:
        os.killpg(started.pid, how)
    else:
        started.send_signal(how)
    _, err = started.communicate(timeout=PATIENCE)
    return started.returncode, err


def test_killed_while_training_and_again_while_measuring(
    undisturbed: Path, material: Path, tmp_path: Path
) -> None:
    out, moment = tmp_path / "R", random.Random(0)
    step, part = 10 * moment.randint(1, 7), moment.randint(1, 15)
    for place, unfinished in (
        (f"checkpoints/run-0/step-{step:08d}/checkpoint.json", "train"),
        (f"signals/run-0/part-{part:05d}.parquet", "measure"),
    ):
        code, _ = stop_at(long_run(material, out), out / place, signal.SIGKILL)
        assert code == -signal.SIGKILL
        assert not (out / f"steps/{unfinished}.json").exists()
    answer = process(*long_run(material, out), cwd=tmp_path)
    assert answer.code == 0, answer.err
    assert [line for line in answer.err.splitlines() if "already done" in line] == [
        f"train: already done in {out}; --force redoes it"
    ]
    for name in ("scores.parquet", "kept.jsonl", "checkpoints/run-0/step-00000080/model.safetensors"):
        assert (out / name).read_bytes() == (undisturbed / name).read_bytes(), name


def test_interrupted_by_the_user(undisturbed: Path, material: Path, tmp_path: Path) -> None:
    """With workers, which Ctrl-C reaches, too; how many there are changes nothing."""
    out = tmp_path / "R"
    place = out / "checkpoints/run-0/step-00000010/checkpoint.json"
    code, err = stop_at(long_run(material, out, workers=2), place, signal.SIGINT, everyone=True)
    assert code == 130, err
    assert err.splitlines()[-1] == "interrupted; the same command goes on where it was"
    assert "Traceback" not in err
    answer = process(*long_run(material, out), cwd=tmp_path)
    assert answer.code == 0, answer.err
    assert (out / "scores.parquet").read_bytes() == (undisturbed / "scores.parquet").read_bytes()
