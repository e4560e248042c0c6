"""captum `TracInCP`: per-row weight gradients are formed; layers that are not linear take one backward per row."""

from __future__ import annotations

import numpy as np
from captum.influence import TracInCP
from problem import Logits, Problem
from torch import nn

PACKAGE = "captum"


def self_influence(problem: Problem, kind: type = TracInCP, **options: object) -> np.ndarray:
    model = Logits(problem.model)
    problem.freeze_others()
    problem.end_backward_at_layer()

    def load(model: Logits, place: int) -> float:
        model.model.load_state_dict(problem.checkpoints[place])
        return problem.rates[place]

    loss = nn.CrossEntropyLoss(reduction="sum")
    # Its samples are differentiated with respect to, so they have to be floating point numbers.
    batches = problem.batches(
        lambda batch: (batch["input_ids"].float(), batch["attention_mask"].float(), batch["labels"])
    )
    if not options:
        modules = dict(problem.model.named_modules())
        linear = all(isinstance(modules[name], nn.Linear) for name in problem.modules)
        options = {
            "layers": [f"model.{name}" for name in problem.modules],
            "sample_wise_grads_per_batch": linear,
        }
        loss = loss if linear else nn.CrossEntropyLoss(reduction="none")
    tracin = kind(
        model=model,
        train_dataset=batches,
        checkpoints=list(range(len(problem.checkpoints))),
        checkpoints_load_func=load,
        loss_fn=loss,
        **options,
    )
    return tracin.self_influence(outer_loop_by_checkpoints=True).numpy()
