"""Run the trainings of a run with a frozen encoder: heads on the features of its rows, a few at once."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import polars as pl

from thresher.execution.engines import LOCAL, Place, place_of, run_tasks
from thresher.progress import track
from thresher.rows import check_rows
from thresher.rows.table import class_indices
from thresher.run import Run, Training, parquet
from thresher.run.integrity import write_table
from thresher.training.checkpoints import save_weights
from thresher.training.feature_files import read_features
from thresher.training.finished import finished, mark_finished
from thresher.training.folds import folds_of, left_out, n_seen, write_held_out
from thresher.training.head import Snapshot, fit_heads, logit_blocks
from thresher.training.recipe import recipe, steps_of
from thresher.training.saved_steps import checkpoint_steps, evaluation_steps

HEADS = 4  # heads trained at once; more would gain little


def train_head_runs(run: Run, trainings: list[Training]) -> None:
    """Train the heads that are not finished; an interrupted one starts again, because it takes seconds.

    On an engine for other machines, where all of them see the run folder; with a store in its place, here.
    """
    n_rows, model, config = run.manifest.n_rows, run.config.model, run.config.train
    there = replace(run, folder=run.folder.absolute())
    jobs = [
        (there, left[start : start + HEADS])
        for group in same_size(trainings, n_rows, folds_of(model, config))
        if (left := [training for training in group if not finished(run, training)])
        for start in range(0, len(left), HEADS)
    ]
    total = sum(steps_of(recipe(config, training), n_rows) for _, group in jobs for training in group)
    with track("train", total, "steps") as advance:
        for _, steps in run_tasks(train_heads_job, jobs, config.workers, place=place_of_heads(there)):
            advance(steps)


def place_of_heads(run: Run) -> Place:
    """Where heads are trained: they are written into the run folder."""
    measure = run.config.measure
    if measure.engine == "local" or measure.store:
        return LOCAL
    return replace(place_of(measure), shared_file=run.folder / "run.yaml")


def same_size(trainings: list[Training], n_rows: int, folds: int) -> list[list[Training]]:
    """Trainings in groups that can train at once: on all rows, on empty input, or with the same number of rows left out.

    >>> names = ["run-0", "full-1", "null-0", "fold-0", "fold-1", "fold-2"]
    >>> groups = same_size([Training.parse(name) for name in names], 7, 3)
    >>> [[training.name for training in group] for group in groups]
    [['run-0', 'full-1'], ['null-0'], ['fold-0'], ['fold-1', 'fold-2']]
    """
    groups: dict[tuple[str, int], list[Training]] = {}
    for training in trainings:
        kind = "run" if training.kind == "full" else training.kind
        groups.setdefault((kind, n_seen(training, n_rows, folds)), []).append(training)
    return list(groups.values())


def train_heads_job(run: Run, trainings: list[Training]) -> int:
    """Train some heads at once and mark them as finished; returns their total number of steps."""
    model, config = run.config.model, run.config.train
    check_rows(run.rows_file)
    rows = parquet.read(run.rows_file, ["id", run.config.data.label])
    ids, labels = rows["id"], class_indices(rows[run.config.data.label], run.manifest.classes)
    null = trainings[0].kind == "null"
    features = read_features(run.features_folder("empty" if null else "rows"))
    if null:
        features = features.repeated(len(rows))
    seeds = [config.seed + training.index for training in trainings]
    asked = [recipe(config, training) for training in trainings]
    n, total = len(rows), steps_of(asked[0], len(rows))
    folds = folds_of(model, config)
    out = [left_out(one, ids, labels, folds, config.seed) for one in trainings]
    saves = [set(checkpoint_steps(one, total)) for one in asked]
    per_epoch = -(-n // config.batch_size)
    evaluates = [set(evaluation_steps(one, total, per_epoch)) for one in asked]

    def save(snapshot: Snapshot) -> None:
        step = f"step-{snapshot.step:08d}"
        for head, (training, state) in enumerate(zip(trainings, snapshot.states, strict=True)):
            if snapshot.step in evaluates[head]:
                found = np.concatenate([block.argmax(1) for block in logit_blocks(state, features)])
                table = pl.DataFrame({"id": ids, "correct": found == labels})
                write_table(run.evaluations(training) / f"{step}.parquet", table)
            if snapshot.step in saves[head]:
                facts = {
                    "step": snapshot.step,
                    "epoch": snapshot.epoch,
                    "encoder_lr": 0.0,
                    "head_lr": snapshot.lr,
                }
                save_weights(run.checkpoints(training) / step, state, facts)

    started = time.monotonic()
    trained, steps = fit_heads(
        features,
        [labels] * len(trainings),
        [np.flatnonzero(~one) for one in out],
        seeds,
        len(run.manifest.classes),
        model,
        asked[0].model_copy(update={"max_steps": total}),
        save,
        set().union(*saves, *evaluates),
    )
    seconds = round((time.monotonic() - started) / len(trainings), 1)
    for training, seed, state, unseen in zip(trainings, seeds, trained, out, strict=True):
        if training.kind == "fold":
            logits = logit_blocks(state, features, np.flatnonzero(unseen))
            write_held_out(run, training, steps, ids.filter(unseen), logits)
        mark_finished(run, training, steps=steps, seconds=seconds, seed=seed)
    return steps * len(trainings)
