"""thresher, this layer alone: forward, backward to the layer, ghost norms."""

from __future__ import annotations

import numpy as np
from problem import Problem

from thresher.signals.batch import swap_weights
from thresher.signals.ghost import rule_for
from thresher.signals.influence import Targets, row_flows

PACKAGE = "thresher"
BATCH_TOKENS = 2048


def self_influence(problem: Problem) -> np.ndarray:
    modules = dict(problem.model.named_modules())
    chosen = [modules[name] for name in problem.modules]
    values = np.zeros(len(problem.labels))
    for weights, rate in zip(problem.checkpoints, problem.rates, strict=True):
        swap_weights(problem.model, weights)
        of = Targets(problem.tokens, problem.labels)
        for rows, flows in row_flows(problem.model, chosen, of, BATCH_TOKENS):
            norms = sum(rule_for(module)(module, *flow) for module, flow in zip(chosen, flows, strict=True))
            values[rows] += rate * norms.numpy()
    return values
