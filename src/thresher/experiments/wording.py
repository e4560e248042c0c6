"""A comparison as sentences and table lines; imports no model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from thresher.experiments.proof_rows import trained_on
from thresher.facts.comparison import Contrast, MeasuredComparison
from thresher.wording import FEW_SEEDS, interval_text

ARMS = ("full", "kept", "random")


def verdict(entry: MeasuredComparison) -> str:
    """The comparison in a sentence, with its interval and what random rows do."""
    facts, arms = entry["settings"], entry["arms"]
    share = 1 - facts["n_kept"] / facts["n_full"]

    def points(name: str) -> str:
        return interval_text(entry["differences"][name]["accuracy"], " points")

    return (
        f"Without {share:.1%} of the rows accuracy is {arms['kept']['accuracy']['mean']:.2%} against "
        f"{arms['full']['accuracy']['mean']:.2%} on all of them: {points('kept-full')}; as many random rows instead: "
        f"{points('random-full')}, and the kept ones against random: {points('kept-random')}. {few_seeds(len(facts['seeds']))}"
        f"{entry['caution']}".rstrip()
        + trained_on(facts)
    )


def few_seeds(seeds: int) -> str:
    """A caveat about intervals from few trainings (`paired_interval`), with a space after it; empty from five on.

    >>> few_seeds(3), few_seeds(5)
    ('With 3 seeds the intervals can be somewhat too narrow. ', '')
    """
    return f"With {seeds} seeds the intervals can be somewhat too narrow. " if seeds < FEW_SEEDS else ""


def caution(truth: NDArray[np.int64], full: NDArray[np.int32]) -> str:
    """A warning if the models on all rows are no better than always guessing the largest class, else empty.

    `truth` (n,), `full` (S, n) the classes predicted. Better is by more than two standard errors of an accuracy of n rows.

    >>> caution(np.array([0, 0, 1, 1]), np.array([[0, 0, 0, 1]]))[:39]
    'The model has not learned the task: alw'
    """
    share = float(np.unique(truth, return_counts=True)[1].max() / len(truth))
    if (full == truth).mean() > share + 2 * (share * (1 - share) / len(truth)) ** 0.5:
        return ""
    return (
        f"The model has not learned the task: always guessing the largest class gives {share:.1%}. Neither its scores nor this"
        " comparison say anything."
    )


def arm_lines(entry: Contrast) -> Sequence[tuple[str, ...]]:
    """The comparison as a short table: arm, rows, accuracy, macro-F1, difference to full data with its interval."""
    lines = []
    for arm in ARMS:
        found = entry["arms"][arm]
        spread = [
            f"{100 * one['mean']:.2f} ± {100 * one['std']:.2f}"
            for one in (found["accuracy"], found["macro_f1"])
        ]
        change = "" if arm == "full" else interval_text(entry["differences"][f"{arm}-full"]["accuracy"])
        lines.append((arm, f"{found['n_train']:,}", *spread, change))
    return lines
