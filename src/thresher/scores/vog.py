"""Variance of gradients."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from thresher.errors import UserError
from thresher.scores.read import MissingSignal, array, by_index
from thresher.scores.registry import score

WINDOWS = ("all", "early", "late")


@score(
    "vog",
    needs=("gradient_gram",),
    hard="high",
    runs=1,
    normalise="class",
    cost="one training run",
    source="Agarwal, D'souza and Hooker, CVPR 2022; Anand et al., EMNLP 2023, sections 2.1 and B.1",
)
def vog(
    signals: pl.DataFrame,
    checkpoints: pl.DataFrame,
    *,
    form: Literal["variance", "std"] = "variance",
    window: Literal["all", "early", "late"] | tuple[int, ...] = "all",
    reduce: Literal["sum", "mean"] = "sum",
    tokens: Literal["sum", "mean"] = "sum",
) -> pl.Series:
    """Variance of gradients: how much the gradient of the true-class logit moves while the model trains.

    With g_c (tokens x hidden) the gradient of the true-class logit, before the softmax, with respect to the
    output of the embedding layer at checkpoint c, and C checkpoints in the window,

        variance:  VoG = sum over tokens and dims of  1/C sum_c (g_c - mean g)^2
                 = 1/C sum_a G_aa - 1/C^2 sum_ab G_ab
        std:       VoG = sum over tokens and dims of  sqrt(1/C sum_c (g_c - mean g)^2)

    where G_ab = <g_a, g_b> is the Gram matrix of the row's gradients. Units: squared logits per squared
    embedding (variance), logits per embedding (std). Shape (N,). Rounding below zero is cut to zero.

    Where the paper is ambiguous:

    - variance or standard deviation: its pseudo-code takes the variance, the vision paper the standard
      deviation; `form` offers both, the variance is the default. A constant factor (1/C or 1/(C-1)) changes
      no ranking; this is 1/C.
    - mean over tokens: the paper means over a padded length fixed for all rows, where the padding has no
      gradient; that ranks like the sum, so "sum" is the default. "mean" divides by the row's true tokens
      times the embedding's width.
    - stages: "early" is the first half of the checkpoints, "late" the second half (an odd count gives the
      middle one to the late half); or a list of checkpoint indices, which only the variance form has.

    Of a row whose target is a text g_c is the gradient of the sum of the logits of its n completion tokens, so VoG grows with n.
    `tokens="mean"` takes that of their mean: VoG over n^2 (variance) or n (std).

    Raises MissingSignal: `gradient_gram` (variance), `gradient_std` (std), `hidden` of the checkpoints (reduce=mean) or
    `n_completion` (tokens=mean) is missing, or there are too few checkpoints for a named window.
    Raises UserError: a list of fewer than two checkpoints, of unknown ones, or for the standard deviation.

    >>> gram = [[[1.0, 0.0], [0.0, 1.0]], [[4.0, 4.0], [4.0, 4.0]]]
    >>> kind = {"gradient_gram": pl.Array(pl.Float64, (2, 2))}
    >>> signals = pl.DataFrame({"gradient_gram": gram}, schema=kind)
    >>> vog(signals, pl.DataFrame({"index": [0, 1]})).to_list()
    [0.5, 0.0]
    """
    spread = _variance(signals, window) if form == "variance" else _std(signals, checkpoints, window)
    size = _elements(signals, checkpoints) if reduce == "mean" else 1
    if tokens == "mean":
        size = size * array(signals, "n_completion").astype(np.float64) ** (2 if form == "variance" else 1)
    return pl.Series("vog", spread / size, dtype=pl.Float64)


def _variance(signals: pl.DataFrame, window: str | tuple[int, ...]) -> npt.NDArray[np.float64]:
    gram: npt.NDArray[np.float64] = array(signals, "gradient_gram").astype(
        np.float64, copy=False
    )  # (N, C, C)
    chosen = _indices(window, gram.shape[1])
    if len(chosen) < gram.shape[1]:
        gram = gram[:, chosen[:, None], chosen[None, :]]
    return variance_of_gram(gram)


def variance_of_gram(gram: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Variance over C checkpoints, summed over elements, from the Gram matrices of the gradients, (N, C, C) to (N,)."""
    count = gram.shape[1]
    trace = np.einsum("naa->n", gram) / count
    mean = np.einsum("nab->n", gram) / count**2
    spread: npt.NDArray[np.float64] = np.maximum(trace - mean, 0.0)
    return spread


def _std(
    signals: pl.DataFrame, checkpoints: pl.DataFrame, window: str | tuple[int, ...]
) -> npt.NDArray[np.float64]:
    if isinstance(window, tuple):
        raise UserError(
            f"score 'vog': form=std has the windows {', '.join(WINDOWS)}; a list needs form=variance"
        )
    _indices(window, checkpoints.height)
    sums: npt.NDArray[np.float64] = array(signals, "gradient_std").astype(np.float64, copy=False)  # (N, 3)
    return sums[:, WINDOWS.index(window)]


def _elements(signals: pl.DataFrame, checkpoints: pl.DataFrame) -> npt.NDArray[np.float64]:
    hidden = float(by_index(checkpoints, "hidden")[0])
    tokens: npt.NDArray[np.float64] = array(signals, "n_tokens").astype(np.float64)
    return tokens * hidden


def _indices(window: str | tuple[int, ...], count: int) -> npt.NDArray[np.int64]:
    half = count // 2
    named = {"all": range(count), "early": range(half), "late": range(half, count)}
    chosen = named[window] if isinstance(window, str) else sorted(set(window))
    if any(not 0 <= index < count for index in chosen):
        raise UserError(
            f"score 'vog': window {','.join(map(str, chosen))}: the run has checkpoints 0 to {count - 1}"
        )
    if len(chosen) < 2:
        problem = f"window '{window}' has {len(chosen)} checkpoints; a variance needs two"
        raise MissingSignal(problem) if isinstance(window, str) else UserError(f"score 'vog': {problem}")
    return np.array(chosen, dtype=np.int64)
