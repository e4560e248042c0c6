"""Logits of all rows from a model in memory."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from thresher.models.frozen import Features
from thresher.models.tokens import Tokens, length_sorted_batches
from thresher.recording.hf_compat import float32_forward

EVALUATION_TOKENS = 4096


def predict_logits(
    model: nn.Module, tokens: Tokens | Features, batch_tokens: int = EVALUATION_TOKENS
) -> np.ndarray:
    """Logits (N, K) in eval mode, in float32, without gradients; the model's mode is put back."""
    device, training = next(model.parameters()).device, model.training
    forward = float32_forward(model)
    logits: list[tuple[np.ndarray, np.ndarray]] = []
    model.eval()
    with torch.no_grad():
        for rows in length_sorted_batches(tokens.lengths, batch_tokens):
            logits.append((rows, forward(**tokens.batch(rows, device)).logits.float().cpu().numpy()))
    model.train(training)
    result = np.empty((len(tokens), logits[0][1].shape[1]), np.float32)
    for rows, values in logits:
        result[rows] = values
    return result
