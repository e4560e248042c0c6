"""Batches of rows whose target is a text, by length; halved where a GPU has too little memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from thresher.errors import UserError
from thresher.signals.batches import tight_batches
from thresher.signals.completions.model import LanguageModel
from thresher.signals.completions.rows import CompletionBatch, CompletionTokensOfRows

Found = TypeVar("Found")


def each_batch(
    model: LanguageModel,
    rows: CompletionTokensOfRows,
    batch_tokens: int,
    measure: Callable[[CompletionBatch], Found],
) -> Iterator[tuple[NDArray[np.int64], Found]]:
    """The places of the rows of each batch, and what `measure` gives for it.

    Raises UserError: a single row does not fit on the GPU.
    """
    queue = tight_batches(rows.lengths, batch_tokens)
    while queue:
        places = queue.pop(0)
        try:
            found = measure(rows.batch(places, model.device))
        except torch.cuda.OutOfMemoryError as error:
            if len(places) == 1:
                raise UserError(
                    f"the GPU has too little memory for row {places[0]} of {rows.lengths[places[0]]:,} tokens; cut or drop it"
                ) from error
            torch.cuda.empty_cache()
            queue[:0] = [places[: len(places) // 2], places[len(places) // 2 :]]
            continue
        yield places, found
