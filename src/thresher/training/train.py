"""The trainings that scores need: N runs with their own seeds, and beside each the model on empty input for PVI."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from thresher.config import ModelConfig, TrainConfig
from thresher.errors import UserError
from thresher.models.classifier import Classifier
from thresher.models.encoder import load_encoder
from thresher.models.frozen import FrozenClassifier
from thresher.models.tokens import tokenise
from thresher.progress import say, track
from thresher.rows import read_rows
from thresher.run_folder import read_manifest
from thresher.training.checkpoints import checkpoint_steps, save_architecture
from thresher.training.features import run_features
from thresher.training.fit import fit
from thresher.training.folds import fold_names, folds_of, is_fold, left_out, write_held_out
from thresher.training.head_runs import train_head_runs
from thresher.training.parallel import cores, run_jobs, share_cores, steps_watched
from thresher.training.predict import predict_logits
from thresher.training.processes import agreed, rank, together, world
from thresher.training.recipe import configs, recipe, steps_of, trains_in_bf16
from thresher.training.record import Record, progress_file
from thresher.training.sound import faults, finished, mark_finished, read_facts


def new_classifier(config: ModelConfig, n_classes: int, seed: int) -> tuple[Classifier, Any]:
    """A pretrained encoder with a freshly initialised head, and its tokenizer; the head is drawn from `seed`."""
    encoder, tokenizer = load_encoder(config)
    torch.manual_seed(seed)
    return Classifier(encoder, n_classes, config), tokenizer


def train_runs(run: Path, proof_seeds: int = 0) -> dict[str, Any]:
    """Train every run that is not finished yet, side by side; an interrupted one goes on from its last checkpoint.

    Under torchrun all processes share one training after the other.

    Parameters
    ----------
    run
        a run folder with rows.
    proof_seeds
        trainings on full data, in all, that a later comparison will ask for: those beyond the scored runs are trained in the
        same go, so that no core idles, and only their last weights are kept.

    Returns
    -------
    {"steps", "seconds": {name: seconds}, "parameters", "bf16", "processes"}, and "diet" of the first run where there is one.

    Raises
    ------
    UserError
        the model cannot be loaded, or the disk has no room for the checkpoints.
    """
    manifest = read_manifest(run)
    model_config, config = configs(manifest)
    classes = len(manifest["classes"])
    remove_damaged(run)
    parameters = prepare_model(run, model_config, classes)
    names = [f"run-{i}" for i in range(config.runs)]
    names += [f"full-{i}" for i in range(config.runs, proof_seeds)]
    names += [f"null-{i}" for i in range(config.runs)]
    names += [name for i in range(config.runs) for name in fold_names(i, folds_of(model_config, config))]
    left = [name for name in names if not finished(run, name)]
    for name in set(names) - set(left):
        shutil.rmtree(run / "training" / name, ignore_errors=True)
    check_disk(run, parameters, config, left)
    if model_config.freeze:
        if world() > 1:
            raise UserError("a frozen encoder needs no torchrun: its head trains in seconds; run it without")
        if config.diet != "none":
            raise UserError(
                "a frozen encoder's head trains in seconds and goes on no diet; leave out --diet or --freeze"
            )
        train_head_runs(run, left)
    else:
        fine_tune_runs(run, config, names, left)
    done = {path.parent.name: read_facts(path) for path in (run / "checkpoints").glob("*/done.json")}
    return {
        **({"diet": done["run-0"]["diet"]} if "diet" in done["run-0"] else {}),
        "steps": done["run-0"]["steps"],
        "seconds": {name: facts["seconds"] for name, facts in sorted(done.items())},
        "parameters": parameters,
        "bf16": trains_in_bf16(config),
        "processes": world(),
    }


def fine_tune_runs(run: Path, config: TrainConfig, names: Sequence[str], left: Sequence[str]) -> None:
    """Fine-tune the models that are left of `names`: side by side, or one after the other where processes share each."""
    n_rows = read_manifest(run)["n_rows"]
    total = sum(steps_of(recipe(config, name), n_rows) for name in left)
    files = [progress_file(run / "training" / name) for name in left]
    with track("train", total, "steps") as advance, steps_watched(files, advance):
        if world() > 1:
            for name in left:
                together(train_job, run, name)
        else:
            side_by_side(run, config, names, left)


def side_by_side(run: Path, config: TrainConfig, names: Sequence[str], left: Sequence[str]) -> None:
    """Do the trainings that are left of `names`, as many at a time as there are cores for."""
    # The trainings for the proof come on top and may not change the threads, and so the numbers, of the scored ones.
    threads = config.threads or share_cores(2 * config.runs)[1]
    workers, _ = share_cores(len(names), config.workers or max(1, cores() // threads))
    for _ in run_jobs(train_job, [(run, name) for name in left], workers, threads):
        pass


def remove_damaged(run: Path) -> None:
    """Remove the finished trainings that are not whole any more, each from its stamp on, and say so."""
    for name, fault in list(faults(run)):
        say(f"{fault}; {'saving' if name == 'model' else 'training'} it again")
        (run / "checkpoints" / name / "done.json").unlink(missing_ok=True)
        for kind in ("training", "evaluations", "checkpoints"):
            shutil.rmtree(run / kind / name, ignore_errors=True)


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


def train_job(run: Path, name: str) -> None:
    """Train one model and mark it as finished, with seed i: `run-i` and `full-i` on the rows, `null-i` on empty texts, and
    `fold-i` on the rows but for a part of them, in as many steps as on all.
    """
    manifest = read_manifest(run)
    model_config, config = configs(manifest)
    kind, _, number = name.partition("-")
    seed = config.seed + int(number)
    if world() > 1:
        torch.set_num_threads(config.threads or max(1, cores() // int(os.environ["LOCAL_WORLD_SIZE"])))
    with agreed():
        rows = read_rows(run / "rows.parquet")
        model, tokenizer = new_classifier(model_config, len(rows.classes), seed)
        texts = [[""] * len(rows) if kind == "null" else rows.table[column].to_list() for column in rows.text]
        tokens = tokenise(texts, tokenizer, model_config.max_length)
    ids, labels = rows.table["id"], rows.labels()
    folder = run / "training" / name
    record: Record | None = Record(run / "checkpoints" / name, run / "evaluations" / name, ids)
    used, seen = recipe(config, name), tokens
    out = left_out(name, ids, labels, folds_of(model_config, config), config.seed)
    if is_fold(name):
        used, record = used.model_copy(update={"max_steps": steps_of(used, len(rows))}), None
        seen = tokens.take(np.flatnonzero(~out))
    started = time.monotonic()
    steps = fit(model, seen, labels[~out], used, seed, folder, record)
    if rank() == 0:
        if is_fold(name):
            logits = predict_logits(model, tokens.take(np.flatnonzero(out)))
            write_held_out(run, name, steps, ids, out, logits)
        facts = {"steps": steps, "seconds": round(time.monotonic() - started, 1), "seed": seed}
        if (folder / "diet.json").is_file():
            facts["diet"] = json.loads((folder / "diet.json").read_text())
        mark_finished(run, name, **facts)
        shutil.rmtree(folder, ignore_errors=True)


def check_disk(run: Path, parameters: int, config: TrainConfig, names: list[str]) -> None:
    """Refuse to start where checkpoints and Trainer's own state (two copies of weights and two moments) will not fit."""
    recipes, n_rows = [recipe(config, name) for name in names], read_manifest(run)["n_rows"]
    kept = sum(len(checkpoint_steps(one, steps_of(one, n_rows))) for one in recipes)
    need = 4 * parameters * (kept + 6 * len(names))
    free = shutil.disk_usage(run).free
    if need > free:
        raise UserError(
            f"{run}: checkpoints need {need / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; "
            "free some space, choose another --out or fewer checkpoints"
        )
