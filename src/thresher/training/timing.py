"""How fast this machine encodes, trains a model and trains a head, measured for a moment on some of the rows."""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from thresher.config import ModelConfig, TrainConfig
from thresher.execution.cores import share_cores
from thresher.models.encode import LoadedEncoder, encode
from thresher.models.frozen import Features
from thresher.models.tokens import pad_batch, tokenise
from thresher.rows import Rows
from thresher.training.fit import parameter_groups
from thresher.training.head import fit_heads
from thresher.training.order import LengthGroupedOrder
from thresher.training.recipe import trains_in_bf16
from thresher.training.train import new_classifier
from thresher.training.vocabulary import trimmed_vocabulary

# Texts at a time: few first, as an encoder may be slow, then more, which are encoded faster.
BLOCKS = (16, 64, 256, 512)
ENCODED = sum(BLOCKS)  # rows
STEPS, UNTIMED = 10, 2
HEADS, HEAD_STEPS = 4, 10
ENOUGH = 2.0  # seconds after which a measurement ends


@dataclass(frozen=True)
class Speeds:
    """Seconds on one of `at_a_time` processes that work side by side."""

    row: float  # to encode
    step: float  # of a fine-tuned model
    head_step: float
    at_a_time: int


def speeds(
    frozen: ModelConfig | None, heads: TrainConfig, model: ModelConfig, train: TrainConfig, rows: Rows
) -> Speeds:
    """Measure for a few seconds, as fast as the work will be: with the threads that a process gets.

    Parameters
    ----------
    frozen, heads
        the encoder that is frozen, and the recipe of its heads; None where there is none.
    model, train
        the model that is proved, and its recipe; a frozen one has no step of its own.
    """
    at_a_time, threads = share_cores(10**6, train.workers)
    before = torch.get_num_threads()
    torch.set_num_threads(train.threads or threads)
    try:
        row, head_step = (0.0, 0.0) if frozen is None else _of_heads(frozen, heads, rows)
        step = 0.0 if model.freeze else _step(model, train, rows)
    finally:
        torch.set_num_threads(before)
    return Speeds(row, step, head_step, at_a_time)


def _of_heads(model: ModelConfig, train: TrainConfig, rows: Rows) -> tuple[float, float]:
    """Seconds to encode a row, and of a step of a head."""
    encoder = LoadedEncoder(model)
    texts = [text for column in rows.text for text in rows.table[column].head(ENCODED).to_list()]
    encode(encoder, texts[: BLOCKS[0]])
    row, spent, start = 0.0, 0.0, 0
    for size in BLOCKS:
        part, started = texts[start : start + size], time.perf_counter()
        if not part or (row and spent + size * row > ENOUGH):
            break
        encode(encoder, part)
        took = time.perf_counter() - started
        row, spent, start = took / len(part), spent + took, start + size
    row *= len(rows.text)
    width = encoder.width * (4 if len(rows.text) == 2 else 1)
    features = Features(np.zeros((len(rows), width), np.float32), np.zeros(len(rows), bool))
    every = [np.arange(len(rows))] * HEADS

    def seconds(steps: int) -> float:
        recipe, started = train.model_copy(update={"max_steps": steps}), time.perf_counter()
        fit_heads(features, [rows.labels()] * HEADS, every, range(HEADS), len(rows.classes), model, recipe)
        return time.perf_counter() - started

    started = seconds(1)
    return row, max(0.0, seconds(1 + HEAD_STEPS) - started) / (HEADS * HEAD_STEPS)


def _step(model: ModelConfig, train: TrainConfig, rows: Rows) -> float:
    """The median seconds of an optimiser step on batches of the rows."""
    classifier, tokenizer = new_classifier(model, len(rows.classes), 0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    classifier.to(device).train()
    size = min(len(rows), STEPS * train.batch_size)
    at = np.sort(np.random.default_rng(0).permutation(len(rows))[:size])
    texts = [rows.table[column].gather(at).to_list() for column in rows.text]
    tokens = tokenise(texts, tokenizer, model.max_length)
    labels = rows.labels()[at]
    taken = []
    with trimmed_vocabulary(classifier, tokens, train.weight_decay) as (tokens, _):
        optimizer = torch.optim.AdamW(parameter_groups(classifier, train), weight_decay=train.weight_decay)
        order = LengthGroupedOrder(tokens.lengths, train.batch_size, 0).rows()
        for start in range(0, size, train.batch_size):
            batch = order[start : start + train.batch_size].tolist()
            started = time.perf_counter()
            with torch.autocast(device.type, torch.bfloat16, enabled=trains_in_bf16(train)):
                inputs = {name: values.to(device) for name, values in pad_batch(tokens, batch).items()}
                logits = classifier(**inputs).logits
            loss = nn.functional.cross_entropy(logits.float(), torch.from_numpy(labels[batch]).to(device))
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(classifier.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad()
            loss.item()
            taken.append(time.perf_counter() - started)
            if len(taken) > UNTIMED and sum(taken[UNTIMED:]) > ENOUGH:
                break
    return statistics.median(taken[UNTIMED:] or taken)
