"""TracIn of pairs: how much training on each row raised or lowered the loss of some target rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from thresher.errors import UserError
from thresher.execution.cores import share_cores
from thresher.execution.engines import run_tasks
from thresher.models.classifier import Classifier
from thresher.models.tokens import Tokens, length_sorted_batches, pad_batch, tokenise
from thresher.rows.table import class_indices
from thresher.run import Run, Training
from thresher.signals.batch import Weights, full, swap_weights
from thresher.signals.batches import tight_batches
from thresher.signals.capture import layer_flow
from thresher.signals.chunk import chunk_of_rows, loaded, tokens_of, usable_layers
from thresher.signals.ghost import Flow, rule_for
from thresher.signals.plan import Plan, make_plan

Numbers = NDArray[np.float64]
Places = NDArray[np.int64]
# The targets of a job are held as inputs and output gradients of the layer: tens of kilobytes per token.
TARGET_TOKENS = 4096
# Every job measures its targets anew, which few rows would not be worth.
JOB_ROWS = 1024, 8192


@dataclass(frozen=True)
class Targets:
    """M rows to be explained, which need not be among the training rows."""

    tokens: Tokens
    labels: NDArray[np.int64]  # (M,)


@dataclass(frozen=True)
class Top:
    """Per target, the k training rows with the largest values: values (M, k) from the largest down, places in the rows (M, k)."""

    values: Numbers
    rows: Places


def row_flows(
    model: Classifier, modules: Sequence[nn.Module], of: Targets, batch_tokens: int
) -> Iterator[tuple[Places, list[Flow]]]:
    """Batch by batch: which rows, and for every module its input and the gradient of each row's loss at its output.

    The weights in the model are those that it has; backward stops at the first of the modules.
    """
    device = next(model.parameters()).device
    for rows in tight_batches(of.tokens.lengths, batch_tokens):
        with layer_flow(list(modules)) as flow:
            logits = model(**pad_batch(of.tokens, rows, device)).logits
        labels = torch.from_numpy(of.labels[rows]).to(device)
        loss = nn.functional.cross_entropy(logits, labels, reduction="sum")
        gradients = torch.autograd.grad(loss, [flow[module][1] for module in modules])
        yield rows, [(full(flow[module][0]), full(b)) for module, b in zip(modules, gradients, strict=True)]


def tracin_pairs(
    model: Classifier,
    checkpoints: Sequence[Weights],
    rates: Sequence[float],
    modules: Sequence[nn.Module],
    targets: Targets,
    rows: Targets,
    batch_tokens: int = 1024,
) -> Numbers:
    """TracIn of every target with every row, (M, N) float64.

        TracIn(z, z') = sum over checkpoints c of  lr_c * < d loss(z) / d w, d loss(z') / d w > at c        nats

    with w the parameters of `modules`. Per-row gradients of weight matrices are not formed (see `signals/ghost/`). Positive: a
    step on z' lowers the loss of z (a proponent); negative: it raises it (an opponent). With itself a row has its
    self-influence, the score `tracin`.

    `model`: in eval mode, parameters without gradients. `checkpoints, rates`: C weights and their learning rates; a checkpoint
    whose rate is 0 is left out.

    Source: Pruthi et al. (2020), "Estimating training data influence by tracing gradient descent", NeurIPS, section 3.2.
    """
    values = np.zeros((len(targets.labels), len(rows.labels)))
    rules = [rule_for(module) for module in modules]
    for weights, rate in zip(checkpoints, rates, strict=True):
        if rate == 0:
            continue
        swap_weights(model, weights)
        held = list(row_flows(model, modules, targets, batch_tokens))
        for theirs, flows in row_flows(model, modules, rows, batch_tokens):
            for ours, target_flows in held:
                product = torch.zeros(len(ours), len(theirs), dtype=torch.float64, device=flows[0][0].device)
                for module, rule, one, other in zip(modules, rules, target_flows, flows, strict=True):
                    product += rule.product(module, one, other)  # type: ignore[union-attr]
                values[np.ix_(ours, theirs)] += rate * product.cpu().numpy()
    return values


def largest(values: Numbers, rows: Places, k: int) -> Top:
    """The k largest of each line, ties to the earlier row; merging the tops of pieces gives the top of the whole.

    >>> largest(np.array([[1.0, 3.0, 3.0]]), np.array([[7, 9, 8]]), 2).rows.tolist()
    [[8, 9]]
    """
    order = np.lexsort((rows, -values))[:, :k]
    return Top(np.take_along_axis(values, order, 1), np.take_along_axis(rows, order, 1))


def merged(tops: Sequence[Top], k: int) -> Top:
    """The k largest of several pieces."""
    values = np.concatenate([top.values for top in tops], 1)
    return largest(values, np.concatenate([top.rows for top in tops], 1), k)


def influence(
    run: Run,
    training: Training,
    texts: Sequence[Sequence[str]],
    labels: Sequence[str],
    *,
    layer: str,
    rates: Sequence[float],
    k: int,
    workers: int | None = None,
    advance: Callable[[float], None] = lambda rows: None,
) -> tuple[Top, Top]:
    """The k largest and the k smallest TracIn values of some target texts over all training rows, streamed.

    Rows are read and measured in chunks, in parallel; of each only its top is kept, and of the targets as much at a time as
    `TARGET_TOKENS` allows, so memory grows with neither.

    Parameters
    ----------
    run, training
        the run, and the training in it whose checkpoints count.
    texts, labels
        one or two columns of M texts, and their classes.
    layer
        "encoder" or "classifier".
    rates
        (C,) learning rates of that layer.

    Returns proponents by value from the largest down, opponents by minus their value.

    Raises UserError: the layer holds a module that has no rule.
    """
    measure = run.config.measure
    plan = make_plan(run, training, measure, gradients=True)
    workers = share_cores(plan.n_rows, workers or measure.workers)[0]
    few, many = JOB_ROWS
    plan = replace(plan, chunk_rows=min(many, max(few, -(-plan.n_rows // (4 * workers)))))
    model, tokenizer, weights = loaded(plan)
    classes = {name: place for place, name in enumerate(run.manifest.classes)}
    targets = Targets(
        tokenise(texts, tokenizer, run.config.model.max_length),
        np.array([classes[label] for label in labels], np.int64),
    )
    refused = usable_layers(model, weights[0], targets.tokens)[1].get(f"{layer}_sq_norm")
    if refused is not None:
        raise UserError(f"explain: the {layer} layer cannot be used ({refused}); try the other --layer")
    blocks = length_sorted_batches(targets.tokens.lengths, TARGET_TOKENS)
    jobs = [
        (plan, chunk, Targets(targets.tokens.take(block), targets.labels[block]), layer, tuple(rates), k)
        for block in blocks
        for chunk in range(plan.chunks)
    ]
    found: list[list[tuple[Top, Top]]] = [[] for _ in blocks]
    for job, (count, tops) in run_tasks(influence_job, jobs, workers):
        block = found[job // plan.chunks]
        block.append(tops)
        # Merged as they come, so that what is held does not grow with the rows.
        block[:] = [tuple(merged(side, k) for side in zip(*block, strict=True))]  # type: ignore[list-item]
        advance(count / len(blocks))
    order = np.argsort(np.concatenate(blocks))
    ends = [
        Top(
            *(
                np.concatenate([getattr(block[0][end], part) for block in found])[order]
                for part in ("values", "rows")
            )
        )
        for end in (0, 1)
    ]
    return ends[0], ends[1]


def influence_job(
    plan: Plan, chunk: int, targets: Targets, layer: str, rates: Sequence[float], k: int
) -> tuple[int, tuple[Top, Top]]:
    """One chunk of training rows with some targets: the number of rows, and the largest and the smallest values."""
    model, tokenizer, weights = loaded(plan)
    assert isinstance(model, Classifier)  # that of a frozen encoder is refused before
    given = chunk_of_rows(plan, chunk)
    rows = Targets(
        tokens_of(plan, given, tokenizer), class_indices(given[plan.inputs.label], plan.inputs.classes)
    )
    modules = usable_layers(model, weights[0], rows.tokens)[0][f"{layer}_sq_norm"]
    values = tracin_pairs(model, weights, rates, modules, targets, rows, plan.batch_tokens)
    first, count = plan.rows_of(chunk)
    places = np.broadcast_to(np.arange(first, first + count), values.shape)
    return count, (largest(values, places, k), largest(-values, places, k))
