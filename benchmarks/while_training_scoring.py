"""What a decision costs: ways to score rows for a model, their time, and what they buy when rows are pruned.

Called by `while_training.py scoring`. Every way ranks rows; the same rule then keeps the hardest of each class, in equal
shares, and the model (`--layers`) is trained on them with the recipe and the epochs of the full training. The shallow model
has half of its layers.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from scipy.stats import spearmanr
from torch import nn
from while_training import EPOCHS, RECIPE, cell, read, recipe, sets
from while_training_tables import against

import thresher as th
from thresher.config import ModelConfig
from thresher.model.classifier import pool
from thresher.model.tokens import length_sorted_batches, pad_batch
from thresher.run_folder import as_json, write
from thresher.signals.measure import read_signals
from thresher.training.diet import Moment
from thresher.training.fit import parameter_groups
from thresher.training.order import LengthGroupedOrder
from thresher.training.recipe import trains_in_bf16

Scores = dict[str, np.ndarray]


class Rows(torch.utils.data.Dataset[dict[str, Any]]):
    """Tokenised rows for a Trainer."""

    def __init__(self, tokens: Any, labels: np.ndarray) -> None:
        self.tokens, self.labels = tokens, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, row: int) -> dict[str, Any]:
        return {"row": row, "label": int(self.labels[row])}

    def collate(self, items: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        rows = [item["row"] for item in items]
        return {**pad_batch(self.tokens, rows), "labels": torch.from_numpy(self.labels[rows])}


def watched(data: str, split: str, layers: int, share: float, seed: int) -> tuple[Scores, float]:
    """A training as `fit` does it, for a share of the epochs, watched; what it tells of the rows and its CPU seconds."""
    from transformers import Trainer, TrainingArguments

    found = sets(data, split, ModelConfig(layers=layers), seed)
    config = recipe(data, {"epochs": share})
    rows = Rows(*found["train"])

    class Ordered(Trainer):
        def _get_train_sampler(self, train_dataset: Any = None) -> Any:
            return LengthGroupedOrder(rows.tokens.lengths, config.batch_size, seed)

    with tempfile.TemporaryDirectory() as folder:
        args = TrainingArguments(
            output_dir=f"{folder}/t",
            per_device_train_batch_size=config.batch_size,
            num_train_epochs=config.epochs,
            seed=seed,
            warmup_steps=config.warmup,
            bf16=trains_in_bf16(config),
            use_cpu=True,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
        )
        optimizer = torch.optim.AdamW(parameter_groups(found["model"], config), weight_decay=0.0, fused=True)
        trainer = Ordered(
            found["model"], args, train_dataset=rows, data_collator=rows.collate, optimizers=(optimizer, None)
        )
        run = th.watch(trainer, f"{folder}/run")
        cpu = time.process_time()
        trainer.train()
        seconds = time.process_time() - cpu
        signals = read_signals(run, "run-0")[0]
        online = th.score(run)["vog_online"].to_numpy()
    return {"el2n": signals["error_norm"].to_numpy().mean(1), "vog_online": online}, seconds


def measured(data: str, split: str, layers: int, seed: int) -> tuple[Scores, float]:
    """The measuring pass over 10 checkpoints of the model: VoG, and the CPU seconds of the pass alone."""
    texts, labels = read(data, "train of val" if split == "val" else "train")
    names = ["premise", "hypothesis"][: len(texts)] if len(texts) == 2 else ["text"]
    frame = pl.DataFrame({**dict(zip(names, texts, strict=True)), "label": labels})
    with tempfile.TemporaryDirectory() as folder:
        rows = th.load(frame, text=names, label="label")
        run = th.train(
            rows,
            out=f"{folder}/run",
            layers=layers,
            epochs=EPOCHS[data],
            seed=seed,
            workers=1,
            threads=1,
            **RECIPE,
        )
        cpu = time.process_time()
        th.measure(run, workers=1)
        seconds = time.process_time() - cpu
        return {"vog": th.score(run)["vog_class"].to_numpy()}, seconds


def frozen(data: str, split: str, seed: int) -> tuple[Scores, float]:
    """The pretrained encoder as it is, passed once, and a head trained on its output; EL2N over the epochs of the head."""
    found = sets(data, split, ModelConfig(layers="all"), seed)
    tokens, labels = found["train"]
    model, config = found["model"].eval(), recipe(data, {})
    cpu = time.process_time()
    features = torch.empty(len(tokens), model.encoder.config.hidden_size)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=trains_in_bf16(config)):
        for rows in length_sorted_batches(tokens.lengths, 4096):
            batch = pad_batch(tokens, rows)
            hidden = model.encoder(**batch).last_hidden_state
            features[torch.from_numpy(rows)] = pool(hidden, batch["attention_mask"], "mean").float()
    head, target = model.head.train(), torch.from_numpy(labels)
    optimizer = torch.optim.AdamW(head.parameters(), lr=config.head_lr, weight_decay=0.0)
    epochs, random, total = 15, np.random.default_rng(seed), torch.zeros(len(labels))
    for _ in range(epochs):
        for start in range(0, len(labels), 64) if len(labels) else ():
            if start == 0:
                order = torch.from_numpy(random.permutation(len(labels)))
            rows = order[start : start + 64]
            logits = head(features[rows])
            optimizer.zero_grad()
            nn.functional.cross_entropy(logits, target[rows]).backward()
            optimizer.step()
            error = logits.detach().softmax(1) - nn.functional.one_hot(target[rows], logits.shape[1])
            total[rows] += error.norm(dim=1)
    return {"el2n": (total / epochs).numpy()}, time.process_time() - cpu


# What is run, once per seed, and what it gives: (data, split, layers of the model, seed) -> scores and CPU seconds.
RUNS: dict[str, Callable[[str, str, int, int], tuple[Scores, float]]] = {
    "measuring pass": measured,
    "whole": lambda data, split, layers, seed: watched(data, split, layers, 1.0, seed),
    "half": lambda data, split, layers, seed: watched(data, split, layers // 2, 1.0, seed),
    "half, a third": lambda data, split, layers, seed: watched(data, split, layers // 2, 1 / 3, seed),
    "frozen": lambda data, split, layers, seed: frozen(data, split, seed),
}
# By way of scoring: the run, and which of its scores.
WAYS: dict[str, tuple[str, str]] = {
    "VoG, measuring pass": ("measuring pass", "vog"),
    "EL2N, watched": ("whole", "el2n"),
    "online VoG, watched": ("whole", "vog_online"),
    "EL2N, half of the layers watched": ("half", "el2n"),
    "EL2N, half of the layers, a third of the epochs": ("half, a third", "el2n"),
    "EL2N, frozen encoder": ("frozen", "el2n"),
}


def scores_of(
    work: Path, way: str, data: str, split: str, layers: int, seed: int
) -> tuple[np.ndarray, float]:
    """The scores of a way and the CPU seconds of its run, kept in WORK."""
    run, column = WAYS[way]
    place = work / "scores" / f"{data}-{split}-{layers}-{run.replace(', ', '-').replace(' ', '-')}-{seed}.npz"
    if not place.is_file():
        found, seconds = RUNS[run](data, split, layers, seed)
        place.parent.mkdir(parents=True, exist_ok=True)
        np.savez(place, seconds=seconds, **found)
        print(run, seed, f"{seconds:.0f} s", flush=True)
    kept = np.load(place)
    return kept[column], float(kept["seconds"])


def hardest(score: np.ndarray, labels: np.ndarray, pruned: float) -> np.ndarray:
    """Row numbers of the hardest share of each class."""
    now = Moment(0, 1, score, score, labels, None, np.random.default_rng(0), lambda: score)
    return np.flatnonzero(now.hardest(score, round((1 - pruned) * len(score)), by_class=True))


def scoring(work: Path, data: str, split: str, seeds: list[int], layers: int, shares: list[float]) -> None:
    """Score in every way, train on what each keeps, and write the table to WORK/scoring-DATA-SPLIT.json."""
    _, names = read(data, "train of val" if split == "val" else "train")
    labels = np.unique(names, return_inverse=True)[1]
    base = {"data": data, "split": split, "layers": layers, "change": {}}
    for seed in seeds:
        cell(work, {**base, "kept": "all", "seed": seed})
        for way in WAYS:
            scores_of(work, way, data, split, layers, seed)
        for pruned in shares:
            for way in (*WAYS, "random"):
                score = (
                    np.random.default_rng(seed).random(len(labels))
                    if way == "random"
                    else scores_of(work, way, data, split, layers, seed)[0]
                )
                cell(work, {**base, "kept": f"{way} {pruned}", "seed": seed}, hardest(score, labels, pruned))
        write(
            work / f"scoring-{data}-{split}-{layers}.json",
            as_json(table(work, base, seeds[: seeds.index(seed) + 1], shares)),
        )


def table(work: Path, base: dict[str, Any], seeds: list[int], shares: list[float]) -> dict[str, Any]:
    """By way: time as a share of one full training, rank correlation with VoG and with the watched EL2N, accuracies."""
    data, split, layers = base["data"], base["split"], base["layers"]
    full = [cell(work, {**base, "kept": "all", "seed": seed}) for seed in seeds]
    one_training = np.mean([one["cpu"] for one in full])
    found: dict[str, Any] = {
        "seeds": seeds,
        "full": {"cpu": one_training, "accuracy": [one["accuracy"] for one in full]},
    }
    for way in (*WAYS, "random"):
        line: dict[str, Any] = {}
        if way != "random":
            made = [scores_of(work, way, data, split, layers, seed) for seed in seeds]
            # The training of the model is made anyway: its watching costs what watch_cost.py measures.
            free = WAYS[way][0] == "whole"
            line["time"] = (
                None if free else round(float(np.mean([cost for _, cost in made])) / one_training, 3)
            )
            for other in ("VoG, measuring pass", "EL2N, watched"):
                theirs = [scores_of(work, other, data, split, layers, seed)[0] for seed in seeds]
                pairs = [spearmanr(a, b).statistic for (a, _), b in zip(made, theirs, strict=True)]
                line[f"rank correlation with {other}"] = round(float(np.mean(pairs)), 3)
        for pruned in shares:
            cells = [cell(work, {**base, "kept": f"{way} {pruned}", "seed": seed}) for seed in seeds]
            line[str(pruned)] = against(cells, full)
            if way != "VoG, measuring pass":
                vog = [
                    cell(work, {**base, "kept": f"VoG, measuring pass {pruned}", "seed": s}) for s in seeds
                ]
                line[str(pruned)]["against VoG"] = against(cells, vog)["difference"]
        found[way] = line
    return json.loads(as_json(found))
