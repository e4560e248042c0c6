"""kronfluence `compute_self_scores` with the identity in place of the inverse Hessian: per-row gradients are formed."""

from __future__ import annotations

import logging
import tempfile

import numpy as np
import torch
from kronfluence.analyzer import Analyzer, prepare_model
from kronfluence.arguments import FactorArguments
from kronfluence.task import Task
from kronfluence.utils.dataset import DataLoaderKwargs
from problem import Logits, Places, Problem, summed_loss

PACKAGE = "kronfluence"


class Classification(Task):
    """The loss, and the modules that count."""

    def __init__(self, names: list[str]) -> None:
        self.names = names

    def compute_train_loss(self, batch: dict, model: torch.nn.Module, sample: bool = False) -> torch.Tensor:
        return summed_loss(model(batch["input_ids"], batch["attention_mask"]), batch["labels"])

    def compute_measurement(self, batch: dict, model: torch.nn.Module) -> torch.Tensor:
        return self.compute_train_loss(batch, model)

    def get_influence_tracked_modules(self) -> list[str]:
        return self.names


def self_influence(problem: Problem) -> np.ndarray:
    problem.end_backward_at_layer()
    task = Classification([f"model.{name}" for name in problem.modules])
    model = prepare_model(Logits(problem.model), task)
    values = np.zeros(len(problem.labels))
    with tempfile.TemporaryDirectory() as folder:
        analyzer = Analyzer(
            "self-influence",
            model,
            task,
            cpu=True,
            disable_tqdm=True,
            output_dir=folder,
            disable_model_save=True,
            log_level=logging.ERROR,
        )
        rows = Places(len(problem.labels))
        loading = DataLoaderKwargs(num_workers=0, collate_fn=problem.batches().collate_fn)
        for place, (weights, rate) in enumerate(zip(problem.checkpoints, problem.rates, strict=True)):
            load_wrapped(model, weights)
            factors = f"identity-{place}"
            analyzer.fit_all_factors(
                factors,
                rows,
                per_device_batch_size=problem.batch_size,
                factor_args=FactorArguments(strategy="identity"),
                dataloader_kwargs=loading,
            )
            analyzer.compute_self_scores(
                f"scores-{place}",
                factors,
                rows,
                per_device_train_batch_size=problem.batch_size,
                dataloader_kwargs=loading,
            )
            values += rate * analyzer.load_self_scores(f"scores-{place}")["all_modules"].numpy()
    return values


def load_wrapped(model: torch.nn.Module, weights: dict[str, torch.Tensor]) -> None:
    """Copy weights into the model; the modules that count are wrapped, which gives their parameters another name."""
    own = {name.replace(".original_module", ""): value for name, value in model.state_dict().items()}
    with torch.no_grad():
        for name, value in weights.items():
            own[f"model.{name}"].copy_(value)
