"""Instruction-following difficulty."""

from __future__ import annotations

from typing import Literal

import numpy as np
import polars as pl

from thresher.scores.pvi import losses_of_completions
from thresher.scores.registry import score


@score(
    "ifd",
    needs=("loss_prompted", "loss_alone"),
    hard="high",
    runs="all",
    cost="one pass over the completions without their prompts",
    source="Li et al., NAACL 2024 (arXiv 2308.12032), Cherry LLM; of perplexities: Li et al., ACL 2024, Superfiltering",
)
def ifd(
    signals: pl.DataFrame, checkpoints: pl.DataFrame, *, ratio: Literal["loss", "perplexity"] = "loss"
) -> pl.Series:
    """Instruction-following difficulty: how little the prompt helps the model to write the completion.

        loss:        IFD = L(y | x) / L(y)                no unit; shape (N,)
        perplexity:  IFD = exp(L(y | x) - L(y))

    with L the mean loss over the completion tokens, with the prompt and after the empty one, at the last checkpoint. High is
    hard; above 1 the prompt makes the completion less likely, which Cherry LLM and Superfiltering take for a row that does not
    fit and leave out. It is a mean over tokens, and shorter completions still tend to have the higher ratio. The perplexity form
    ranks as PVI per token does.

    The papers use the model before it is fine-tuned, and differ from each other: the code of Cherry LLM divides the mean losses
    and leaves "### Response:" before the answer alone, that of Superfiltering divides the perplexities and puts nothing there,
    so the first token counts with the prompt only. Here the same tokens count in both.

    Raises MissingSignal: no language model, or the completions were not measured without their prompts.

    >>> signals = pl.DataFrame({"loss_prompted": [1.0, 2.5], "loss_alone": [2.0, 2.0]})
    >>> [ifd(signals, pl.DataFrame(), ratio=ratio).round(3).to_list() for ratio in ("loss", "perplexity")]
    [[0.5, 1.25], [0.368, 1.649]]
    """
    given, alone = losses_of_completions(signals)
    if ratio == "perplexity":
        return pl.Series("ifd", np.exp(given - alone))
    return pl.Series("ifd", given / np.maximum(alone, np.finfo(np.float32).tiny))
