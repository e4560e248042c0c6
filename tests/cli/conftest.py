"""Commands in this process, and material for a run that takes seconds."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from command_line import Answer, Call, commands, small_parts, write_jsonl

from thresher.cli import main
from thresher.progress import be_quiet
from tiny import tiny_model


@pytest.fixture(autouse=True)
def as_a_new_process() -> Iterator[None]:
    """What a command sets for its process does not outlive the test."""
    show = warnings.showwarning
    yield
    warnings.showwarning = show
    be_quiet(False)


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    """Run a command in this process, through the same entry point."""

    def run(*arguments: object) -> Answer:
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return Answer(int(left.value.code or 0), out, err)

    return run


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `train.jsonl`, `test.jsonl` and the model `tiny`; it is read only."""
    folder = tmp_path_factory.mktemp("material")
    write_jsonl(folder / "train.jsonl", commands(60, seed=1))
    write_jsonl(folder / "test.jsonl", commands(24, seed=2))
    tiny_model("bert", folder / "tiny")
    return folder


@pytest.fixture(scope="session")
def measured_run(material: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of `small_parts`; it is copied from, and left as it is."""
    out = tmp_path_factory.mktemp("measured") / "R"
    with pytest.raises(SystemExit) as left:
        main([str(argument) for argument in small_parts(material, out)])
    assert not left.value.code
    return out
