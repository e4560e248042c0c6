"""captum `TracInCPFast`: |input|^2 |output gradient|^2 of a last linear layer; its bias is left out."""

from __future__ import annotations

import numpy as np
from captum.influence import TracInCPFast
from peers.captum_tracincp import self_influence as with_captum
from problem import Problem

PACKAGE = "captum"


def self_influence(problem: Problem) -> np.ndarray:
    return with_captum(problem, TracInCPFast, final_fc_layer=problem.model.head[-1])
