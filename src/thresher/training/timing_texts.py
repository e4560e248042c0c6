"""How fast this machine fine-tunes a language model, measured for a moment on some of the rows."""

from __future__ import annotations

import statistics
import time

import numpy as np
import torch

from thresher.config import RunConfig
from thresher.execution.cores import cores, share_cores
from thresher.models.completions import Completions
from thresher.models.language_model import adapted
from thresher.rows import Rows
from thresher.training.language_runs import prepared
from thresher.training.order import LengthGroupedOrder
from thresher.training.recipe import trains_in_bf16

STEPS, UNTIMED = 4, 1
ENOUGH = 10.0  # seconds after which a measurement ends


def tokens_per_second(config: RunConfig, rows: Rows) -> tuple[Completions, float, float, int]:
    """The rows as tokens, the tokens that a training takes per second on all cores, the same on the cores of one of the trainings
    of a proof, and how many of these run side by side.
    """
    model, _, tokens = prepared(config, rows)
    model = adapted(model, config.generate, config.train.seed)
    at_a_time, threads = share_cores(10**6, config.train.workers)
    whole, part = config.train.threads or cores(), config.train.threads or threads
    alone = rate(model, tokens, config, whole)
    return tokens, alone, alone if part == whole else rate(model, tokens, config, part), at_a_time


def rate(model: object, tokens: Completions, config: RunConfig, threads: int) -> float:
    """Tokens per second in the median step of a few, with so many threads; the weights of the model change."""
    assert isinstance(model, torch.nn.Module)
    train, device = config.train, torch.device("cuda" if torch.cuda.is_available() else "cpu")
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    model.to(device).train()
    weights = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=config.generate.lr, weight_decay=train.weight_decay)
    size = min(len(tokens), STEPS * train.batch_size)
    chosen = tokens.take(np.sort(np.random.default_rng(0).permutation(len(tokens))[:size]))
    order = LengthGroupedOrder(chosen.lengths, train.batch_size, 0).rows()
    rates: list[float] = []
    started = time.perf_counter()
    try:
        for at in range(0, size, train.batch_size):
            batch = order[at : at + train.batch_size]
            began = time.perf_counter()
            inputs = {name: one.to(device) for name, one in chosen.batch(batch).items()}
            with torch.autocast(device.type, torch.bfloat16, enabled=trains_in_bf16(train)):
                loss = model(**inputs).loss
            torch.autograd.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
            loss.item()
            rates.append(float(chosen.lengths[batch].sum()) / (time.perf_counter() - began))
            if len(rates) > UNTIMED and time.perf_counter() - started > ENOUGH:
                break
    finally:
        torch.set_num_threads(before)
    return statistics.median(rates[UNTIMED:] or rates)
