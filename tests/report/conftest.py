"""Run folders at every stage, each with its page written once per session."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from fake_run import fake_run

from thresher.report import write

STAGES = {
    "whole": {},
    "many": {"classes": 150, "n": 15_000},
    "pair": {"pair": True},
    "selected": {"upto": "select"},
    "scored": {"upto": "score"},
    "trained": {"upto": "train"},
    "untested": {"upto": "select", "test": False},
}


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The path of the page of a run folder, by stage."""
    folder = tmp_path_factory.mktemp("runs")
    written: dict[str, Path] = {}

    def of(stage: str) -> Path:
        if stage not in written:
            written[stage] = write(fake_run(folder / stage, **STAGES[stage]))
        return written[stage]

    return of
