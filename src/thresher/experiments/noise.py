"""Planted label noise: its effect on pruning, and which scores detect it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import softmax

from thresher.config import NoiseConfig
from thresher.errors import UserError
from thresher.experiments.arms import Arm
from thresher.experiments.similarity import chance_similarity, end_rows, similarity, similarity_table
from thresher.experiments.sweep import sweep_arms
from thresher.pipeline.nested import as_scored, nested_run
from thresher.progress import say
from thresher.row_hash import purpose_hashes, uniform
from thresher.rows import Rows, read_rows
from thresher.rows.noise import Noisy, class_conditional, group_conditional, isotropic
from thresher.run import FIRST, Run
from thresher.run.files import digest
from thresher.run.integrity import read_json, write_json
from thresher.run.steps import Facts, remove_step, require_test, step, test_hash
from thresher.scores import column, scores
from thresher.scores.read import array, checkpoint_at
from thresher.selection.request import target
from thresher.signals.measure import read_signals
from thresher.wording import listed

Mask = NDArray[np.bool_]
PAPER_FRACTION = 0.05  # at which two scores are compared, as in the paper's section 2.3


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


def plant(run: Run, rows: Rows, kind: str, level: float, settings: NoiseConfig) -> Noisy:
    """Labels with noise, and which of them changed.

    isotropic: a share `level` of all rows is redrawn over all classes. class: every label of class i changes with
    probability `level` to class j in proportion to the probability that the run's model gives j to rows of i, at the
    checkpoint nearest to epoch 2: the mistakes that are easy to make. group: groups that hold about half of the rows, drawn
    by the seed, take all of the isotropic noise.

    Raises UserError: kind "group" without a group column.
    """
    labels, ids, k = rows.labels(), rows.table["id"].to_list(), len(rows.classes)
    if kind == "isotropic":
        return isotropic(labels, k, level, ids=ids, seed=settings.seed)
    if kind == "class":
        transition = (1 - level) * np.eye(k) + level * confusions(run, labels, k)
        return class_conditional(labels, transition, ids=ids, seed=settings.seed)
    name = settings.group or next(iter(rows.groups), None)
    if name is None or name not in (*rows.groups, rows.label):
        raise UserError("noise of kind 'group' needs a group column; train with --group COL")
    groups = rows.table[name].to_numpy()
    names = sorted(set(groups))
    order = np.argsort(uniform(purpose_hashes(names, settings.seed, "noisy group")), kind="stable")
    sizes = np.cumsum([int((groups == names[at]).sum()) for at in order])
    count = 1 + int(np.searchsorted(sizes, len(rows) / 2))
    share = min(1.0, level * len(rows) / float(sizes[count - 1]))
    noisy = {names[at]: share for at in order[:count]}
    return group_conditional(labels, groups, k, noisy, ids=ids, seed=settings.seed)


def refuse_idle(planted: Mapping[tuple[str, float], Noisy], n: int, settings: NoiseConfig) -> None:
    """Refuse noise that cannot show anything: unchanged labels, fractions of no row or all rows, too few rows.

    `planted`: by kind and level, what `plant` gave for the same `n` rows. Pruning a fraction f leaves round((1 - f) n) of
    them, which must be at least 1 and fewer than n; two scores are compared by round(0.05 n) rows, at least 1.

    >>> same = Noisy(np.array([0, 1] * 10), np.zeros(20, dtype=bool))
    >>> refuse_idle({("isotropic", 0.02): same}, 20, NoiseConfig())
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: noise isotropic 0.02 changes none of the 20 labels; give other --levels, or another --seed
    """
    if round(PAPER_FRACTION * n) < 1:
        raise UserError(
            f"noise compares scores by their hardest {PAPER_FRACTION:.0%}, and that is no row of {n:,}; train on more rows"
        )
    for flag, fractions in (
        ("--fractions", settings.fractions),
        ("--hard-fractions", settings.hard_fractions),
    ):
        for happens, left in (("takes away none", n), ("leaves none", 0)):
            idle = [f"{fraction:g}" for fraction in fractions if target(n, fraction) == left]
            if idle:
                raise UserError(f"pruning {listed(idle)} of {n:,} rows {happens}; give other {flag}")
    same = [f"{kind} {level:g}" for (kind, level), noisy in planted.items() if not noisy.changed.any()]
    if same:
        raise UserError(
            f"noise {listed(same)} changes none of the {n:,} labels; give other --levels, or another --seed"
        )


def confusions(run: Run, labels: NDArray[np.int64], n_classes: int) -> NDArray[np.float64]:
    """P(wrong class j | rows of class i), (K, K), the diagonal zero and rows summing to one, from a run's early logits."""
    signals, checkpoints = read_signals(run.scoring, FIRST)
    logits = array(signals, "logits")[:, checkpoint_at(checkpoints, None, 2.0)]
    wrong = softmax(logits.astype(np.float64), axis=1)
    wrong[np.arange(len(labels)), labels] = 0
    found = np.zeros((n_classes, n_classes))
    np.add.at(found, labels, wrong)
    found += 1e-9 * (1 - np.eye(n_classes))  # a class without rows confuses evenly
    np.fill_diagonal(found, 0)
    return found / found.sum(1, keepdims=True)


def with_labels(rows: Rows, labels: NDArray[np.int64]) -> Rows:
    """The same rows with other labels, their ids unchanged."""
    names = pl.Series(rows.label, [rows.classes[label] for label in labels], dtype=pl.String)
    return replace(rows, table=rows.table.with_columns(names))


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

    >>> hits(np.array([True, True, False, False]), np.array([True, False, True, False]))
    {'precision': 0.5, 'recall': 0.5}
    """
    both, chosen, there = int((flagged & wrong).sum()), int(flagged.sum()), int(wrong.sum())
    return {"precision": both / chosen if chosen else None, "recall": both / there if there else None}
