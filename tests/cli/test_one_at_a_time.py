"""One process at a time uses a run folder; a read-only folder is refused; its files are unchanged."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_line import Call, contents, small_parts, training

from thresher.run.lock import lock
from warm import Warm, warm_process

pytestmark = pytest.mark.slow
Commands = Callable[[Path, Path], dict[str, list[object]]]


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    if sys.platform != "linux":
        pytest.skip("forks, and takes orphans in as only Linux does")
    with warm_process(tmp_path_factory.mktemp("warm")) as started:
        yield started


def every_step(material: Path, out: Path) -> list[list[object]]:
    steps = ("measure", "score", "select", "compare", "report")
    return [
        small_parts(material, out),
        ["train", *training(material, out)],
        *([step, out, "--force"] for step in steps),
    ]


def test_the_second_process_is_refused_and_exits(
    measured_run: Path, material: Path, tmp_path: Path, warm: Warm
) -> None:
    out = tmp_path / "R"
    shutil.copytree(measured_run, out)
    before = contents(out)
    with lock(out):
        for command in every_step(material, out):
            second = warm(*command, run=out)
            assert second.code == 2, command
            assert (
                second.err
                == f"error: {out}: another thresher process works on this folder; wait for it to end\n"
            )
    assert contents(out) == before
    assert warm("report", out, run=out).code == 0


def test_a_second_process_does_not_disturb_the_first(material: Path, tmp_path: Path, warm: Warm) -> None:
    """A training in its middle, as a process of its own; the second one comes while it holds the folder."""
    out = tmp_path / "R"
    command = [sys.executable, "-m", "thresher", *map(str, small_parts(material, out))]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as first:
        while not list(out.glob(".thresher/train/checkpoints/run-0/step-*")):
            assert first.poll() is None
        second = warm(*small_parts(material, out), run=out)
        assert second.code == 2 and "another thresher process" in second.err
        assert first.wait() == 0


@pytest.fixture
def read_only(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """Show a folder in a second place, where nothing can be written, whoever one is."""
    place = tmp_path / "read-only"

    def mount(folder: Path) -> Path:
        place.mkdir()
        for command in (
            ["mount", "--bind", str(folder), str(place)],
            ["mount", "-o", "remount,bind,ro", str(place)],
        ):
            if shutil.which("mount") is None or subprocess.run(command, capture_output=True).returncode:
                pytest.skip("mounting a folder read-only is not permitted here")
        return place

    yield mount
    # Python does not tell a folder that is bound within one file system from any other: there is nothing to ask.
    if place.is_dir():
        subprocess.run(["umount", "--lazy", str(place)], capture_output=True)


def test_a_folder_that_cannot_be_written(
    measured_run: Path, material: Path, read_only: Callable[[Path], Path], call: Call
) -> None:
    before = contents(measured_run)
    place = read_only(measured_run.parent)
    for command in [
        *every_step(material, place / measured_run.name),
        *every_step(material, place / "new")[:2],
    ]:
        refused = call(*command)
        assert refused.code == 2, command
        [line] = refused.err.splitlines()
        assert line.startswith(f"error: {place}") and "cannot be written (Read-only file system)" in line
    assert contents(measured_run) == before
    assert not (measured_run.parent / "new").exists()
