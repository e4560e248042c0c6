"""Rows with planted label noise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import softmax

from thresher.config import NoiseConfig
from thresher.errors import UserError
from thresher.row_hash import purpose_hashes, uniform
from thresher.rows import Rows
from thresher.rows.noise import Noisy, class_conditional, group_conditional, isotropic
from thresher.run import FIRST, Run
from thresher.scores.read import array, checkpoint_at
from thresher.selection.request import target
from thresher.signals.measure import read_signals
from thresher.wording import listed

Mask = NDArray[np.bool_]
PAPER_FRACTION = 0.05  # at which two scores are compared, as in the paper's section 2.3


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
