"""What the models of a run take each row for, read block by block: few rows have all their probabilities in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import softmax

from thresher.experiments.label_errors import (
    Noise,
    Skill,
    early_probabilities,
    fitted_noise,
    in_order_of,
    noise_chances,
    skill_of,
)
from thresher.pipeline.part_source import PartSource
from thresher.row_hash import hash_ids
from thresher.run import Run
from thresher.scores.read import array

Numbers = NDArray[np.float64]
SIGNALS = ("id", "label", "logits", "held_out_logits")
BLOCK_ROWS = 1 << 14
# Rows by which the noise of the labels is fitted; of more, those with the smallest hash of their id.
SAMPLE = 100_000


class Guess(NamedTuple):
    """For N rows: the most probable class (N,), and the probabilities of it and of the row's own class, (N,) each."""

    likely: NDArray[np.int64]
    p_likely: Numbers
    p_given: Numbers

    @classmethod
    def of(cls, label: NDArray[np.int64], probabilities: Numbers) -> Guess:
        """From the probabilities of all classes, (N, K).

        >>> Guess.of(np.array([0, 0]), np.array([[0.9, 0.1], [0.2, 0.8]])).p_likely.tolist()
        [0.9, 0.8]
        """
        rows, likely = np.arange(len(label)), probabilities.argmax(axis=1)
        return cls(likely, probabilities[rows, likely], probabilities[rows, label])


@dataclass(frozen=True)
class Guesses:
    """The guesses of all N rows, their ids and labels; `chances` (N,) of the labels to be wrong, or None where the models have
    learned too little to say, which `learned` tells."""

    ids: pl.Series
    label: NDArray[np.int64]
    guess: Guess
    learned: Skill
    chances: Numbers | None


def guesses_of(run: Run) -> Guesses:
    """The guesses of the models whose signals a run has.

    Raises UserError: signals are missing or damaged.
    Raises MissingSignal: the signals lack `logits`, or hold none for some row.
    """
    sources = [PartSource(run, training) for training in run.measured()]
    ids, labels, guesses, right = [], [], [], []
    sampled: list[Numbers] = []
    limit = _hash_limit(sources[0])
    chosen = []
    for blocks in _blocks(sources):
        label = blocks[0]["label"].cast(pl.Int64).to_numpy()
        early = early_of(sources, blocks)
        among = hash_ids(blocks[0]["id"]) <= limit
        ids.append(blocks[0]["id"])
        labels.append(label)
        guesses.append(Guess.of(label, mean_probabilities(blocks)))
        right.append(early.argmax(axis=1) == label)
        sampled.append(early[among])
        chosen.append(among)
    label, among = np.concatenate(labels), np.concatenate(chosen)
    learned = skill_of(label, np.concatenate(right))
    chances = None
    if learned.enough:
        early = np.concatenate(sampled)
        sampled.clear()
        noise = fitted_noise(label[among], early)
        chances = noise_chances(noise, label[among], early) if among.all() else _chances(sources, noise)
    guess = Guess(*(np.concatenate(parts) for parts in zip(*guesses, strict=True)))
    return Guesses(pl.concat(ids), label, guess, learned, chances)


def probabilities_of(run: Run) -> Numbers:
    """The probabilities of all classes for all rows, averaged over checkpoints and runs, (N, K)."""
    sources = [PartSource(run, training) for training in run.measured()]
    return np.concatenate([mean_probabilities(blocks) for blocks in _blocks(sources)])


def mean_probabilities(runs: Sequence[pl.DataFrame]) -> Numbers:
    """The probability of every class, averaged over the checkpoints and the runs; (N, K), in the row order of run 0.

    The model was trained on these rows and fits wrong labels in the end, so early checkpoints count as much as late ones.
    Held-out probabilities avoid this but cost a training per fold; they found no more of the planted errors (see the results
    page).

    Raises MissingSignal: the signals lack `logits`, or hold none for some row.

    >>> kind = {"logits": pl.Array(pl.Float32, (2, 2))}
    >>> run = pl.DataFrame({"id": ["a"], "logits": [[[0.0, 0.0], [99.0, 0.0]]]}, schema_overrides=kind)
    >>> mean_probabilities([run]).tolist()
    [[0.75, 0.25]]
    """
    total: Numbers = np.zeros(0)
    for signals in runs:
        logits = array(in_order_of(runs[0], signals, "logits"), "logits")  # (N, C, K)
        steps = range(logits.shape[1])
        mean = sum(softmax(logits[:, c].astype(np.float64), axis=1) for c in steps) / logits.shape[1]
        total = mean if not len(total) else total + mean
    return total / len(runs)


def _hash_limit(source: PartSource) -> int:
    """The largest hash of an id of the sample."""
    if source.rows <= SAMPLE:
        return int(np.iinfo(np.uint64).max)
    hashes = np.concatenate([hash_ids(block["id"]) for block in source.blocks(("id",), BLOCK_ROWS)])
    return int(np.partition(hashes, SAMPLE - 1)[SAMPLE - 1])


def _blocks(sources: Sequence[PartSource]) -> Iterator[tuple[pl.DataFrame, ...]]:
    """What is needed of the signals of each run, some rows at a time."""
    columns = [[name for name in SIGNALS if name in source.schema] for source in sources]
    each = [source.blocks(names, BLOCK_ROWS) for source, names in zip(sources, columns, strict=True)]
    return zip(*each, strict=True)


def early_of(sources: Sequence[PartSource], blocks: Sequence[pl.DataFrame]) -> Numbers:
    """Probabilities of models that have not memorised the rows of a block, (n, K)."""
    return early_probabilities(
        [(block, source.checkpoints) for block, source in zip(blocks, sources, strict=True)]
    )


def _chances(sources: Sequence[PartSource], noise: Noise) -> Numbers:
    """The chance of every label to be wrong, in a second pass."""
    return np.concatenate(
        [
            noise_chances(noise, blocks[0]["label"].cast(pl.Int64).to_numpy(), early_of(sources, blocks))
            for blocks in _blocks(sources)
        ]
    )
