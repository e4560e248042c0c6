"""dattri-llm: gradients streamed in factorised form, and its own squared norms of them.

Its TracIn attributor gives all pairs of two sets of rows and has no self-influence, so this takes what that attributor is
made of: the live gradient stream and `grad_norm_sq`, which chooses the cheaper of ghost norm and formed gradient.
"""

from __future__ import annotations

import tempfile

import numpy as np
import torch
from dattri_llm import AttributionArguments, HookManagerConfig
from dattri_llm.gradient import ops
from dattri_llm.gradient.streaming import GradientStreamer
from problem import Logits, Places, Problem, summed_loss

PACKAGE = "dattri-llm"


def self_influence(problem: Problem) -> np.ndarray:
    model = Logits(problem.model)
    problem.freeze_others()
    problem.end_backward_at_layer()

    def loss(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        return summed_loss(model(batch["input_ids"], batch["attention_mask"]), batch["labels"])

    values = np.zeros(len(problem.labels))
    config = HookManagerConfig(hook_types={f"model.{name}": "linear_io" for name in problem.modules})
    with tempfile.TemporaryDirectory() as folder:
        arguments = AttributionArguments(output_dir=folder, use_cpu=True)
        stream = GradientStreamer(
            model,
            Places(len(problem.labels)),
            arguments,
            batch_size=problem.batch_size,
            loss_fn=loss,
            config=config,
            collate_fn=problem.batches().collate_fn,
        )
        with stream:
            for weights, rate in zip(problem.checkpoints, problem.rates, strict=True):
                problem.model.load_state_dict(weights)
                at = 0
                for _, gradient, _ in stream:
                    norms = sum(
                        ops.grad_norm_sq(value, gradient.layer_types[name])
                        for name, value in gradient.data.items()
                    )
                    values[at : at + len(norms)] += rate * norms.detach().numpy()
                    at += len(norms)
    return values
