"""The signals table of rows whose target is a text, as a recorded training has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from thresher.recording.completion_signals import forgotten
from thresher.signals.completions.measure import ON_DEMAND

PER_CHECKPOINT = ("loss", "margin", "error_norm", "entropy", "accuracy")


def signal_frame(ids: pl.Series, values: dict[str, NDArray[Any]]) -> pl.DataFrame:
    """The signals table of N rows from what `measure_completions` gave, with the columns of a recorded training.

    `right` (N, C): whether all tokens of a row were right at a checkpoint; `correct` the same as lists; `tokens_forgotten` and
    `tokens_never_right` count tokens over the checkpoints. `label` is 0 for all rows: they have no classes.

    >>> one = np.ones((1, 2), np.float32)
    >>> bits = np.empty((1, 2), object)
    >>> bits[0] = [b"\\xc0", b"\\x80"]  # two tokens, of which the second is forgotten
    >>> values = {name: one for name in PER_CHECKPOINT} | {"token_right": bits, "correct": np.array([[True, False]])}
    >>> frame = signal_frame(pl.Series("id", ["a"]), values | {"n_completion": np.array([2]), "n_tokens": np.array([5])})
    >>> frame.select("id", "tokens_forgotten", "tokens_never_right").rows()
    [('a', 1, 0)]
    """
    number = values["n_completion"]
    count, checkpoints = values["correct"].shape
    bits = values["token_right"].ravel().tolist()
    events, never = forgotten(bits, np.repeat(number, checkpoints), np.repeat(np.arange(count), checkpoints))
    return pl.DataFrame(
        {
            "id": ids,
            "label": np.zeros(count, np.int32),
            "n_tokens": values["n_tokens"].astype(np.int32),
            "truncated": np.zeros(count, bool),
            **{name: values[name] for name in PER_CHECKPOINT},
            "right": values["correct"],
            "correct": values["correct"].tolist(),
            "n_completion": number.astype(np.int32),
            "tokens_forgotten": events.reshape(count, checkpoints).sum(1).astype(np.int32),
            "tokens_never_right": never.reshape(count, checkpoints).sum(1).astype(np.int32),
            **{name: values[name] for name in (*ON_DEMAND, "loss_prompted", "end_loss") if name in values},
        }
    )


def token_frame(ids: pl.Series, values: Mapping[str, NDArray[Any]]) -> pl.DataFrame:
    """The losses of the tokens of N rows from what `measure_completions` gave: id, loss and loss_alone, a list each.

    >>> one = np.empty(1, object)
    >>> one[0] = np.array([0.5, 0.25], np.float32)
    >>> token_frame(pl.Series("id", ["a"]), {"token_loss": one, "token_loss_alone": one}).row(0)
    ('a', [0.5, 0.25], [0.5, 0.25])
    """
    kind = pl.List(pl.Float32)
    losses = {"loss": values["token_loss"], "loss_alone": values["token_loss_alone"]}
    return pl.DataFrame(
        {"id": ids, **{name: pl.Series(lists.tolist(), dtype=kind) for name, lists in losses.items()}}
    )
