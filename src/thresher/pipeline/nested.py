"""A run inside another run: other rows, the same settings."""

from __future__ import annotations

from pathlib import Path

from thresher.config import RunConfig
from thresher.pipeline.measure import measure
from thresher.pipeline.score import score
from thresher.pipeline.train import train
from thresher.rows import Rows
from thresher.run import Run


def nested_run(folder: Path, rows: Rows, test: Rows, config: RunConfig, proof_seeds: int = 0) -> Run:
    """Train, measure and score; finished steps are skipped."""
    run = train(folder, rows, test, config, proof_seeds=proof_seeds)
    measure(run, config.measure)
    score(run, config.score)
    return run


def as_scored(run: Run) -> RunConfig:
    """The settings of a run, with those that its signals and scores were made with, for a nested run that is scored alike."""
    measured, scored = run.require("measure").settings, run.require("score").settings
    config = run.config
    return config.model_copy(
        update={
            "measure": type(config.measure).model_validate(measured),
            "score": type(config.score).model_validate(scored),
        }
    )
