"""The trainings that scores need: N runs with their own seeds, and beside each the model on empty input for PVI."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from thresher.config import ModelConfig, TrainConfig
from thresher.errors import UserError
from thresher.model.classifier import Classifier
from thresher.model.encoder import load_encoder
from thresher.model.tokens import tokenise
from thresher.progress import track
from thresher.rows import read_rows
from thresher.run_folder import read_manifest, write
from thresher.training.checkpoints import save_architecture
from thresher.training.fit import Record, fit, steps_of
from thresher.training.parallel import cores, default_workers, run_jobs


def new_classifier(config: ModelConfig, n_classes: int, seed: int) -> tuple[Classifier, Any]:
    """A pretrained encoder with a freshly initialised head, and its tokenizer; the head is drawn from `seed`."""
    encoder, tokenizer = load_encoder(config)
    torch.manual_seed(seed)
    return Classifier(encoder, n_classes, config), tokenizer


def train_runs(run: Path) -> dict[str, Any]:
    """Train every run that is not finished yet; an interrupted one goes on from its last checkpoint.

    Returns
    -------
    {"steps", "seconds": {name: seconds}, "parameters"}

    Raises
    ------
    UserError
        the model cannot be loaded, or the disk has no room for the checkpoints.
    """
    manifest = read_manifest(run)
    model_config, config = configs(manifest)
    model, tokenizer = new_classifier(model_config, len(manifest["classes"]), config.seed)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    if not (run / "checkpoints" / "model").is_dir():
        save_architecture(
            run / "checkpoints" / "model", model.encoder, tokenizer, model_config, len(manifest["classes"])
        )
    del model
    jobs = [(run, f"{kind}-{i}", config.seed + i) for i in range(config.runs) for kind in ("run", "null")]
    jobs = [job for job in jobs if not finished(run, job[1])]
    check_disk(run, parameters, config, len(jobs))
    several = config.runs > 1 and not torch.cuda.is_available()
    threads = config.threads or (1 if several else cores())
    if several:
        with track("train", len(jobs), "models") as advance:
            for _ in run_jobs(train_job, jobs, default_workers(), threads):
                advance(1)
    else:
        total = sum(steps_of(recipe(config, name), manifest["n_rows"]) for _, name, _ in jobs)
        with track("train", total, "steps") as advance:
            for _ in run_jobs(train_job, [(*job, advance) for job in jobs], 1, threads):
                pass
    done = {
        path.parent.name: json.loads(path.read_text()) for path in (run / "checkpoints").glob("*/done.json")
    }
    return {
        "steps": done["run-0"]["steps"],
        "seconds": {name: facts["seconds"] for name, facts in sorted(done.items())},
        "parameters": parameters,
    }


def configs(manifest: dict[str, Any]) -> tuple[ModelConfig, TrainConfig]:
    """The model and training settings of a run folder."""
    return ModelConfig(**manifest["config"]["model"]), TrainConfig(**manifest["config"]["train"])


def finished(run: Path, name: str) -> bool:
    """Whether a training ran to its end."""
    return (run / "checkpoints" / name / "done.json").is_file()


def recipe(config: TrainConfig, name: str) -> TrainConfig:
    """The recipe of a run; a model on empty input takes its own number of epochs and keeps its last weights only."""
    if name.startswith("null"):
        return config.model_copy(
            update={"epochs": config.null_epochs, "checkpoints": 1, "checkpoint_every": None}
        )
    return config


def train_job(run: Path, name: str, seed: int, advance: Callable[[float], None] | None = None) -> None:
    """Train one run, `run-i` on the rows or `null-i` on empty texts, and mark it as finished."""
    manifest = read_manifest(run)
    model_config, config = configs(manifest)
    rows = read_rows(run / "rows.parquet")
    model, tokenizer = new_classifier(model_config, len(rows.classes), seed)
    null = name.startswith("null")
    texts = [[""] * len(rows) if null else rows.table[column].to_list() for column in rows.text]
    tokens = tokenise(texts, tokenizer, model_config.max_length)
    folder = run / "training" / name
    evaluations = None if null else run / "evaluations" / name
    record = Record(run / "checkpoints" / name, evaluations, rows.table["id"])
    started = time.monotonic()
    steps = fit(model, tokens, rows.labels(), recipe(config, name), seed, folder, record, advance)
    shutil.rmtree(folder, ignore_errors=True)
    facts = {"steps": steps, "seconds": round(time.monotonic() - started, 1), "seed": seed}
    write(run / "checkpoints" / name / "done.json", json.dumps(facts))


def check_disk(run: Path, parameters: int, config: TrainConfig, jobs: int) -> None:
    """Refuse to start where checkpoints and Trainer's own state will not fit."""
    need = 4 * parameters * (jobs * (config.checkpoints + 1) + 6) if jobs else 0
    free = shutil.disk_usage(run).free
    if need > free:
        raise UserError(
            f"{run}: checkpoints need {need / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; "
            "free some space, choose another --out or fewer checkpoints"
        )
