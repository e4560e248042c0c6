"""dattri `TracInAttributor.self_attribute`: per-row gradients by vmap, which are formed.

It sums the squares of 1.8 million elements one after the other in float32, which costs three digits; in float64 its numbers
are ours to 1e-7.
"""

from __future__ import annotations

import numpy as np
import torch
from dattri.algorithm.tracin import TracInAttributor
from dattri.task import AttributionTask
from problem import Logits, Problem, summed_loss

from thresher.models.classifier import pool

PACKAGE = "dattri"


class LogitsUnderVmap(Logits):
    """With the attention mask made beforehand: transformers looks at what a mask holds, which vmap does not allow."""

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        blocked = (1.0 - attention_mask.float())[:, None, None, :] * torch.finfo(torch.float32).min
        blocked = blocked.expand(-1, -1, input_ids.shape[1], -1)
        hidden = self.model.encoder(input_ids=input_ids, attention_mask=blocked).last_hidden_state
        return self.model.head(pool(hidden, attention_mask, self.model.pooling))


def self_influence(problem: Problem) -> np.ndarray:
    model = LogitsUnderVmap(problem.model)
    # It flattens all parameters that take gradients into one vector, whose whole gradient is formed for every row.
    problem.freeze_others()

    def loss(parameters: dict[str, torch.Tensor], row: tuple[torch.Tensor, ...]) -> torch.Tensor:
        ids, mask, label = row
        logits = torch.func.functional_call(model, parameters, (ids[None], mask[None]))
        return summed_loss(logits, label[None])

    states = [{f"model.{name}": value for name, value in weights.items()} for weights in problem.checkpoints]
    task = AttributionTask(loss_func=loss, model=model, checkpoints=states)
    attributor = TracInAttributor(
        task=task,
        weight_list=torch.tensor(problem.rates),
        normalized_grad=False,
        layer_name=[f"model.{name}" for name in problem.parameters],
    )
    # It projects to 512 dimensions whatever the constructor gets; this is its exact path.
    attributor.projector_kwargs = None
    batches = problem.batches(lambda batch: (batch["input_ids"], batch["attention_mask"], batch["labels"]))
    with torch.no_grad():
        return attributor.self_attribute(batches).numpy()
