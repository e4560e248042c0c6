"""How many labels are wrong, and which: the chance of every row, from probabilities of models that have not memorised it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl
import polars.selectors as cs
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import softmax

from thresher.scores.read import array, checkpoint_at

Numbers = NDArray[np.float64]
# A checkpoint by then has learned what most rows say, and few of the labels that contradict it.
EPOCH = 2.0
# Of the accuracy between the largest class alone and 1: with less, a model says too little about single labels.
SKILL = 1 / 3


class Skill(NamedTuple):
    """The share of the labels that a model predicts, and the share of the largest class."""

    accuracy: float
    largest: float

    @property
    def enough(self) -> bool:
        """Whether the model reaches `SKILL` of the way from the largest class to 1.

        >>> Skill(0.08, 0.05).enough, Skill(0.72, 0.34).enough, Skill(0.96, 0.95).enough
        (False, True, False)
        """
        return self.accuracy - self.largest >= SKILL * (1 - self.largest)


def skill(label: NDArray[np.int64], probabilities: Numbers) -> Skill:
    """How many of the labels (N,) the largest of the probabilities (N, K) is right about.

    >>> skill(np.array([0, 0, 1, 1]), np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.1, 0.9]]))
    Skill(accuracy=0.75, largest=0.5)
    """
    return skill_of(label, probabilities.argmax(axis=1) == label)


def skill_of(label: NDArray[np.int64], right: NDArray[np.bool_]) -> Skill:
    """The same where it is known which of the labels (N,) a model is right about, (N,)."""
    return Skill(float(right.mean()), float(np.bincount(label).max() / len(label)))


def early_probabilities(runs: Sequence[tuple[pl.DataFrame, pl.DataFrame]]) -> Numbers:
    """Probabilities (N, K) of models that have not memorised the rows, averaged over runs.

    Those of the folds that left a row out, where every run was cross-validated; else those of the checkpoint nearest to epoch
    2. `runs` holds the signals and the checkpoint table of each; rows stand in the order of the first.

    Raises MissingSignal: the signals lack `logits`, or hold none for some row.

    >>> kind = {"logits": pl.Array(pl.Float32, (2, 2))}
    >>> signals = pl.DataFrame({"id": ["a"], "logits": [[[0.0, 0.0], [99.0, 0.0]]]}, schema_overrides=kind)
    >>> early_probabilities([(signals, pl.DataFrame({"index": [0, 1], "epoch": [2.0, 4.0]}))]).tolist()
    [[0.5, 0.5]]
    """
    name = "held_out_logits" if all("held_out_logits" in one.columns for one, _ in runs) else "logits"
    total: Numbers = np.zeros(1)
    for signals, checkpoints in runs:
        logits = array(in_order_of(runs[0][0], signals, name), name)  # (N, K) or (N, C, K)
        if name == "logits":
            logits = logits[:, checkpoint_at(checkpoints, None, EPOCH)]
        total = total + softmax(logits.astype(np.float64), axis=1)
    return total / len(runs)


def in_order_of(first: pl.DataFrame, signals: pl.DataFrame, name: str) -> pl.DataFrame:
    """`id` and one column of the signals, in the row order of others; null for rows that they lack.

    >>> in_order_of(pl.DataFrame({"id": ["b", "a"]}), pl.DataFrame({"id": ["a"], "x": [1]}), "x")["x"].to_list()
    [None, 1]
    """
    told = signals.select(cs.by_name("id", name, require_all=False))
    return first.select("id").join(told, on="id", how="left", maintain_order="left")


def wrong_chances(label: NDArray[np.int64], probabilities: Numbers) -> Numbers:
    """The chance of every label to be wrong, (N,); their sum estimates how many are.

    A label is drawn from the model's probabilities s, and with probability e replaced by one of the others, each as likely:

        P(label y) = (1 - e) s[y] + e (1 - s[y]) / (K - 1)        with s = softmax(log p / T)
        chance     = e (1 - s[y]) / (K - 1) / P(label y)

    e (at most 0.5) and the temperature T make the labels most likely. T takes up what the model is unsure of, so that rows which
    are hard do not count as wrong; wrong labels of a class that the model itself confuses with the right one look like hard rows,
    and are counted in part only.

    `label`: (N,), from 0 to K - 1. `probabilities`: (N, K), of models that have not memorised the labels; see
    `early_probabilities`.

    Source: ours; the likelihood is that of Bootkrajang and Kabán, ECML PKDD 2012 (label-noise robust logistic regression), with
    one rate for all classes.

    >>> sure, unsure = np.tile([0.99, 0.01], (100, 1)), np.tile([0.6, 0.4], (100, 1))
    >>> label = np.repeat([0, 1, 0, 1], [90, 10, 60, 40])  # 10 of 100 are the label that has 1%
    >>> wrong_chances(label, np.r_[sure, unsure])[[0, 95, 120, 180]].round(1).tolist()
    [0.0, 1.0, 0.1, 0.2]
    """
    return noise_chances(fitted_noise(label, probabilities), label, probabilities)


class Noise(NamedTuple):
    """The share e of the labels that were replaced, and the temperature T of the model's probabilities; see `wrong_chances`."""

    rate: float
    temperature: float


def fitted_noise(label: NDArray[np.int64], probabilities: Numbers) -> Noise:
    """The noise that makes the labels (N,) most likely; see `wrong_chances`."""
    if probabilities.shape[1] < 2:
        return Noise(0.0, 1.0)

    def at(log_temperature: float) -> tuple[float, float]:
        own, other = _own_and_other(np.exp(log_temperature), label, probabilities)

        def surprise(rate: float) -> float:
            return -float(np.log(np.maximum((1 - rate) * own + rate * other, 1e-300)).mean())

        best = minimize_scalar(surprise, bounds=(0, 0.5), method="bounded", options={"xatol": 1e-6})
        return float(best.fun), float(best.x)

    found = minimize_scalar(lambda one: at(one)[0], bounds=(-2, 2), method="bounded", options={"xatol": 1e-3})
    return Noise(at(found.x)[1], float(np.exp(found.x)))


def noise_chances(noise: Noise, label: NDArray[np.int64], probabilities: Numbers) -> Numbers:
    """The chance of every label (N,) to be wrong, given the noise; see `wrong_chances`."""
    if probabilities.shape[1] < 2:
        return np.zeros(len(label))
    own, other = _own_and_other(noise.temperature, label, probabilities)
    wrong = noise.rate * other
    return wrong / np.maximum((1 - noise.rate) * own + wrong, 1e-300)


def _own_and_other(
    temperature: float, label: NDArray[np.int64], probabilities: Numbers
) -> tuple[Numbers, Numbers]:
    """s[y] and (1 - s[y]) / (K - 1) of every row, (N,)."""
    logarithms = np.log(np.maximum(probabilities, 1e-12))
    own = softmax(logarithms / temperature, axis=1)[np.arange(len(label)), label]
    return own, (1 - own) / (probabilities.shape[1] - 1)


def list_length(chances: Numbers, total: float) -> int:
    """How many rows from the start of a list to show: where its expected F1 is largest, at least one of a list that has any.

        F1(n) = 2 sum of the first n chances / (n + total)

    `chances` in the order of the list, `total` the sum over all rows. Reading on pays while the chance of the next row is above
    half of the F1 so far.

    Source: Lewis, SIGIR 1995, "Evaluating and optimizing autonomous text classification systems".

    >>> list_length(np.array([0.9, 0.8, 0.2, 0.1]), 2.0)
    2
    """
    if not len(chances):
        return 0
    return 1 + int((np.cumsum(chances) / (np.arange(1, len(chances) + 1) + total)).argmax())
