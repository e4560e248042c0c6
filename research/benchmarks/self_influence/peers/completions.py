"""dattri-llm and bergson: the squared norms of every LoRA matrix's gradient, of the mean loss of each row's completion.

As in `dattri_llm_norms.py` and `bergson_collect.py`, with a language model: batches of rows by length, padded at the end.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

if TYPE_CHECKING:
    from research.benchmarks.completions import Problem

IGNORED = -100


class Places(Dataset):
    """The numbers 0 to N - 1; batches are made from them."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, place: int) -> int:
        if place >= self.count:
            raise IndexError(place)
        return place


class Logits(nn.Module):
    """The language model with tensors in by position, logits out; backward ends at the embeddings, not at a parameter."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        embedded = self.model.get_base_model().get_input_embeddings()(input_ids).detach().requires_grad_()
        return self.model(inputs_embeds=embedded, attention_mask=attention_mask, use_cache=False).logits


def adapters(model: nn.Module) -> list[str]:
    """The names of the LoRA matrices, as linear layers."""
    return [
        name for name, one in model.named_modules() if isinstance(one, nn.Linear) and ".lora_" in f".{name}"
    ]


def padded(given: Problem, rows: list[int]) -> dict[str, Tensor]:
    """A batch: input_ids, attention_mask, and labels of the completion alone."""
    width = max(given.rows.lengths[row] for row in rows)
    ids, mask = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width)
    labels = torch.full((len(rows), width), IGNORED)
    for line, row in enumerate(rows):
        prompt, completion = given.rows.prompts[row], given.rows.completions[row]
        end = len(prompt) + len(completion)
        ids[line, :end], mask[line, :end] = torch.tensor([*prompt, *completion]), 1
        labels[line, len(prompt) : end] = torch.tensor(completion)
    return {"input_ids": ids, "attention_mask": mask.long(), "labels": labels}


def summed_means(logits: Tensor, labels: Tensor) -> Tensor:
    """The sum over rows of the mean loss of their completion tokens: each row's gradient is then its own."""
    losses = nn.functional.cross_entropy(logits[:, :-1].mT, labels[:, 1:], reduction="none")
    return (losses.sum(1) / (labels[:, 1:] != IGNORED).sum(1)).sum()


def with_dattri_llm(given: Problem, batch_size: int) -> np.ndarray:
    """dattri-llm's live gradient stream, and its own squared norms; (N, C)."""
    from dattri_llm import AttributionArguments, HookManagerConfig
    from dattri_llm.gradient import ops
    from dattri_llm.gradient.streaming import GradientStreamer

    model = Logits(given.model)

    def loss(model: nn.Module, batch: dict[str, Tensor]) -> Tensor:
        return summed_means(model(batch["input_ids"], batch["attention_mask"]), batch["labels"])

    values = np.zeros((len(given.rows), len(given.weights)))
    config = HookManagerConfig(hook_types=dict.fromkeys(adapters(model), "linear_io"), include_frozen=True)
    with tempfile.TemporaryDirectory() as folder:
        stream = GradientStreamer(
            model,
            Places(len(given.rows)),
            AttributionArguments(output_dir=folder, use_cpu=True),
            batch_size=batch_size,
            loss_fn=loss,
            config=config,
            collate_fn=lambda rows: padded(given, rows),
        )
        with stream:
            for checkpoint, put in enumerate(given.weights):
                put()
                at = 0
                for _, gradient, _ in stream:
                    found = sum(
                        ops.grad_norm_sq(value, gradient.layer_types[name])
                        for name, value in gradient.data.items()
                    )
                    values[at : at + len(found), checkpoint] = found.detach().numpy()
                    at += len(found)
    return values


def with_bergson(given: Problem, batch_size: int) -> np.ndarray:
    """bergson's collector, which forms each row's gradient of a layer; (N, C)."""
    from bergson.collector.collector import HookCollectorBase
    from bergson.gradients import GradientProcessor

    @dataclass(kw_only=True)
    class SquaredNorms(HookCollectorBase):
        rows: Tensor | None = field(default=None)

        def setup(self) -> None:
            self.rows = None

        def teardown(self) -> None:
            self.rows = None

        def backward_hook(self, module: nn.Module, g: Tensor) -> None:
            norms = self._compute_gradient(module, g).pow(2).sum(1)
            self.rows = norms if self.rows is None else self.rows + norms

        def process_batch(self, indices: list[int], **more: Any) -> None:
            self.rows = None

    model = Logits(given.model)
    values = np.zeros((len(given.rows), len(given.weights)))
    collector = SquaredNorms(
        model=model, target_modules=set(adapters(model)), processor=GradientProcessor(include_bias=True)
    )

    def batches() -> Iterator[dict[str, Tensor]]:
        yield from DataLoader(
            Places(len(given.rows)), batch_size=batch_size, collate_fn=lambda rows: padded(given, rows)
        )

    with collector:
        for checkpoint, put in enumerate(given.weights):
            put()
            at = 0
            for batch in batches():
                summed_means(model(batch["input_ids"], batch["attention_mask"]), batch["labels"]).backward()
                assert collector.rows is not None
                values[at : at + len(collector.rows), checkpoint] = collector.rows.numpy()
                at += len(collector.rows)
                collector.process_batch([])
    return values


COLLECTORS: dict[str, Callable[[Problem, int], np.ndarray]] = {
    "dattri-llm": with_dattri_llm,
    "bergson": with_bergson,
}
