"""Overhead of `th.watch`: the same training unrecorded, recorded, and recorded with online VoG, in turns in one
process.

    python -m research.while_training.watch_cost --rows 1920 --rounds 12 --out research/while_training/watch-cost.json

The bundled encoder's first 3 layers in transformers' own sequence classifier, clinc150, batches of 32, one epoch, one
thread. The whole of `trainer.train()` is timed, including the run folder that recording writes at the end. Each round
runs the three trainings in a different order; the overhead is the median over rounds of the ratio to the unrecorded
training of the same round, with a 95% bootstrap interval over rounds."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Dataset
from transformers import (
    AutoConfig,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

import thresher as th
from research.places import DATA
from research.while_training.watched_run import SILENT
from thresher.models.encoder import resolve
from thresher.progress import be_quiet
from thresher.quiet import quiet_transformers
from thresher.run.files import as_json, write

ARMS: dict[str, int | None] = {"unwatched": None, "watched": 0, "watched with VoG": 64}


def rows_of(count: int, tokenizer: Any) -> Dataset:
    lines = (DATA / "clinc150" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    names = sorted({row["intent"] for row in rows})
    chosen = [rows[i] for i in np.random.default_rng(0).permutation(len(rows))[:count]]
    encoded = tokenizer([row["text"] for row in chosen], truncation=True)
    return Dataset.from_dict({**encoded, "label": [names.index(row["intent"]) for row in chosen]})


def timed(rows: Dataset, tokenizer: Any, vog: int | None, folder: Path, bf16: bool) -> dict[str, float]:
    """CPU and wall seconds of one training."""
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(resolve("minilm"), num_hidden_layers=3, num_labels=150)
    with quiet_transformers():
        model = AutoModelForSequenceClassification.from_pretrained(resolve("minilm"), config=config)
    args = TrainingArguments(
        output_dir=str(folder / "t"),
        per_device_train_batch_size=32,
        num_train_epochs=1,
        learning_rate=1e-4,
        train_sampling_strategy="group_by_length",
        bf16=bf16,
        **SILENT,
    )
    trainer = Trainer(
        model,
        args,
        train_dataset=rows,
        processing_class=tokenizer,
        data_collator=DataCollatorWithPadding(tokenizer),
    )
    if vog is not None:
        th.watch(trainer, folder / "run", vog=vog, force=True)
    cpu, wall = time.process_time(), time.monotonic()
    trainer.train()
    return {"cpu": time.process_time() - cpu, "wall": time.monotonic() - wall}


def cost(ratios: np.ndarray) -> dict[str, float]:
    """Median of ratios and its interval, less one."""
    draws = np.random.default_rng(0).choice(ratios, (4000, len(ratios)))
    low, high = np.quantile(np.median(draws, 1), [0.025, 0.975])
    return {
        "median": round(float(np.median(ratios)) - 1, 4),
        "low": round(low - 1, 4),
        "high": round(high - 1, 4),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=1920)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    be_quiet()
    tokenizer = AutoTokenizer.from_pretrained(resolve("minilm"))
    rows = rows_of(given.rows, tokenizer)
    seconds: dict[str, list[dict[str, float]]] = {arm: [] for arm in ARMS}
    with tempfile.TemporaryDirectory() as folder:
        timed(rows.select(range(64)), tokenizer, 64, Path(folder), given.bf16)
        for turn in range(given.rounds):
            names = list(ARMS)
            for name in names[turn % 3 :] + names[: turn % 3]:
                seconds[name].append(timed(rows, tokenizer, ARMS[name], Path(folder), given.bf16))
            print({name: round(found[-1]["cpu"], 2) for name, found in seconds.items()}, flush=True)
    plain = {kind: np.array([one[kind] for one in seconds["unwatched"]]) for kind in ("cpu", "wall")}
    result = {
        "rows": given.rows,
        "rounds": given.rounds,
        "bf16": given.bf16,
        "unwatched_seconds": {kind: round(float(np.median(values)), 2) for kind, values in plain.items()},
        **{
            name: {kind: cost(np.array([one[kind] for one in seconds[name]]) / plain[kind]) for kind in plain}
            for name in list(ARMS)[1:]
        },
    }
    print(as_json(result))
    if given.out:
        write(given.out, as_json(result))


if __name__ == "__main__":
    main()
