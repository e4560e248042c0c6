"""Run the trainings of a run with a frozen encoder: heads on the features of its rows, a few at once."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import polars as pl

from thresher.progress import track
from thresher.rows import read_rows
from thresher.run_folder import features_file, read_manifest
from thresher.sealed import write_table
from thresher.training.checkpoints import checkpoint_steps, evaluation_steps, save_weights
from thresher.training.features import read_features
from thresher.training.folds import folds_of, is_fold, left_out, n_seen, write_held_out
from thresher.training.head import Snapshot, fit_heads, head_logits
from thresher.training.parallel import run_jobs, share_cores
from thresher.training.recipe import configs, recipe, steps_of
from thresher.training.sound import finished, mark_finished

HEADS = 4  # heads trained at once; more would gain little


def train_head_runs(run: Path, names: list[str]) -> None:
    """Train the named heads that are not finished; an interrupted one starts again, because it takes seconds."""
    manifest = read_manifest(run)
    model, config = configs(manifest)
    jobs = [
        (run, left[start : start + HEADS])
        for group in same_size(names, manifest["n_rows"], folds_of(model, config))
        if (left := [name for name in group if not finished(run, name)])
        for start in range(0, len(left), HEADS)
    ]
    total = sum(steps_of(recipe(config, name), manifest["n_rows"]) for _, group in jobs for name in group)
    with track("train", total, "steps") as advance:
        for _, steps in run_jobs(train_heads_job, jobs, share_cores(len(jobs), config.workers)[0]):
            advance(steps)


def same_size(names: list[str], n_rows: int, folds: int) -> list[list[str]]:
    """Trainings in groups that can train at once: on all rows, on empty input, or with the same number of rows left out.

    >>> same_size(["run-0", "full-1", "null-0", "fold-0", "fold-1", "fold-2"], 7, 3)
    [['run-0', 'full-1'], ['null-0'], ['fold-0'], ['fold-1', 'fold-2']]
    """
    groups: dict[tuple[str, int], list[str]] = {}
    for name in names:
        kind = "run" if name.startswith("full") else name.partition("-")[0]
        groups.setdefault((kind, n_seen(name, n_rows, folds)), []).append(name)
    return list(groups.values())


def train_heads_job(run: Path, names: list[str]) -> int:
    """Train some heads at once and mark them as finished; returns their total number of steps."""
    manifest = read_manifest(run)
    model, config = configs(manifest)
    rows = read_rows(run / "rows.parquet")
    labels = rows.labels()
    null = names[0].startswith("null")
    features = read_features(features_file(run, "empty" if null else "rows"))
    if null:
        features = features.repeated(len(rows))
    seeds = [config.seed + int(name.partition("-")[2]) for name in names]
    asked = [recipe(config, name) for name in names]
    n, total = len(rows), steps_of(asked[0], len(rows))
    folds = folds_of(model, config)
    out = [left_out(name, rows.table["id"], labels, folds, config.seed) for name in names]
    saves = [set(checkpoint_steps(one, total)) for one in asked]
    per_epoch = -(-n // config.batch_size)
    evaluates = [set(evaluation_steps(one, total, per_epoch)) for one in asked]

    def save(snapshot: Snapshot) -> None:
        step = f"step-{snapshot.step:08d}"
        for head, (name, state) in enumerate(zip(names, snapshot.states, strict=True)):
            if snapshot.step in evaluates[head]:
                correct = head_logits(state, features).argmax(1) == labels
                table = pl.DataFrame({"id": rows.table["id"], "correct": correct})
                write_table(run / "evaluations" / name / f"{step}.parquet", table)
            if snapshot.step in saves[head]:
                facts = {
                    "step": snapshot.step,
                    "epoch": snapshot.epoch,
                    "encoder_lr": 0.0,
                    "head_lr": snapshot.lr,
                }
                save_weights(run / "checkpoints" / name / step, state, facts)

    started = time.monotonic()
    trained, steps = fit_heads(
        features,
        [labels] * len(names),
        [np.flatnonzero(~one) for one in out],
        seeds,
        len(rows.classes),
        model,
        asked[0].model_copy(update={"max_steps": total}),
        save,
        set().union(*saves, *evaluates),
    )
    seconds = round((time.monotonic() - started) / len(names), 1)
    for name, seed, state, unseen in zip(names, seeds, trained, out, strict=True):
        if is_fold(name):
            logits = head_logits(state, features.take(np.flatnonzero(unseen)))
            write_held_out(run, name, steps, rows.table["id"], unseen, logits)
        mark_finished(run, name, steps=steps, seconds=seconds, seed=seed)
    return steps * len(names)
