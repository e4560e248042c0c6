"""Training on less, and what a decision costs: the trainings behind docs/while-you-train.md.

    python benchmarks/while_training.py diets   --data clinc150 --split val  --seeds 1 --work WORK
    python benchmarks/while_training.py diets   --data clinc150 --split test --seeds 3 --work WORK
    python benchmarks/while_training.py scoring --data clinc150 --split test --seeds 3 --work WORK
    python benchmarks/while_training.py tables  --work WORK --out docs/while-you-train.json

Every training is a cell, kept in WORK under what it was made of: a run that was stopped goes on with the next cell. One
thread; time is CPU time of the process, so that other work on the machine does not count. Data stands in ../shared/data, or
where THRESHER_DATA points.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from thresher.config import ModelConfig, TrainConfig
from thresher.model.tokens import Tokens, tokenise
from thresher.run_folder import as_json, digest, write
from thresher.study.intervals import paired_interval
from thresher.training.fit import fit, predict_logits
from thresher.training.train import new_classifier

DATA = Path(os.environ.get("THRESHER_DATA", Path(__file__).parents[2] / "shared" / "data"))
COLUMNS = {"clinc150": (("text",), "intent"), "snli": (("premise", "hypothesis"), "label")}
# The paper's recipe: batches of 128, learning rates 1e-4 and 1e-3; 10 epochs, 6 where rows are long.
EPOCHS = {"clinc150": 10, "snli": 6}
DIETS: dict[str, dict[str, Any]] = {
    "full": {},
    "half the epochs": {"epochs": 0.5},
    "a third of the epochs": {"epochs": 1 / 3},
    "infobatch r=0.5": {"diet": "infobatch", "diet_options": {"r": 0.5}},
    "infobatch r=0.9": {"diet": "infobatch", "diet_options": {"r": 0.9, "full": 0.1}},
    "data-diet 0.5": {"diet": "data-diet", "diet_options": {"prune": 0.5, "by_class": 1}},
    "data-diet 0.8, anew": {"diet": "data-diet", "diet_options": {"prune": 0.8, "every": 3, "by_class": 1}},
    "iterative 0.8": {"diet": "iterative", "diet_options": {"prune": 0.8, "cuts": 3, "by_class": 1}},
}


def read(data: str, split: str) -> tuple[list[list[str]], list[str]]:
    """Text columns and labels. snli has no validation split: a tenth of its premises is cut off train for it."""
    texts, label = COLUMNS[data]
    own = {"train of val", "val"} if data == "snli" else set()
    name = "train" if split in own or split.startswith("train") else split
    rows = [
        json.loads(line) for line in (DATA / data / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    ]
    if split in own:
        rows = [row for row in rows if (int(digest(row["premise"])[:8], 16) % 10 == 0) == (split == "val")]
    return [[row[column] for row in rows] for column in texts], [row[label] for row in rows]


def prepared(data: str, split: str, tokenizer: Any, classes: list[str]) -> tuple[Tokens, np.ndarray]:
    texts, labels = read(data, split)
    return tokenise(texts, tokenizer, 128), np.array([classes.index(label) for label in labels])


def sets(data: str, split: str, model: ModelConfig, seed: int) -> dict[str, Any]:
    """A fresh model, the rows it trains on and the rows it is tried on."""
    train = "train of val" if split == "val" else "train"
    classes = sorted(set(read(data, train)[1]))
    classifier, tokenizer = new_classifier(model, len(classes), seed)
    return {
        "model": classifier,
        "train": prepared(data, train, tokenizer, classes),
        "test": prepared(data, split, tokenizer, classes),
    }


def recipe(data: str, change: dict[str, Any]) -> TrainConfig:
    """The default recipe for the epochs of the data, with what an arm changes; its epochs are a share."""
    epochs = EPOCHS[data] * change.get("epochs", 1)
    return TrainConfig(
        batch_size=128, epochs=epochs, **{name: value for name, value in change.items() if name != "epochs"}
    )


def cell(work: Path, made_of: dict[str, Any], keep: np.ndarray | None = None) -> dict[str, Any]:
    """The result of one training, made unless it is there; made_of: data, split, layers, change, kept, seed."""
    key = digest(made_of)
    place = work / "cells" / f"{key}.json"
    if place.is_file():
        return json.loads(place.read_text(encoding="utf-8"))
    found = sets(made_of["data"], made_of["split"], ModelConfig(layers=made_of["layers"]), made_of["seed"])
    tokens, labels = found["train"]
    if keep is not None:
        tokens, labels = tokens.take(keep), labels[keep]
    config = recipe(made_of["data"], made_of["change"])
    with tempfile.TemporaryDirectory() as folder:
        cpu, wall = time.process_time(), time.monotonic()
        steps = fit(found["model"], tokens, labels, config, made_of["seed"], Path(folder))
        seconds = {"cpu": round(time.process_time() - cpu, 1), "wall": round(time.monotonic() - wall, 1)}
        diet = Path(folder) / "diet.json"
        facts = json.loads(diet.read_text()) if diet.is_file() else None
    test, truth = found["test"]
    predicted = predict_logits(found["model"], test).argmax(1)
    result = {
        **made_of,
        "key": key,
        "accuracy": float((predicted == truth).mean()),
        **seconds,
        "steps": facts["steps"] if facts else steps,
        "diet": facts,
    }
    (work / "cells").mkdir(parents=True, exist_ok=True)
    np.savez(
        work / "cells" / f"{key}.npz", predicted=predicted.astype(np.int32), truth=truth.astype(np.int32)
    )
    write(place, as_json(result))
    print(f"{made_of} {result['accuracy']:.4f} {seconds}", flush=True)
    return result


def diets(work: Path, data: str, split: str, seeds: int, arms: list[str]) -> None:
    """The arms of DIETS, seed after seed, so that the first figures of all arms come early."""
    for seed in range(seeds):
        for arm in arms or DIETS:
            cell(
                work,
                {
                    "data": data,
                    "split": split,
                    "layers": 3,
                    "change": DIETS[arm],
                    "kept": "all",
                    "seed": seed,
                },
            )


def predictions(work: Path, cells: list[dict[str, Any]]) -> np.ndarray:
    return np.stack([np.load(work / "cells" / f"{one['key']}.npz")["predicted"] for one in cells])


def against(work: Path, arm: list[dict[str, Any]], full: list[dict[str, Any]]) -> dict[str, Any]:
    """An arm beside full training, seed by seed: difference in points with its interval, time and steps as shares."""
    truth = np.load(work / "cells" / f"{full[0]['key']}.npz")["truth"]
    gap = paired_interval(predictions(work, arm), predictions(work, full), truth)
    return {
        "seeds": [one["seed"] for one in arm],
        "accuracy": [round(100 * one["accuracy"], 2) for one in arm],
        "difference": [round(100 * gap[name], 2) for name in ("mean", "low", "high")],
        "cpu": [one["cpu"] for one in arm],
        "time": round(sum(one["cpu"] for one in arm) / sum(one["cpu"] for one in full), 3),
        "steps": round(sum(one["steps"] for one in arm) / sum(one["steps"] for one in full), 3),
    }


def diet_table(work: Path, data: str, split: str) -> dict[str, Any]:
    """Every arm of DIETS that has cells, beside full training with the same seeds."""
    cells = [json.loads(path.read_text(encoding="utf-8")) for path in sorted((work / "cells").glob("*.json"))]
    mine = [one for one in cells if one["data"] == data and one["split"] == split and one["kept"] == "all"]
    by_arm = {
        arm: {one["seed"]: one for one in mine if one["change"] == change and one["layers"] == 3}
        for arm, change in DIETS.items()
    }
    table = {}
    for arm, found in by_arm.items():
        seeds = sorted(found.keys() & by_arm["full"].keys())
        if seeds:
            table[arm] = {
                "change": DIETS[arm],
                **against(work, [found[seed] for seed in seeds], [by_arm["full"][seed] for seed in seeds]),
            }
    return table


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("what", choices=("diets", "scoring", "tables"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", choices=sorted(COLUMNS), default="clinc150")
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--arms", nargs="*", default=[])
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.what == "diets":
        diets(given.work, given.data, given.split, given.seeds, given.arms)
    elif given.what == "scoring":
        from while_training_scoring import scoring

        scoring(given.work, given.data, given.split, given.seeds)
    else:
        tables = {
            f"{data} {split}": diet_table(given.work, data, split)
            for data in COLUMNS
            for split in ("val", "test")
        }
        found = {name: table for name, table in tables.items() if table}
        print(as_json(found))
        if given.out:
            write(given.out, as_json(found))


if __name__ == "__main__":
    main()
