"""The commands of single steps: train, measure, score, compare, report."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from thresher.cli import terminal
from thresher.cli.command import (
    Answer,
    ConfigFile,
    Force,
    Out,
    Overrides,
    RunFolder,
    ScoreOptions,
    command,
    place_option,
    told,
)
from thresher.cli.job import Train, loaded
from thresher.cli.options import (
    COMPARE,
    COMPARE_WORKERS,
    DATA,
    MEASURE,
    MEASURE_WORKERS,
    MODEL,
    TRAIN,
    TRAIN_SEED,
    TRAIN_WORKERS,
)
from thresher.cli.settings import options_of, resolve, scores_of

TRAINING = (*DATA, *MODEL, *TRAIN, *TRAIN_SEED, *TRAIN_WORKERS)
MEASURING = (*MEASURE, *MEASURE_WORKERS)
COMPARING = (*COMPARE, *COMPARE_WORKERS)
Test = Annotated[
    Path | None, place_option("--test", "FILE", "test rows, if the run has none or should get others")
]


@command(*TRAINING)
def train(
    context: typer.Context,
    *,
    train: Train = None,
    out: Out,
    config: ConfigFile = None,
    set: Overrides = None,
    force: Force = False,
) -> Answer:
    """Start a run folder: check the rows and train the models that scores are computed from."""
    more = {"data.train": train} if train is not None else {}
    resolved = resolve(TRAINING, context.params, config, set, more=more)
    rows, test = loaded(resolved)
    from thresher import api

    opened = api.train(rows, out=out, test=test, config=resolved, force=force)
    result = {"run": str(opened), "n_rows": len(rows), **opened.require("train").facts}
    return told(result, f"trained; next: thresher measure {opened}")


@command(*MEASURING)
def measure(
    context: typer.Context,
    *,
    run: RunFolder,
    set: Overrides = None,
    force: Force = False,
) -> Answer:
    """Measure what the scores need, in one pass over the rows."""
    from thresher.pipeline.measure import measure as step
    from thresher.run import Run

    opened = Run.open(run)
    config, _ = options_of(opened.config, {"measure": MEASURING}, context.params, set)
    facts = step(opened, config.measure, force=force)
    return told({"run": str(run), **facts}, f"measured; next: thresher score {run}")


@command()
def score(
    run: RunFolder,
    score_option: ScoreOptions = None,
    force: Force = False,
) -> Answer:
    """Compute every score that the signals allow, raw and normalised."""
    from thresher import api
    from thresher.run import Run

    opened = Run.open(run)
    api.score(opened, options=scores_of(score_option) if score_option else None, force=force)
    about, path = opened.require("score").facts, opened.scores_file
    return told({"run": str(run), "file": str(path), **about}, f"scores: {path}")


@command(*COMPARING)
def compare(
    context: typer.Context,
    *,
    run: RunFolder,
    test: Test = None,
    set: Overrides = None,
    force: Force = False,
) -> Answer:
    """Test the selection: retrain on the kept rows, on as many random rows and on all rows."""
    from thresher import api
    from thresher.run import Run

    opened = Run.open(run)
    _, named = options_of(opened.config, {"compare": COMPARING}, context.params, set)
    entry = api.compare(opened, test=test, force=force, **named["compare"])

    def shown() -> None:
        terminal.proof(entry)
        terminal.line(entry.decision["sentence"])

    return Answer({"run": str(run), **entry.to_dict()}, shown)


@command()
def report(run: RunFolder, force: Force = False) -> Answer:
    """Write the report, one HTML page that needs no network."""
    from thresher import api

    page = api.report(run, force=force)
    return told({"run": str(run), "report": str(page)}, f"report: {page}")
