"""thresher, the whole pass: this layer's self-influence and every other signal besides (VoG, logits, the other layer)."""

from __future__ import annotations

import numpy as np
from problem import Problem

from thresher.signals.attention import use_short_attention
from thresher.signals.chunk import measure_tokens

PACKAGE = "thresher"


def self_influence(problem: Problem) -> np.ndarray:
    use_short_attention(problem.model.encoder)
    signals = measure_tokens(problem.model, problem.checkpoints, problem.tokens, problem.labels)
    layer = "classifier" if problem.modules[0].startswith("head") else "encoder"
    return signals[f"{layer}_sq_norm"] @ np.array(problem.rates)
