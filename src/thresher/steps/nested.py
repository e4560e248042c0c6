"""A run inside a run folder: other rows or labels, the same settings, scored."""

from __future__ import annotations

from pathlib import Path

from thresher.config import RunConfig
from thresher.rows import Rows
from thresher.steps.measure import measure
from thresher.steps.score import score
from thresher.steps.train import train


def nested_run(folder: Path, rows: Rows, test: Rows, config: RunConfig, proof_seeds: int = 0) -> Path:
    """Train, measure and score; finished steps are skipped."""
    train(rows, out=folder, test=test, config=config, proof_seeds=proof_seeds)
    measure(folder, **config.measure.model_dump())
    score(folder, options=config.scores)
    return folder
