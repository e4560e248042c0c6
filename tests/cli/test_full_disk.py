"""A full disk gives one line, changes nothing, and the same command resumes once there is room."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import UNPROVED, Answer, Call, contents, process, training, whole_run

pytestmark = pytest.mark.slow

Disk = Callable[[str], Path]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Mount a small disk in memory."""
    place = tmp_path / "disk"

    def mount(size: str) -> Path:
        place.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(place)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
            pytest.skip("mounting a small tmpfs is not permitted here")
        return place

    yield mount
    if place.is_mount():
        # Weights of this process may still be mapped from there.
        subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(disk: Path) -> Path:
    """Leave no byte free."""
    ballast = disk / "ballast"
    free = shutil.disk_usage(disk).free
    with ballast.open("wb") as handle:
        handle.write(bytes(free))
    assert shutil.disk_usage(disk).free == 0
    return ballast


def one_line(answer: Answer) -> str:
    assert answer.code == 2, answer.err
    *before, last = answer.err.splitlines()
    assert last.startswith("error: "), answer.err
    assert not [line for line in before if line.startswith(("error", "Traceback", " "))], answer.err
    return last


def test_no_room_for_the_rows(material: Path, disk: Disk, call: Call) -> None:
    place = disk("4k")
    assert "the disk is full" in one_line(call("run", *training(material, place / "R"), "--preset", "paper"))
    assert list(place.iterdir()) == []


def test_no_room_for_the_checkpoints_is_said_before_training(material: Path, disk: Disk, call: Call) -> None:
    place = disk("200k")
    line = one_line(call("run", *training(material, place / "R"), "--preset", "paper"))
    assert "checkpoints need" in line and "free some space" in line
    assert not list(place.rglob("step-*"))


def test_a_disk_that_filled_up_between_steps(material: Path, disk: Disk, call: Call) -> None:
    out = disk("12m") / "R"
    assert call("run", *whole_run(material, out)).code == 0
    expected = contents(out)
    for command in (
        ["measure", out],
        ["score", out, "--score-option", "vog.window=late"],
        ["select", out, "--prune", 0.2],
        ["compare", out, "--seeds", 3, "--workers", 1],
        ["report", out, "--force"],
    ):
        if command[0] == "measure":
            shutil.rmtree(out / ".thresher/measure")
        ballast = fill(out.parent)
        before = contents(out)
        assert "the disk is full" in one_line(call(*command)), command
        now = contents(out)
        lost = {name for name in before.keys() - now.keys() if not name.endswith("/step.json")}
        assert not lost, command
        assert {name for name in now if name in before and now[name] != before[name]} <= {"run.yaml"}, command
        assert not [name for name in now if name.endswith(".tmp")], command
        ballast.unlink()
        assert call("run", *whole_run(material, out)).code == 0, command
    now = contents(out)
    for name in (".thresher/score/scores.parquet", "kept.jsonl", "dropped.jsonl"):
        assert now[name] == expected[name]


def test_files_that_could_not_be_written_while_training(material: Path, tmp_path: Path, call: Call) -> None:
    """Safetensors and torch each have their own error for it: first the weights are too large, then the optimizer."""
    arguments = ["run", *training(material, tmp_path / "R"), *UNPROVED]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    for limit in (200_000, 400_000):

        def limited(size: int = limit) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))

        line = one_line(process(*arguments, cwd=tmp_path, preexec_fn=limited, env=environment))
        assert str(tmp_path / "R") in line and "cannot be written" in line
        assert not list((tmp_path / "R").rglob("*.tmp"))
    assert call(*arguments).code == 0
    assert call("run", *training(material, tmp_path / "undisturbed"), *UNPROVED).code == 0
    one, two = (
        (tmp_path / run / ".thresher/score/scores.parquet").read_bytes() for run in ("R", "undisturbed")
    )
    assert one == two
