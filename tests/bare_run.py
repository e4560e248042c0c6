"""A run that was only started: a manifest without files of steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from thresher.config import DataConfig, RunConfig
from thresher.run import Run
from thresher.run.manifest import Manifest

CONFIG = RunConfig(data=DataConfig(train="train.jsonl", text=("text",), label="label"))


def bare_run(folder: Path, **changes: Any) -> Run:
    """A run whose manifest is in memory only, with some of its fields changed."""
    fields = {
        "thresher": "1",
        "versions": {},
        "created": "2026-02-03T10:11:12+0000",
        "key": "k",
        "rows_hash": "r",
        "test_hash": "t",
        "n_rows": 6,
        "n_test": 4,
        "classes": ("x", "y"),
        "config": CONFIG,
    }
    return Run(folder, Manifest(**fields | changes))
