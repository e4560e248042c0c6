"""The trainings that scores need: N runs with their own seeds, and beside each the model on empty input for PVI."""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from thresher.config import ModelConfig, TrainConfig
from thresher.errors import UserError
from thresher.execution.cores import cores, share_cores
from thresher.execution.engines import run_tasks
from thresher.execution.local import counts_followed
from thresher.execution.torchrun import agreed, rank, together, world
from thresher.models.classifier import Classifier
from thresher.models.encoder import load_encoder
from thresher.models.frozen import FrozenClassifier
from thresher.models.tokens import tokenise
from thresher.progress import say, track
from thresher.rows import read_rows
from thresher.run import FIRST, Run, Training
from thresher.run.integrity import read_json
from thresher.training.checkpoints import save_architecture
from thresher.training.features import run_features
from thresher.training.finished import damaged_trainings, done_file, finished, mark_finished, model_problem
from thresher.training.fit import fit
from thresher.training.folds import fold_trainings, folds_of, left_out, write_held_out
from thresher.training.head_runs import train_head_runs
from thresher.training.predict import predict_logits
from thresher.training.recipe import recipe, steps_of, trains_in_bf16
from thresher.training.record import Record, progress_file
from thresher.training.saved_steps import checkpoint_steps

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def new_classifier(
    config: ModelConfig, n_classes: int, seed: int
) -> tuple[Classifier, PreTrainedTokenizerBase]:
    """A pretrained encoder with a freshly initialised head, and its tokenizer; the head is drawn from `seed`."""
    encoder, tokenizer = load_encoder(config)
    torch.manual_seed(seed)
    return Classifier(encoder, n_classes, config), tokenizer


def train_runs(run: Run, proof_seeds: int = 0) -> dict[str, Any]:
    """Train every unfinished run, in parallel; an interrupted one resumes from its last checkpoint.

    Under torchrun all processes share one training after the other.

    `run`: a run folder with rows. `proof_seeds`: trainings on full data, in all, that a later comparison will ask for: those
    beyond the scored runs are trained in the same go, so that no core idles, and only their last weights are kept.

    Returns {"steps", "seconds": {name: seconds}, "parameters", "bf16", "processes"}, and "diet" of the first run where there is
    one.

    Raises UserError: the model cannot be loaded, or the disk has no room for the checkpoints.
    """
    model_config, config = run.config.model, run.config.train
    remove_damaged(run)
    parameters = prepare_model(run)
    wanted = [Training("run", i) for i in range(config.runs)]
    wanted += [Training("full", i) for i in range(config.runs, proof_seeds)]
    wanted += [Training("null", i) for i in range(config.runs)]
    wanted += [one for i in range(config.runs) for one in fold_trainings(i, folds_of(model_config, config))]
    left = [training for training in wanted if not finished(run, training)]
    for training in set(wanted) - set(left):
        shutil.rmtree(run.progress(training.name), ignore_errors=True)
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
        fine_tune_runs(run, wanted, left)
    done = {one.name: read_json(done_file(run, one)) for one in run.trainings() if finished(run, one)}
    first = done[FIRST.name]
    return {
        **({"diet": first["diet"]} if "diet" in first else {}),
        "steps": first["steps"],
        "seconds": {name: facts["seconds"] for name, facts in sorted(done.items())},
        "parameters": parameters,
        "bf16": trains_in_bf16(config),
        "processes": world(),
    }


def fine_tune_runs(run: Run, wanted: Sequence[Training], left: Sequence[Training]) -> None:
    """Fine-tune the unfinished models: in parallel, or one after the other if torchrun's processes share each."""
    config = run.config.train
    total = sum(steps_of(recipe(config, training), run.manifest.n_rows) for training in left)
    files = [progress_file(run.progress(training.name)) for training in left]
    with track("train", total, "steps") as advance, counts_followed(files, advance):
        if world() > 1:
            for training in left:
                together(train_job, run, training)
        else:
            side_by_side(run, config, len(wanted), left)


def side_by_side(run: Run, config: TrainConfig, wanted: int, left: Sequence[Training]) -> None:
    """Run the unfinished trainings, as many at a time as the cores allow."""
    # The trainings for the proof come on top and may not change the threads, and so the numbers, of the scored ones.
    threads = config.threads or share_cores(2 * config.runs)[1]
    workers, _ = share_cores(wanted, config.workers or max(1, cores() // threads))
    for _ in run_tasks(train_job, [(run, training) for training in left], workers, threads):
        pass


def remove_damaged(run: Run) -> None:
    """Remove the finished trainings whose files are damaged, `done.json` first, and say so."""
    for training, problem in list(damaged_trainings(run)):
        say(f"{problem}; training it again")
        done_file(run, training).unlink(missing_ok=True)
        for folder in (run.progress(training.name), run.evaluations(training), run.checkpoints(training)):
            shutil.rmtree(folder, ignore_errors=True)
    if broken := model_problem(run):
        say(f"{broken}; saving it again")
        shutil.rmtree(run.model_folder)


def prepare_model(run: Run) -> int:
    """Write what describes the model, and the features where its encoder is frozen; returns the trained parameters."""
    config, classes = run.config.model, len(run.manifest.classes)
    model, tokenizer = new_classifier(config, classes, seed=0)
    trained, width = model.parameters(), None
    if config.freeze:
        width = run_features(run).values.shape[1]
        run_features(run, "empty")
        trained = FrozenClassifier(width, classes, config).parameters()
    if not run.model_folder.is_dir():
        save_architecture(run.model_folder, model.encoder, tokenizer, config, classes, width)
    return sum(parameter.numel() for parameter in trained)


def train_job(run: Run, training: Training) -> None:
    """Train one model and mark it as finished; a fold, which sees fewer rows, takes as many steps as a training on all."""
    model_config, config = run.config.model, run.config.train
    seed = config.seed + training.index
    if world() > 1:
        torch.set_num_threads(config.threads or max(1, cores() // int(os.environ["LOCAL_WORLD_SIZE"])))
    with agreed():
        rows = read_rows(run.rows_file)
        model, tokenizer = new_classifier(model_config, len(rows.classes), seed)
        texts = [
            [""] * len(rows) if training.kind == "null" else rows.table[column].to_list()
            for column in rows.text
        ]
        tokens = tokenise(texts, tokenizer, model_config.max_length)
    ids, labels = rows.table["id"], rows.labels()
    folder = run.progress(training.name)
    record: Record | None = Record(run.checkpoints(training), run.evaluations(training), ids)
    used, seen = recipe(config, training), tokens
    out = left_out(training, ids, labels, folds_of(model_config, config), config.seed)
    if training.kind == "fold":
        used, record = used.model_copy(update={"max_steps": steps_of(used, len(rows))}), None
        seen = tokens.take(np.flatnonzero(~out))
    started = time.monotonic()
    steps = fit(model, seen, labels[~out], used, seed, folder, record)
    if rank() == 0:
        if training.kind == "fold":
            logits = predict_logits(model, tokens.take(np.flatnonzero(out)))
            write_held_out(run, training, steps, ids.filter(out), [logits])
        facts = {"steps": steps, "seconds": round(time.monotonic() - started, 1), "seed": seed}
        if (folder / "diet.json").is_file():
            facts["diet"] = json.loads((folder / "diet.json").read_text())
        mark_finished(run, training, **facts)
        shutil.rmtree(folder, ignore_errors=True)


def check_disk(run: Run, parameters: int, config: TrainConfig, left: list[Training]) -> None:
    """Refuse to start where checkpoints and Trainer's own state (two copies of weights and two moments) will not fit."""
    recipes, n_rows = [recipe(config, training) for training in left], run.manifest.n_rows
    kept = sum(len(checkpoint_steps(one, steps_of(one, n_rows))) for one in recipes)
    need = 4 * parameters * (kept + 6 * len(left))
    free = shutil.disk_usage(run).free
    if need > free:
        raise UserError(
            f"{run}: checkpoints need {need / 1e9:.1f} GB and {free / 1e9:.1f} GB are free; "
            "free some space, choose another --out or fewer checkpoints"
        )
