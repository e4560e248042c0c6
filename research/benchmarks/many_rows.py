"""Whether fewer passes of the heads do where there are many rows: the same rows scored by the usual recipe and by that of many.

    python -m research.benchmarks.many_rows OUT --rows 100000 --as 1000000

The rows are those of `million`: synthetic commands of which 4% have a label drawn at random. Features come from the first three
layers of the encoder. Every recipe trains a head on all rows and the heads of a cross-validation:

    usual       6 epochs, 5 folds, 10 checkpoints
    few         the passes that a million rows get (`--as`): 1.2 epochs, 2 folds, 5 checkpoints
    few again   the same with other seeds: what the seeds alone change

A tenth of the rows makes the test harder: each row is visited as often as one of a million, by heads of a tenth of the steps.

Words: tf-idf with a vocabulary in 2 x 5 folds and 10 passes, against hashed columns in 2 folds and 4 passes. Told are the
precision on the planted labels (the lowest scores, as many as were planted), the share of held-out rows that the heads get
right, and the rank correlation with the scores of `usual`. A recipe that was measured before is read from OUT."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

import thresher as th
from research.benchmarks.million import make_rows
from research.benchmarks.record import machine, record
from thresher.config import ModelConfig, TrainConfig
from thresher.models.frozen import Features
from thresher.rows import Rows
from thresher.run import Training
from thresher.training.features import text_vectors
from thresher.training.folds import FROZEN_FOLDS, left_out
from thresher.training.head import Snapshot, fit_heads, head_logits, logit_blocks
from thresher.training.recipe import MANY, steps_of, with_defaults
from thresher.training.saved_steps import evenly_spaced
from thresher.training.words import OF_MANY, OF_SOME, word_margins

MODEL = ModelConfig(freeze=True, layers=3, encode="bfloat16")
Numbers = NDArray[np.float64]


def margins(logits: NDArray[np.float32], labels: NDArray[np.int64]) -> Numbers:
    """The logit of the label less the largest other one, (N,)."""
    every = np.arange(len(labels))
    others = logits.copy()
    others[every, labels] = -np.inf
    return (logits[every, labels] - others.max(1)).astype(np.float64)


def scored(features: Features, rows: Rows, config: TrainConfig, seed: int) -> dict[str, Numbers]:
    """AUM and held-out margins by one recipe, (N,) each."""
    labels, n, folds = rows.labels(), len(rows), int(config.folds)
    total = steps_of(config, n)
    at = set(evenly_spaced(config.checkpoints, total))
    aum = np.zeros(n)

    def look(snapshot: Snapshot) -> None:
        nonlocal aum
        aum += margins(head_logits(snapshot.states[0], features), labels) / len(at)

    def fit(choice: NDArray[np.int64], seed: int, **more: Any) -> dict[str, torch.Tensor]:
        recipe = config.model_copy(update={"max_steps": total})
        return fit_heads(features, [labels], [choice], [seed], len(rows.classes), MODEL, recipe, **more)[0][0]

    fit(np.arange(n), seed, on_snapshot=look, snapshots=at)
    held_out = np.zeros(n)
    for part in range(folds):
        out = left_out(Training("fold", part), rows.table["id"], labels, folds, seed)
        state, unseen = fit(np.flatnonzero(~out), seed + part), np.flatnonzero(out)
        found = np.concatenate(list(logit_blocks(state, features, unseen)))
        held_out[unseen] = margins(found, labels[unseen])
    return {"aum": aum, "held_out": held_out}


def rank_correlation(one: Numbers, other: Numbers) -> float:
    """Spearman's, of two scores."""
    ranks = [pl.Series(values).rank().to_numpy() for values in (one, other)]
    return round(float(np.corrcoef(*ranks)[0, 1]), 4)


def main() -> None:
    """Score by every recipe, and record how they agree."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--as", type=int, default=1_000_000, dest="like")
    parser.add_argument("--words", action=argparse.BooleanOptionalAction, default=True)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    source, planted = given.out / "train.jsonl", given.out / "planted.json"
    if not planted.is_file():
        planted.write_text(json.dumps(sorted(make_rows(source, given.rows))))
    rows = th.load(source, text="text", label="intent", id="id")
    wrong = rows.table["id"].is_in(json.loads(planted.read_text())).to_numpy()
    few = with_defaults(MODEL, TrainConfig(), given.like)
    usual = with_defaults(MODEL, TrainConfig(), min(len(rows), MANY)).model_copy(
        update={"folds": FROZEN_FOLDS}
    )
    features: Features | None = None
    found: dict[str, dict[str, Numbers]] = {}
    seconds: dict[str, float] = {}
    for name, config, seed in (("usual", usual, 0), ("few", few, 0), ("few again", few, 100)):
        file = given.out / f"{name}.npz"
        if not file.is_file():
            if features is None:
                vectors = text_vectors(MODEL, rows.table["text"].to_list()).astype(np.float16)
                features = Features(vectors, np.zeros(len(rows), np.bool_))
            started = time.process_time()
            values = scored(features, rows, config, seed)
            np.savez(file, **values, seconds=time.process_time() - started)
        read = np.load(file)
        found[name] = {one: read[one] for one in ("aum", "held_out")}
        seconds[name] = round(float(read["seconds"]))
    for name, passes in (("usual", OF_SOME), ("few", OF_MANY)) if given.words else ():
        file = given.out / f"words {name}.npz"
        if not file.is_file():
            started = time.process_time()
            np.savez(file, words=word_margins(rows, passes), seconds=time.process_time() - started)
        read = np.load(file)
        found[name]["words"], seconds[f"words, {name}"] = read["words"], round(float(read["seconds"]))
    figures: dict[str, Any] = {"CPU seconds": seconds, "epochs": {"usual": usual.epochs, "few": few.epochs}}
    for name, values in found.items():
        figures[name] = {
            one: {
                "precision": round(float(wrong[np.argsort(score, kind="stable")[: wrong.sum()]].mean()), 4),
                "rank correlation with usual": rank_correlation(score, found["usual"][one]),
            }
            for one, score in values.items()
        }
        figures[name]["held-out rows right"] = round(float((values["held_out"][~wrong] > 0).mean()), 4)
    between = {
        one: rank_correlation(found["few"][one], found["few again"][one]) for one in ("aum", "held_out")
    }
    figures |= {"rank correlation between seeds": between, "planted": int(wrong.sum()), "machine": machine()}
    record("many_rows", f"{given.rows:,} rows as {given.like:,}", figures)
    print(json.dumps(figures, indent=2), flush=True)


if __name__ == "__main__":
    main()
