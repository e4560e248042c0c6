"""Planted label noise: its effect on pruning, and which scores detect it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from thresher.config import NoiseConfig
from thresher.experiments.arms import Arm
from thresher.experiments.planted_noise import PAPER_FRACTION, Mask, plant, refuse_idle, with_labels
from thresher.experiments.similarity import chance_similarity, end_rows, similarity, similarity_table
from thresher.experiments.sweep import sweep_arms
from thresher.pipeline.nested import as_scored, nested_run
from thresher.progress import say
from thresher.rows import read_rows
from thresher.rows.noise import Noisy
from thresher.run import Run
from thresher.run.files import digest
from thresher.run.integrity import read_json, write_json
from thresher.run.steps import Facts, remove_step, require_test, step, test_hash
from thresher.scores import column, scores


def planted(run: Run, settings: NoiseConfig) -> dict[tuple[str, float], Noisy]:
    """The noisy labels of every requested kind and level.

    Raises UserError: no test rows, or noise that could not show anything.
    """
    require_test(run)
    rows = read_rows(run.rows_file)
    found: dict[tuple[str, float], Noisy] = {
        (kind, level): plant(run, rows, kind, level, settings)
        for kind in settings.kinds
        for level in settings.levels
    }
    refuse_idle(found, len(rows), settings)
    return found


@step(
    "noise",
    after="score",
    ignore=("workers",),
    inputs=test_hash,
    check=planted,
    clear=lambda run, settings: remove_step(run, "noise"),
    own=True,
    labels=True,
)
def noise(run: Run, settings: NoiseConfig) -> Facts:
    """Score and prune a run on every level of noise; see `thresher.api.noise`.

    Every level is a run of its own in `RUN/.thresher/noise/`, with the recipe of the run and its test rows, whose labels stay.
    """
    rows, test, config = read_rows(run.rows_file), read_rows(run.test_file), as_scored(run)
    made_of = digest(
        [
            run.require("score").key,
            run.manifest.test_hash,
            settings.model_dump(mode="json", exclude={"workers", "levels", "kinds"}),
        ]
    )
    found = []
    for (kind, level), noisy in planted(run, settings).items():
        labels = with_labels(rows, noisy.labels)
        folder = run.step_folder("noise") / f"{kind}-{level:g}-{labels.hash()[:8]}"
        figures = level_figures(folder, made_of)
        if figures is None:
            what = "redrawn" if kind != "class" else "changed as the model errs"
            say(f"noise: {kind}, {100 * level:g}% of the labels {what}, {noisy.changed.mean():.2%} changed")
            inner = nested_run(folder, labels, test, config, proof_seeds=settings.seeds)
            figures = {"kind": kind, "level": level, **noise_figures(inner, noisy.changed, settings)}
            write_json(folder / FIGURES, {"made_of": made_of, "figures": figures})
            # What a level leaves is its figures, scores and cells; the weights of every level would fill the disk.
            shutil.rmtree(inner.scoring.step_folder("train") / "checkpoints", ignore_errors=True)
        found.append(figures)
    say(f"noise: {len(found)} levels")
    return {"levels": found, "n": len(rows), "n_classes": len(rows.classes), "n_test": len(test)}


FIGURES = "figures.json"


def level_figures(folder: Path, made_of: str) -> dict[str, Any] | None:
    """The results of a finished level; None if it is not finished, or was made with other scores, test rows or settings."""
    try:
        content = read_json(folder / FIGURES)
    except (OSError, ValueError):
        return None
    return dict(content["figures"]) if content.get("made_of") == made_of else None


def noise_figures(run: Run, changed: Mask, settings: NoiseConfig) -> dict[str, object]:
    """The results of a run on noisy labels; `changed` (N,) marks the wrong labels, in the order of its rows.

    Returns {"share_changed", "n_changed", "full", "table": VoG-easy, TracIn-hard, PVI-hard and random lines (see `sweep_arms`),
    "found": {score: {precision, similarity}} of as many rows from its hard end as labels are wrong, "chance": {precision,
    similarity}, "negative_pvi": {precision, recall, share}, "similarity": of the hard 5% of every two scores}. At the planted
    number precision and recall are the same.
    """
    table = run.scores()
    columns = table.columns
    arms = {
        name: Arm(*column(name, "auto", columns), "hard", "cutoff")
        for name in ("vog", "tracin", "pvi")
        if name in columns
    }
    easy = [replace(arms["vog"], end="easy")] if "vog" in arms else []
    hard = [arms[name] for name in ("tracin", "pvi") if name in arms]
    pruned = sweep_arms(run, easy, settings.fractions, settings.seeds, workers=settings.workers)
    cleaned = sweep_arms(run, hard, settings.hard_fractions, settings.seeds, workers=settings.workers)
    lines: list[dict[str, object]] = []
    for line in (*cleaned["table"], *pruned["table"]):
        kept = {name: value for name, value in line.items() if name != "groups"}
        if kept not in lines:  # random rows of a fraction that both ends are pruned by
            lines.append(kept)
    wrong = int(changed.sum())
    found = {}
    for name in (one for one in scores() if one in columns):
        flagged = end_rows(table, name, "hard", wrong / len(changed))
        found[name] = {**hits(flagged, changed), "similarity": similarity(flagged, changed)}
    negative = table["pvi"].to_numpy() < 0 if "pvi" in columns else None
    return {
        "share_changed": wrong / len(changed),
        "n_changed": wrong,
        "full": {name: pruned["full"][name] for name in ("accuracy", "macro_f1", "n", "steps", "seeds")},
        "table": lines,
        "found": found,
        "chance": {
            "precision": wrong / len(changed),
            "similarity": chance_similarity(len(changed), wrong),
        },
        "negative_pvi": None
        if negative is None
        else {**hits(negative, changed), "share": float(negative.mean())},
        "similarity": similarity_table(table, PAPER_FRACTION).to_dicts(),
    }


def hits(flagged: Mask, wrong: Mask) -> dict[str, float | None]:
    """Precision and recall of flagged rows against the mislabelled ones; None where the denominator is 0.

    >>> import numpy as np
    >>> hits(np.array([True, True, False, False]), np.array([True, False, True, False]))
    {'precision': 0.5, 'recall': 0.5}
    """
    both, chosen, there = int((flagged & wrong).sum()), int(flagged.sum()), int(wrong.sum())
    return {"precision": both / chosen if chosen else None, "recall": both / there if there else None}
