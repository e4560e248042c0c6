"""What a language model makes of each completion token of some rows."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from thresher.signals.batches import each_batch
from thresher.signals.completions.head import from_head
from thresher.signals.completions.measure import check_rows
from thresher.signals.completions.model import LanguageModel, measuring
from thresher.signals.completions.rows import CompletionBatch, CompletionTokensOfRows

OF_TOKEN = np.dtype(
    [("loss", "f4"), ("probability", "f4"), ("entropy", "f4"), ("error_norm", "f4"), ("right", "?")]
)


def token_losses(
    model: nn.Module, rows: CompletionTokensOfRows, *, batch_tokens: int = 1024
) -> list[NDArray[np.generic]]:
    """For each row, an array with a record per completion token, its end token included, with the weights that the model has.

    Fields: `loss` (nats), `probability` of the token, `entropy` of the predicted distribution (nats), `error_norm`
    (|softmax - onehot|) and `right` (whether the token is the most probable one). Their means over a row are its signals.
    """
    found: list[NDArray[np.generic]] = [np.empty(0, OF_TOKEN)] * len(rows)
    with measuring(model) as parts:
        check_rows(parts, rows)
        for places, lines in each_batch(
            rows.lengths, batch_tokens, lambda places: _lines(parts, rows.batch(places, parts.device))
        ):
            for place, line in zip(places.tolist(), lines, strict=True):
                found[place] = line
    return found


@torch.no_grad()
def _lines(model: LanguageModel, batch: CompletionBatch) -> list[NDArray[np.generic]]:
    number = batch.number.tolist()
    hidden = model.hidden_states(batch.inputs).flatten(0, 1)[batch.places]
    values = from_head(model, hidden, batch.labels, number).values
    table = np.empty(len(batch.labels), OF_TOKEN)
    table["loss"] = -values["log_probability"].cpu().numpy()
    table["probability"] = values["log_probability"].exp().cpu().numpy()
    for name in ("entropy", "error_norm", "right"):
        table[name] = values[name].cpu().numpy()
    return np.split(table, np.cumsum(number)[:-1])
