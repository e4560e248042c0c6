"""What trainings give held-out rows, by which they are compared: right classes, or the losses of completions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thresher.experiments.cell import Result
from thresher.experiments.cells import predictions
from thresher.experiments.intervals import Interval, paired_interval
from thresher.experiments.ratio_intervals import ratio_interval
from thresher.rows import read_rows
from thresher.run import Run

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Outcomes:
    """What S trainings give n held-out rows; more is better.

    Of rows with labels, `values` (S, n) is 1 where the class is right and else 0, and `size` (n,) is 1. Of completions it is
    minus the sum of the losses of the tokens, in nats, and `size` the number of tokens. `sum(values) / sum(size)` is the
    accuracy, or minus the loss per token.
    """

    values: Floats
    size: Floats
    of_texts: bool = False

    @property
    def seeds(self) -> int:
        """S."""
        return len(self.values)

    @property
    def rows(self) -> int:
        """n."""
        return int(self.values.shape[1])


def outcomes_of(run: Run, results: Sequence[Result]) -> Outcomes:
    """What some trained cells of a run give its test rows."""
    if run.manifest.task == "text":
        from thresher.experiments.text_cells import measured_columns

        found = measured_columns(run, results)
        return Outcomes(-found["loss"], found["tokens"][0], of_texts=True)
    truth = read_rows(run.test_file).labels()
    return Outcomes((predictions(run, results) == truth).astype(np.float64), np.ones(len(truth)))


def gain(one: Outcomes, other: Outcomes, confidence: float = 0.95) -> Interval:
    """By how much `one` is better than `other`, paired by seed and row, with its interval: a share, or nats per token.

    >>> other = Outcomes(np.zeros((2, 4)), np.ones(4))
    >>> gain(Outcomes(np.ones((2, 4)), np.ones(4)), other)["mean"]
    1.0
    """
    if one.of_texts:
        return ratio_interval(one.values, other.values, one.size, confidence)
    right, right_of_other = one.values.astype(np.int64), other.values.astype(np.int64)
    return paired_interval(right, right_of_other, np.ones(one.rows, np.int64), confidence=confidence)
