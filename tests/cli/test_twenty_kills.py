"""SIGKILL twenty times at random moments of a whole run; the same command resumes, and every number is the same."""

from __future__ import annotations

import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from command_line import cells_of, comparisons, contents, training

from warm import Warm, warm_process

pytestmark = [
    pytest.mark.safety,
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="forks, and takes orphans in as only Linux does"),
]
KILLS = 20
MEASURED = (
    ".thresher/train/checkpoints/",
    ".thresher/train/evaluations/",
    ".thresher/measure/run-",
    ".thresher/select/vog",
    ".thresher/cells/",
    ".thresher/score/scores.",
    "kept.",
    "dropped.",
)


def job(material: Path, out: Path, workers: int = 1) -> list[object]:
    """A whole run with dropout, of two scored trainings and many small files."""
    more = ["--runs", 2, "--checkpoints", 5, "--chunk-rows", 10, "--prune", 0.4, "--workers", workers]
    return [
        "run",
        *training(material, out),
        "--test",
        material / "test.jsonl",
        "--seeds",
        2,
        "--most-seeds",
        2,
        *more,
    ]


def numbers(run: Path) -> dict[str, object]:
    """All that a run measured: files byte for byte, and what it proved, but for the time it took."""
    files = {name: content for name, content in contents(run).items() if name.startswith(MEASURED)}
    kept = {name: content for name, content in files.items() if not name.endswith("done.json")}
    # A cell's file tells the time that it took, beside the predictions.
    kept |= {name: pl.read_parquet(run / name).rows() for name in kept if "/cells/" in name}
    cells, compared = cells_of(run), comparisons(run)
    for cell in cells.values():
        cell.pop("seconds")
    for entry in compared.values():
        entry["settings"].pop("seconds")
    return {**kept, "cells": cells, "compared": compared}


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    with warm_process(tmp_path_factory.mktemp("warm")) as started:
        yield started


def test_twenty_kills(warm: Warm, material: Path, tmp_path: Path) -> None:
    """Half of them after a random time, half at a random change of a file, where most is half done; four with workers.

    A run that gets to its end in spite of them is compared, and another one begun.
    """
    undisturbed = tmp_path / "R-undisturbed"
    whole = warm(*job(material, undisturbed), run=undisturbed)
    assert whole.code == 0, whole.err
    expected = numbers(undisturbed)
    draw, kills, runs, finished = random.Random(20), 0, 1, 0
    while kills < KILLS or finished < runs:
        out = tmp_path / f"R-{runs}"
        moment: dict[str, float] = {}
        if kills < KILLS:
            share = draw.uniform(0, 0.6)
            moment = (
                {"after": share * whole.seconds}
                if kills % 2
                else {"at_change": 1 + int(share * whole.changes)}
            )
        workers = 2 if kills in (3, 7, 11, 15) else 1
        attempt = warm(*job(material, out, workers), run=out, **moment)
        assert attempt.orphans == 0, (runs, kills, moment)
        kills += attempt.killed
        if attempt.killed:
            continue
        assert attempt.code == 0, (runs, kills, moment, attempt.err)
        found = numbers(out)
        assert found.keys() == expected.keys()
        assert [name for name in expected if found[name] != expected[name]] == []
        assert not [path for path in out.rglob("*") if path.name.endswith(".tmp")]
        assert not any((out / ".thresher/train/progress").iterdir())
        shutil.rmtree(out)
        finished += 1
        runs += kills < KILLS
    assert kills == KILLS
