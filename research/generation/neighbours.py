"""Bad completions by a model that has not seen the row: `python -m research.generation.neighbours OUT [--draw 0]`.

OUT is the folder of `planted` with the same draw. A leave-one-out nearest-neighbour language model takes the place of
cross-fitted trainings. The keys are the hidden states of the run's last checkpoint at the tokens of all completions, the values
the tokens that follow. With the k nearest keys j of other rows by cosine,

    p_kNN(y) = sum over j with token y of exp(s_j / tau) / sum over j of exp(s_j / tau),     p = (1 - m) p_LM + m p_kNN

Rows are ordered by the larger of their ranks by IFD and by the loss of the end, as suspects are, with -log p in place of the loss
of the model, and the precision at the planted number is written to neighbours.json.

Source: Khandelwal et al. (2020), "Generalization through Memorization: Nearest Neighbor Language Models", ICLR."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata

import thresher as th
from research.generation.planted import planted, precision
from thresher.models.language_model import adapted, put_weights
from thresher.rows import read_rows
from thresher.run import FIRST, Run
from thresher.signals.batches import each_batch
from thresher.signals.completions.model import measuring
from thresher.signals.completions.of_tokens import rows_to_measure
from thresher.training.checkpoints import load_weights
from thresher.training.finished import list_checkpoints
from thresher.training.language_runs import prepared

FIGURES = Path(__file__).with_suffix(".json")
BATCH_TOKENS, BLOCK = 2048, 1000
# Chosen on draw 0, among 16 settings, before another draw was looked at.
NEIGHBOURS, TEMPERATURE, SHARE = 32, 0.05, 0.6
Numbers = NDArray[np.float64]


def hidden_states(run: Run) -> tuple[list[NDArray[np.float32]], list[NDArray[np.int64]]]:
    """Per row: the hidden states that the tokens of its completion are predicted from, (n, H), and these tokens, (n,)."""
    config = run.config
    model, tokenizer, tokens = prepared(config, read_rows(run.rows_file))
    model = adapted(model, config.generate, config.train.seed)
    put_weights(model, load_weights(list_checkpoints(run.checkpoints(FIRST))[-1]))
    found: list[NDArray[np.float32]] = [np.empty((0, 0), np.float32)] * len(tokens)
    labels: list[NDArray[np.int64]] = [np.empty(0, np.int64)] * len(tokens)
    rows = rows_to_measure(tokens, tokenizer)
    with torch.no_grad(), measuring(model) as parts:

        def states(places):  # type: ignore[no-untyped-def]
            batch = rows.batch(places, parts.device)
            hidden = parts.hidden_states(batch.inputs).flatten(0, 1)[batch.places]
            return hidden.float().numpy(), batch.labels.numpy(), batch.number.numpy()

        for places, (hidden, label, number) in each_batch(rows.lengths, BATCH_TOKENS, states):
            cuts = np.cumsum(number)[:-1]
            for at, one, own in zip(places, np.split(hidden, cuts), np.split(label, cuts), strict=True):
                found[at], labels[at] = one, own
    return found, labels


def neighbour_chances(
    hidden: NDArray[np.float32], labels: NDArray[np.int64], row: NDArray[np.int64]
) -> Numbers:
    """p_kNN of each token, (T,), from the tokens of other rows; `row` (T,) is that of each token."""
    keys = hidden / np.linalg.norm(hidden, axis=1, keepdims=True)
    found = np.zeros(len(labels))
    for start in range(0, len(labels), BLOCK):
        here = slice(start, start + BLOCK)
        near = keys[here] @ keys.T
        near[row[here, None] == row[None]] = -np.inf
        top = np.argpartition(-near, NEIGHBOURS, axis=1)[:, :NEIGHBOURS]
        close = np.take_along_axis(near, top, axis=1)
        weight = np.exp((close - close.max(1, keepdims=True)) / TEMPERATURE)
        same = labels[top] == labels[here, None]
        found[here] = (weight * same).sum(1) / weight.sum(1)
    return found


def misfit(loss: list[Numbers], alone: list[Numbers]) -> Numbers:
    """The larger of a row's ranks by IFD and by the loss of the end, (N,)."""
    ifd = np.array([one.mean() / other.mean() for one, other in zip(loss, alone, strict=True)])
    end = np.array([one[-1] for one in loss])
    return np.maximum(rankdata(ifd), rankdata(end))


def main() -> None:
    """Order the rows both ways, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=1200)
    parser.add_argument("--draw", type=int, default=0)
    given = parser.parse_args()
    run = th.Run.open(given.out / "RUN")
    _, wrong = planted(given.rows, given.draw)
    table = pl.read_parquet(run.token_losses_file)
    loss, alone = ([np.array(one) for one in table[name]] for name in ("loss", "loss_alone"))
    hidden, labels = hidden_states(run)
    row = np.repeat(np.arange(len(labels)), [len(one) for one in labels])
    near = neighbour_chances(np.concatenate(hidden), np.concatenate(labels), row)
    mixed = -np.log((1 - SHARE) * np.exp(-np.concatenate(loss)) + SHARE * near + 1e-9)
    cuts = np.cumsum([len(one) for one in loss])[:-1]
    found = {
        name: {kind or "all": round(precision(table, misfit(one, alone), wrong, kind), 3) for kind in KINDS}
        for name, one in (("own losses", loss), ("with neighbours", np.split(mixed, cuts)))
    }
    known = json.loads(FIGURES.read_text(encoding="utf-8")) if FIGURES.is_file() else {}
    figures = {**known, f"draw {given.draw}": found}
    FIGURES.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


KINDS = (None, "swapped", "truncated")


if __name__ == "__main__":
    main()
