"""bergson: a collector of its hooks that keeps squared norms; its gradients are formed row by row of the batch.

Its pipeline is made for language models (token losses, index on disk), so this takes the part below it: the documented base
class of collectors, with its own gradient of a module. Its hooks take sequences only: no pooled classifier layer.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from bergson.collector.collector import HookCollectorBase
from bergson.gradients import GradientProcessor
from problem import Logits, Problem, summed_loss

PACKAGE = "bergson"


@dataclass(kw_only=True)
class SquaredNorms(HookCollectorBase):
    """Sums the squared norms of each row's gradients over the modules."""

    rows: torch.Tensor | None = field(default=None)

    def setup(self) -> None:
        self.rows = None

    def teardown(self) -> None:
        self.rows = None

    def backward_hook(self, module: torch.nn.Module, g: torch.Tensor) -> None:
        norms = self._compute_gradient(module, g).pow(2).sum(1)
        self.rows = norms if self.rows is None else self.rows + norms

    def process_batch(self, indices: list[int], **given: object) -> None:
        self.rows = None


def self_influence(problem: Problem) -> np.ndarray:
    model = Logits(problem.model)
    problem.freeze_others()
    problem.end_backward_at_layer()
    values = np.zeros(len(problem.labels))
    collector = SquaredNorms(
        model=model,
        target_modules={f"model.{name}" for name in problem.modules},
        processor=GradientProcessor(include_bias=True),
    )
    with collector:
        for weights, rate in zip(problem.checkpoints, problem.rates, strict=True):
            problem.model.load_state_dict(weights)
            at = 0
            for batch in problem.batches():
                logits = model(batch["input_ids"], batch["attention_mask"])
                summed_loss(logits, batch["labels"]).backward()
                norms = collector.rows
                values[at : at + len(norms)] += rate * norms.numpy()
                at += len(norms)
                collector.process_batch([])
                model.zero_grad()
    return values
