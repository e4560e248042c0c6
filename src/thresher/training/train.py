"""The trainings that scores need: N runs with their own seeds, and beside each the model on empty input for PVI."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import torch

from thresher.config import ModelConfig, TrainConfig
from thresher.errors import UserError
from thresher.model.classifier import Classifier
from thresher.model.encoder import load_encoder
from thresher.model.frozen import FrozenClassifier
from thresher.model.tokens import tokenise
from thresher.progress import track
from thresher.rows import read_rows
from thresher.run_folder import read_manifest, write
from thresher.training.checkpoints import save_architecture
from thresher.training.features import run_features
from thresher.training.fit import Record, fit, progress_file
from thresher.training.head_runs import train_head_runs
from thresher.training.parallel import cores, run_jobs, share_cores, steps_watched
from thresher.training.recipe import configs, finished, recipe, steps_of, trains_in_bf16


def new_classifier(config: ModelConfig, n_classes: int, seed: int) -> tuple[Classifier, Any]:
    """A pretrained encoder with a freshly initialised head, and its tokenizer; the head is drawn from `seed`."""
    encoder, tokenizer = load_encoder(config)
    torch.manual_seed(seed)
    return Classifier(encoder, n_classes, config), tokenizer


def train_runs(run: Path, proof_seeds: int = 0) -> dict[str, Any]:
    """Train every run that is not finished yet, side by side; an interrupted one goes on from its last checkpoint.

    Parameters
    ----------
    run
        a run folder with rows.
    proof_seeds
        trainings on full data, in all, that a later comparison will ask for: those beyond the scored runs are trained in the
        same go, so that no core idles, and only their last weights are kept.

    Returns
    -------
    {"steps", "seconds": {name: seconds}, "parameters", "bf16"}

    Raises
    ------
    UserError
        the model cannot be loaded, or the disk has no room for the checkpoints.
    """
    manifest = read_manifest(run)
    model_config, config = configs(manifest)
    classes = len(manifest["classes"])
    parameters = prepare_model(run, model_config, classes)
    names = [f"run-{i}" for i in range(config.runs)]
    names += [f"full-{i}" for i in range(config.runs, proof_seeds)]
    names += [f"null-{i}" for i in range(config.runs)]
    left = [name for name in names if not finished(run, name)]
    check_disk(run, parameters, config, left)
    if model_config.freeze:
        train_head_runs(run, left)
    else:
        fine_tune_runs(run, config, left, len(names))
    done = {
        path.parent.name: json.loads(path.read_text()) for path in (run / "checkpoints").glob("*/done.json")
    }
    return {
        "steps": done["run-0"]["steps"],
        "seconds": {name: facts["seconds"] for name, facts in sorted(done.items())},
        "parameters": parameters,
        "bf16": trains_in_bf16(config),
    }


def prepare_model(run: Path, config: ModelConfig, classes: int) -> int:
    """Write what describes the model, and the features where its encoder is frozen; returns the trained parameters."""
    model, tokenizer = new_classifier(config, classes, seed=0)
    trained, width = model.parameters(), None
    if config.freeze:
        width = run_features(run).values.shape[1]
        run_features(run, "empty")
        trained = FrozenClassifier(width, classes, config).parameters()
    if not (run / "checkpoints" / "model").is_dir():
        save_architecture(run / "checkpoints" / "model", model.encoder, tokenizer, config, classes, width)
    return sum(parameter.numel() for parameter in trained)


def fine_tune_runs(run: Path, config: TrainConfig, left: list[str], count: int) -> None:
    """Fine-tune the models of these names side by side; `count` is how many trainings there are with the finished ones."""
    manifest = read_manifest(run)
    # The trainings for the proof come on top and may not change the threads, and so the numbers, of the scored ones.
    threads = config.threads or share_cores(2 * config.runs)[1]
    workers, _ = share_cores(count, config.workers or max(1, cores() // threads))
    total = sum(steps_of(recipe(config, name), manifest["n_rows"]) for name in left)
    files = [progress_file(run / "training" / name) for name in left]
    with track("train", total, "steps") as advance, steps_watched(files, advance):
        for _ in run_jobs(train_job, [(run, name) for name in left], workers, threads):
            pass


def train_job(run: Path, name: str) -> None:
    """Train one model and mark it as finished: `run-i` and `full-i` on the rows, `null-i` on empty texts, with seed i."""
    manifest = read_manifest(run)
    model_config, config = configs(manifest)
    kind, _, number = name.partition("-")
    seed = config.seed + int(number)
    rows = read_rows(run / "rows.parquet")
    model, tokenizer = new_classifier(model_config, len(rows.classes), seed)
    texts = [[""] * len(rows) if kind == "null" else rows.table[column].to_list() for column in rows.text]
    tokens = tokenise(texts, tokenizer, model_config.max_length)
    folder = run / "training" / name
    record = Record(run / "checkpoints" / name, run / "evaluations" / name, rows.table["id"])
    started = time.monotonic()
    steps = fit(model, tokens, rows.labels(), recipe(config, name), seed, folder, record)
    shutil.rmtree(folder, ignore_errors=True)
    facts = {"steps": steps, "seconds": round(time.monotonic() - started, 1), "seed": seed}
    write(run / "checkpoints" / name / "done.json", json.dumps(facts))


def check_disk(run: Path, parameters: int, config: TrainConfig, names: list[str]) -> None:
    """Refuse to start where checkpoints and Trainer's own state (two copies of weights and two moments) will not fit."""
    kept = sum(recipe(config, name).checkpoints for name in names)
    need = 4 * parameters * (kept + 6 * len(names))
    free = shutil.disk_usage(run).free
    if need > free:
        raise UserError(
            f"{run}: checkpoints need {need / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; "
            "free some space, choose another --out or fewer checkpoints"
        )
