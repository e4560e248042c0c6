"""Measure rows whose target is a text, batch by batch and checkpoint by checkpoint."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from thresher.errors import UserError
from thresher.signals.batches import each_batch
from thresher.signals.completions.batch import Values, Wanted, measure_batch, row_means
from thresher.signals.completions.layers import HEAD, measured_layers
from thresher.signals.completions.model import LanguageModel, measuring
from thresher.signals.completions.rows import CompletionTokensOfRows

# On demand, beside what every pass gives. `loss_alone` comes with the loss of the same model after the prompt, `loss_prompted`.
ON_DEMAND = ("loss_alone", "gradient_gram", "classifier_sq_norm", "encoder_sq_norm", "adapter_sq_norm")


def measure_completions(
    model: nn.Module,
    rows: CompletionTokensOfRows,
    weights: Sequence[Callable[[], None]],
    signals: Sequence[str] = (),
    *,
    batch_tokens: int = 1024,
) -> dict[str, NDArray[Any]]:
    """The signals of N rows at C checkpoints, in the order of the rows.

    Per row and checkpoint (N, C), means over the completion tokens, each predicted from the row's own tokens before it:
    `loss` (cross-entropy, nats), `error_norm` (|softmax - onehot|, the EL2N of a token), `margin` (the token's logit minus the
    largest other one), `entropy` (of the predicted distribution, nats), `accuracy` (share of the tokens that are the most
    probable ones), `correct` (whether all are) and `token_right` (whether each is, as bits: see
    `recording.completion_signals.packed`). Per row (N,): `n_completion`, and `n_tokens` with the prompt. They mean the same and
    have the same names as in a recorded training. `token_loss` (N,) holds an array per row: the loss of each completion token
    at the last checkpoint, nats, and `end_loss` (N,) that of its last. On demand:

    `loss_alone` (N,)
        the mean loss of the same tokens after the empty prompt, at the last checkpoint, nats; and with it `loss_prompted` (N,),
        the `loss` of that checkpoint; `token_loss_alone` (N,) holds the same by token. PVI is (loss_alone - loss_prompted) / ln 2
        bits per token.
    `gradient_gram` (N, C, C)
        inner products of the checkpoints' gradients, of the sum of the row's true-token logits by the output of the embedding
        layer. Frozen embeddings have one, too. VoG of any window follows.
    `classifier_sq_norm`, `encoder_sq_norm`, `adapter_sq_norm` (N, C)
        |d loss / dw|^2 of the row's mean loss, float64; w is the output layer (its share of the gradient, where its weight is
        the embedding's, too), the last decoder layer, or all active LoRA matrices. That of the summed loss is n_completion^2
        times it.

    No signal depends on the batch: rows are padded at the end, where no token of a causal model sees the padding. Logits are
    computed for completion tokens only, a part of them at a time, and not kept.

    Parameters
    ----------
    model
        a causal language model of transformers, or one that peft wrapped; it is measured in eval mode and in the precision of
        its weights (float32 for exact signals), and left in the modes it was in.
    weights
        for each of the C checkpoints a function that puts its weights into the model, called once per batch; afterwards the
        model has those of the last. See `weights.swap_to`.
    signals
        names of what is measured on demand.
    batch_tokens
        padded tokens per batch, at least one row.

    Raises UserError: an unknown signal; a layer that is not there or not supported; a row that is longer than the model can
    read, or has a token that the model does not know; no empty prompt.
    """
    check_signals(signals)
    if not weights or not len(rows):
        raise UserError(f"there is no {'row' if weights else 'checkpoint'} to measure")
    found: dict[str, NDArray[Any]] = {"n_completion": rows.n_completion, "n_tokens": rows.lengths}
    with measuring(model) as parts:
        check_rows(parts, rows)
        weights[0]()
        wanted = Wanted("gradient_gram" in signals, HEAD in signals, measured_layers(parts, signals))

        def measure(places: NDArray[np.int64]) -> Values:
            return measure_batch(parts, weights, rows.batch(places, parts.device), wanted)

        for places, values in each_batch(rows.lengths, batch_tokens, measure):
            values["token_loss"] = values["token_loss"][:, -1]
            for name, value in values.items():
                found.setdefault(name, np.empty((len(rows), *value.shape[1:]), value.dtype))[places] = value
        if "loss_alone" in signals:
            weights[-1]()
            answers = rows.without_prompts()
            alone, of_tokens = np.empty(len(rows), np.float32), np.empty(len(rows), object)
            for places, values in each_batch(
                answers.lengths,
                batch_tokens,
                lambda places: row_means(parts, answers.batch(places, parts.device)),
            ):
                alone[places], of_tokens[places] = values["loss"], values["token_loss"]
            found["loss_alone"], found["loss_prompted"] = alone, found["loss"][:, -1]
            found["token_loss_alone"] = of_tokens
    found["end_loss"] = np.array([one[-1] for one in found["token_loss"]], np.float32)
    return found


def check_signals(signals: Sequence[str]) -> None:
    for name in signals:
        if name not in ON_DEMAND:
            raise UserError(
                f"signal '{name}' is not measured of completions; there are {', '.join(ON_DEMAND)}"
            )


def check_rows(model: LanguageModel, rows: CompletionTokensOfRows) -> None:
    longest = getattr(model.causal.config.get_text_config(), "max_position_embeddings", None)
    for row, (prompt, completion) in enumerate(zip(rows.prompts, rows.completions, strict=True)):
        if longest is not None and rows.lengths[row] > longest:
            raise UserError(
                f"row {row} has {rows.lengths[row]:,} tokens, more than the {longest:,} that the model can read; cut or drop it"
            )
        largest = max(max(prompt), max(completion))
        if largest >= model.vocabulary:
            raise UserError(
                f"row {row} has token {largest}, but the model knows {model.vocabulary:,}; does the tokenizer belong to it?"
            )
