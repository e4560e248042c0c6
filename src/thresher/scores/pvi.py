"""Pointwise V-information."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from thresher.logits import log_probability
from thresher.scores.read import LABEL_SHARE, MissingSignal, array, checkpoint_at, labels, without_logits
from thresher.scores.registry import score

BLOCK = 1 << 16


@score(
    "pvi",
    needs=("logits", "null_logits"),
    hard="low",
    runs="all",
    cost="one training run and one on empty input; steadier averaged over runs (the paper: 10 and 10)",
    source="Ethayarajh, Choi and Swayamdipta, ICML 2022; Anand et al., EMNLP 2023, sections 2.1 and B.1",
)
def pvi(
    signals: pl.DataFrame,
    checkpoints: pl.DataFrame,
    *,
    null: Literal["model", "prior"] = "model",
    checkpoint: int | None = None,
    epoch: float = 2.0,
) -> pl.Series:
    """Pointwise V-information: how many bits the text tells the model about its label, or the prompt about each token.

        PVI = - log2 p_null(y) + log2 p_c(y)        bits; shape (N,)

    with p_c = softmax(logits) at the checkpoint nearest to `epoch` (or of index `checkpoint`), and p_null the
    same model fine-tuned on empty input (`null="model"`). Low is hard; negative means that the model finds
    the label less likely than without the text: the row is suspicious. Averaged over the runs by
    `score_table`.

    Where the paper is ambiguous: a model of empty input can learn nothing but the class frequencies, so
    `null="prior"` takes those of the table's labels instead and saves that training. The bits are of log base
    2.

    Of a row whose target is a text it is the mean over the completion tokens, in bits per token:

        PVI = (L(y | empty prompt) - L(y | x)) / ln 2

    with L the mean loss over the tokens, nats, both by the model of the last checkpoint in eval mode: a language model can be
    given an empty prompt and needs no second training. `pvi_sum` is the sum over the tokens, `ifd` the ratio of the two losses.

    Raises MissingSignal: the signals lack `logits`, or `null_logits` with `null="model"`; of texts, `loss_alone` or
    `loss_prompted`.
    Raises UserError: no checkpoint of that index.

    >>> kinds = {"logits": pl.Array(pl.Float32, (1, 2)), "null_logits": pl.Array(pl.Float32, 2)}
    >>> rows = {"label": [0, 1], "logits": [[[0.0, 0.0]], [[99.0, 0.0]]], "null_logits": [[0.0, 0.0]] * 2}
    >>> signals = pl.DataFrame(rows, schema_overrides=kinds)
    >>> pvi(signals, pl.DataFrame({"index": [0], "epoch": [2.0]})).round(2).to_list()
    [0.0, -141.83]
    """
    if "n_completion" in signals.columns and without_logits(signals, "loss") is not None:
        given, alone = losses_of_completions(signals)
        return pl.Series("pvi", (alone - given) / np.log(2.0))
    label = labels(signals)
    logits = array(signals, "logits")  # (N, C, K)
    at = checkpoint_at(checkpoints, checkpoint, epoch)
    informed = _log2_probability(logits[:, at], label)
    uninformed = _null_of_model(signals, label) if null == "model" else _null_of_prior(signals, label)
    return pl.Series("pvi", informed - uninformed, dtype=pl.Float64)


def losses_of_completions(
    signals: pl.DataFrame,
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """The mean loss of the completion tokens of each row with its prompt, and after the empty one, nats; each (N,).

    Both are measured of one model. The losses that a training records are of the model before each step, in training mode.

    Raises MissingSignal: the completions were not measured without their prompts.
    """
    names = ("loss_prompted", "loss_alone")
    if not set(names) <= set(signals.columns):
        raise MissingSignal("the completions were not measured without their prompts")
    given, alone = (array(signals, name).astype(np.float64) for name in names)
    return given, alone


def _null_of_model(signals: pl.DataFrame, label: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    if "null_logits" not in signals.columns:
        raise MissingSignal("no model was trained on empty input; the option null=prior does without")
    return _log2_probability(array(signals, "null_logits"), label)


def _null_of_prior(signals: pl.DataFrame, label: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    if LABEL_SHARE in signals.columns:  # a block of rows, with the share of each one's class among all rows
        return np.log2(array(signals, LABEL_SHARE))
    share: npt.NDArray[np.float64] = np.bincount(label)[label] / len(label)
    return np.log2(share)


def _log2_probability(
    logits: npt.NDArray[np.float32], label: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """log2 softmax(logits)[y], (N, K) and (N,) to (N,); by blocks, so that no float64 copy of all logits is ever held."""
    found = np.empty(len(label))
    for start in range(0, len(label), BLOCK):
        part = slice(start, start + BLOCK)
        found[part] = log_probability(logits[part], label[part]) / np.log(2.0)
    return found
