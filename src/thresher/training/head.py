"""Train classification heads on fixed features, several at once as one stack of matrices.

For a head, Trainer's overhead between steps exceeds the steps themselves, so this is a plain loop with the same recipe: row
order, schedule, optimiser and gradient clipping. Heads with the same number of rows train together, which takes two thirds
of the time of one after the other; a head is the same as if trained alone, up to rounding.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from transformers.optimization import get_scheduler

from thresher.config import ModelConfig, TrainConfig
from thresher.models.frozen import Features, FrozenClassifier
from thresher.training.feature_files import forget_pages
from thresher.training.order import LengthGroupedOrder
from thresher.training.recipe import steps_of, trains_in_bf16

State = dict[str, Tensor]
MAX_GRADIENT_NORM = 1.0  # the default of Trainer
BLOCK = 1 << 16  # rows per prediction, to bound the memory of the hidden layers
WINDOW = 1 << 17  # rows that are looked up at a time, and visited before others where there are more
PAGE = 64  # rows that lie together in the file and are read together


@dataclass(frozen=True)
class Snapshot:
    """The weights of every head after a step, and the learning rate of the step."""

    step: int
    epoch: float
    lr: float
    states: list[State]


def fit_heads(
    features: Features,
    labels: Sequence[NDArray[np.int64]],
    choices: Sequence[NDArray[np.int64]],
    seeds: Sequence[int],
    n_classes: int,
    model: ModelConfig,
    config: TrainConfig,
    on_snapshot: Callable[[Snapshot], None] = lambda snapshot: None,
    snapshots: Collection[int] = (),
) -> tuple[list[State], int]:
    """Train S heads, each on its own choice of rows; returns their weights and the number of steps.

    Parameters
    ----------
    features
        of all N rows, (N, H).
    labels
        of all N rows, one (N,) per head.
    choices
        the row numbers of each head in ascending order, all of the same length n.
    seeds
        one per head, for its initial weights, dropout and row order.
    on_snapshot, snapshots
        a function, and the steps after which it is called.
    """
    n, total = len(choices[0]), steps_of(config, len(choices[0]))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    values = torch.from_numpy(features.values).to(device)
    names, parameters = stacked_heads(features.values.shape[1], n_classes, model, seeds, device)
    # Views of each head's parameters: a vectorised update may round differently at another offset in a tensor.
    parts = [stack.detach()[head] for head in range(len(seeds)) for stack in parameters]
    for part in parts:
        part.grad = torch.empty_like(part)
    optimizer = torch.optim.AdamW(parts, lr=config.head_lr, weight_decay=config.weight_decay, fused=True)
    schedule = get_scheduler(
        config.schedule,
        optimizer,
        num_warmup_steps=math.ceil(config.warmup * total),
        num_training_steps=total,
    )
    generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
    per_epoch, per_window = math.ceil(n / config.batch_size), max(1, WINDOW // config.batch_size)
    for step in range(total):
        epoch, batch = divmod(step, per_epoch)
        if batch == 0:
            visits = [order_of_visits(n, config.batch_size, seed, epoch) for seed in seeds]
        place = batch % per_window
        if place == 0:
            window = slice(batch * config.batch_size, (batch + per_window) * config.batch_size)
            looked_up = [choice[visit[window]] for choice, visit in zip(choices, visits, strict=True)]
            rows = torch.from_numpy(np.stack(looked_up)).to(device)  # (S, W)
            truth = np.stack([one[at] for one, at in zip(labels, looked_up, strict=True)])
            targets = torch.from_numpy(truth).to(device)
            forget_pages(features.values)
        here = slice(place * config.batch_size, (place + 1) * config.batch_size)
        at = rows[:, here]  # (S, B)
        with torch.autocast(device.type, torch.bfloat16, enabled=trains_in_bf16(config)):
            logits = stack_logits(
                parameters,
                values[at].float(),
                masks(at.shape[1], parameters, model.dropout, generators),
            )
        loss = nn.functional.cross_entropy(
            logits.float().flatten(0, 1), targets[:, here].flatten(), reduction="sum"
        )
        gradients = torch.autograd.grad(loss / at.shape[1], parameters)
        give_clipped(parts, gradients)
        rate = float(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
        if step + 1 in snapshots:
            on_snapshot(Snapshot(step + 1, (step + 1) / per_epoch, rate, states(names, parameters)))
    return states(names, parameters), total


def order_of_visits(n: int, batch_size: int, seed: int, epoch: int) -> NDArray[np.int64]:
    """The order in which a head visits its n rows in an epoch, (n,).

    Of more rows than `WINDOW`, runs of `PAGE` rows that lie together are drawn in random order, and the rows of as many runs as
    hold `WINDOW` rows are shuffled: so a file larger than the memory is read page by page.
    """
    if n <= WINDOW:
        order = LengthGroupedOrder(np.ones(n, np.int64), batch_size, seed)
        order.set_epoch(epoch)
        return order.rows()
    random = np.random.default_rng((seed, epoch))
    pages = random.permutation(-(-n // PAGE))
    rows = (pages[:, None] * PAGE + np.arange(PAGE)).ravel()
    rows = rows[rows < n]
    for start in range(0, n, WINDOW):
        random.shuffle(rows[start : start + WINDOW])
    return rows


def stacked_heads(
    width: int, n_classes: int, model: ModelConfig, seeds: Sequence[int], device: torch.device
) -> tuple[list[str], list[Tensor]]:
    """The parameter names of a head, and the stacked parameters: per layer weights (S, out, in) and biases (S, out)."""
    drawn = []
    for seed in seeds:
        torch.manual_seed(seed)
        drawn.append(dict(FrozenClassifier(width, n_classes, model).named_parameters()))
    return list(drawn[0]), [
        torch.stack([one[name].detach() for one in drawn]).to(device).requires_grad_() for name in drawn[0]
    ]


def stack_logits(parameters: Sequence[Tensor], batch: Tensor, dropped: Sequence[Tensor | None]) -> Tensor:
    """Logits (S, B, K) of inputs (S, B, H); `dropped` holds the dropout mask of each layer's input, or None."""
    x = batch
    for layer, mask in enumerate(dropped):
        weight, bias = parameters[2 * layer], parameters[2 * layer + 1]
        x = x.relu() if layer else x
        x = x if mask is None else x * mask
        x = torch.baddbmm(bias[:, None], x, weight.transpose(1, 2))
    return x


def masks(
    batch: int, parameters: Sequence[Tensor], dropout: float, generators: Sequence[torch.Generator]
) -> list[Tensor | None]:
    """Dropout masks (S, B, width) for the input of every layer: 0 with probability p, else 1 / (1 - p).

    Each head draws 16 random bits per element from its own generator, which is four times as fast as a Bernoulli draw.
    """
    widths = [parameter.shape[2] for parameter in parameters[::2]]
    if dropout == 0:
        return [None] * len(widths)
    need = -(-batch * sum(widths) // 4)
    bits = torch.stack(
        [
            torch.empty(need, dtype=torch.int64, device=one.device).random_(-(2**63), None, generator=one)
            for one in generators
        ]
    ).view(torch.int16)  # (S, 4 need)
    below = min(round((1 - dropout) * 2**16) - 2**15, 2**15 - 1)  # the largest number of 16 bits
    kept = (bits < below).to(parameters[0].dtype).mul_(1 / (1 - dropout))
    parts = torch.split(kept[:, : batch * sum(widths)], [batch * width for width in widths], dim=1)
    return [part.reshape(len(generators), batch, width) for part, width in zip(parts, widths, strict=True)]


def give_clipped(parts: Sequence[Tensor], gradients: Sequence[Tensor]) -> None:
    """Set the gradients of every head (`parts` lists head after head), scaled to a norm of at most one per head."""
    by_head = [gradient[head] for head in range(len(gradients[0])) for gradient in gradients]
    for first in range(0, len(parts), len(gradients)):
        mine = by_head[first : first + len(gradients)]
        norm = torch.stack([torch.linalg.vector_norm(gradient) for gradient in mine]).norm()
        scale = (MAX_GRADIENT_NORM / (norm + 1e-6)).clamp(max=1.0)
        for part, gradient in zip(parts[first:], mine, strict=False):
            # Written into memory with the layout of the parameter: the gradient of a transposed product is transposed, and
            # the fused optimiser does not check this.
            torch.mul(gradient, scale, out=part.grad)


def states(names: Sequence[str], parameters: Sequence[Tensor]) -> list[State]:
    """The weights of every head, by the parameter names of `FrozenClassifier`."""
    return [
        {name: stack[head].detach().cpu().clone() for name, stack in zip(names, parameters, strict=True)}
        for head in range(len(parameters[0]))
    ]


def head_logits(state: State, features: Features) -> NDArray[np.float32]:
    """The logits (N, K) of one head in float32, without dropout."""
    return np.concatenate(list(logit_blocks(state, features)))


def logit_blocks(
    state: State, features: Features, rows: NDArray[np.int64] | None = None
) -> Iterator[NDArray[np.float32]]:
    """The logits of some rows, all by default, in their order, `BLOCK` rows at a time."""
    total = len(features) if rows is None else len(rows)
    for start in range(0, total, BLOCK):
        here = slice(start, start + BLOCK)
        x = torch.from_numpy(features.values[here if rows is None else rows[here]]).float()
        for layer, name in enumerate(name for name in state if name.endswith("weight")):
            x = x.relu() if layer else x
            x = nn.functional.linear(x, state[name], state[name.replace("weight", "bias")])
        yield x.numpy()
        forget_pages(features.values)
