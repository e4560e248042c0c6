"""thresher, only this layer: as with `measure.signals: [encoder_sq_norm]`."""

from __future__ import annotations

import numpy as np
import torch
from problem import Problem

from thresher.models.tokens import pad_batch
from thresher.signals.attention import use_short_attention
from thresher.signals.batch import measure_batch
from thresher.signals.batches import tight_batches

PACKAGE = "thresher"
BATCH_TOKENS = 1024


def self_influence(problem: Problem) -> np.ndarray:
    use_short_attention(problem.model.encoder)
    modules = dict(problem.model.named_modules())
    layers = {"squared norm": [modules[name] for name in problem.modules]}
    values = np.zeros(len(problem.labels))
    for rows in tight_batches(problem.tokens.lengths, BATCH_TOKENS):
        batch, labels = pad_batch(problem.tokens, rows), torch.from_numpy(problem.labels[rows])
        found = measure_batch(problem.model, problem.checkpoints, batch, labels, layers, statistics=())
        values[rows] = found["squared norm"] @ np.array(problem.rates)
    return values
