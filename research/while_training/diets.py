"""Training on fewer rows per epoch: the trainings behind while-you-train.md.

    python -m research.while_training.diets --data clinc150 --split val  --seeds 0 --work WORK
    python -m research.while_training.diets --data clinc150 --split test --seeds 0 1 2 --work WORK
    python -m research.while_training.tables WORK

Each training is a file in WORK named by a digest of its settings. An interrupted run resumes with the next training;
trainings that are already in while-you-train.json are not repeated. One thread; times are CPU seconds of the process."""

from __future__ import annotations

import argparse
import base64
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from research.places import DATA
from thresher.config import ModelConfig, TrainConfig
from thresher.models.tokens import Tokens, tokenise
from thresher.run.files import as_json, digest, write
from thresher.training.fit import fit
from thresher.training.predict import predict_logits
from thresher.training.train import new_classifier

PUBLISHED = Path(__file__).parent / "while-you-train.json"
COLUMNS = {"clinc150": (("text",), "intent"), "snli": (("premise", "hypothesis"), "label")}
# First layers of the encoder, and a recipe with which three seeds of every arm fit into two hours of one slow core.
LAYERS = 2
RECIPE = {"batch_size": 64, "encoder_lr": 3e-4, "head_lr": 2e-3}
EPOCHS = {"clinc150": 6, "snli": 4}
DIETS: dict[str, dict[str, Any]] = {
    "full": {},
    "half the epochs": {"epochs": 0.5},
    "a third of the epochs": {"epochs": 1 / 3},
    "infobatch r=0.5": {"diet": "infobatch", "diet_options": {"r": 0.5}},
    "infobatch r=0.9": {"diet": "infobatch", "diet_options": {"r": 0.9, "full": 0.1}},
    "infobatch r=0.9, same steps": {
        "diet": "infobatch",
        "diet_options": {"r": 0.9, "same_steps": 1},
    },
    "infobatch r=0.9, same steps, one full epoch": {
        "diet": "infobatch",
        "diet_options": {"r": 0.9, "full": 0.1, "same_steps": 1},
    },
    "infobatch r=0.5, two thirds of the epochs": {
        "epochs": 2 / 3,
        "diet": "infobatch",
        "diet_options": {"r": 0.5},
    },
    "infobatch r=0.9, half the epochs": {
        "epochs": 0.5,
        "diet": "infobatch",
        "diet_options": {"r": 0.9, "full": 0.1},
    },
    "data-diet 0.5": {"diet": "data-diet", "diet_options": {"prune": 0.5, "by_class": 1}},
    "data-diet 0.8, rescored": {
        "diet": "data-diet",
        "diet_options": {"prune": 0.8, "every": 3, "by_class": 1},
    },
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


def recipe(of_all: dict[str, Any], change: dict[str, Any]) -> TrainConfig:
    """The recipe of all arms with what one of them changes; its epochs are a share."""
    epochs = of_all["epochs"] * change.get("epochs", 1)
    return TrainConfig(**{**of_all, **change, "epochs": epochs})


def published() -> list[dict[str, Any]]:
    """The cells that while-you-train.json holds."""
    return json.loads(PUBLISHED.read_text(encoding="utf-8"))["cells"] if PUBLISHED.is_file() else []


def cell(work: Path, made_of: dict[str, Any]) -> dict[str, Any]:
    """The result of one training, made unless it is there; made_of: data, split, layers, recipe, change, kept, seed."""
    key = digest(made_of)
    place = work / "cells" / f"{key}.json"
    if place.is_file():
        return json.loads(place.read_text(encoding="utf-8"))
    for done in published():
        if done["key"] == key:
            write(place, as_json(done))
            return done
    found = sets(made_of["data"], made_of["split"], ModelConfig(layers=made_of["layers"]), made_of["seed"])
    tokens, labels = found["train"]
    config = recipe(made_of["recipe"], made_of["change"])
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
        "correct": base64.b64encode(np.packbits(predicted == truth).tobytes()).decode(),
        "tested": len(truth),
    }
    write(place, as_json(result))
    print(f"{made_of} {result['accuracy']:.4f} {seconds}", flush=True)
    return result


def diets(
    work: Path, data: str, split: str, layers: int, epochs: int, seeds: list[int], arms: list[str]
) -> None:
    """The arms of DIETS, seed after seed, so that the first figures of all arms come early."""
    for seed in seeds:
        for arm in arms or DIETS:
            cell(
                work,
                {
                    "data": data,
                    "split": split,
                    "layers": layers,
                    "recipe": {**RECIPE, "epochs": epochs},
                    "change": DIETS[arm],
                    "kept": "all",
                    "seed": seed,
                },
            )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--data", choices=sorted(COLUMNS), default="clinc150")
    parser.add_argument("--split", choices=("val", "test"), default="val")
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="*", default=[])
    parser.add_argument("--layers", type=int, default=LAYERS)
    parser.add_argument("--epochs", type=int, help="of full training", default=None)
    given = parser.parse_args()
    torch.set_num_threads(1)
    epochs = given.epochs or EPOCHS[given.data]
    diets(given.work, given.data, given.split, given.layers, epochs, given.seeds, given.arms)


if __name__ == "__main__":
    main()
