"""The training that scores of completions are made from: one fine-tuning on all rows, recorded while it trains."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from typing import Any, TypeVar

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from thresher.config import GenerateConfig, MeasureConfig, ModelConfig, RunConfig, TrainConfig
from thresher.errors import UserError
from thresher.execution.cores import cores
from thresher.execution.engines import run_tasks
from thresher.execution.local import counts_followed
from thresher.models.completions import Completions, template_of, tokenise_completions
from thresher.models.language_model import adapted, load_language_model, longest
from thresher.progress import say, track
from thresher.recording import store
from thresher.rows import Rows, read_rows
from thresher.run import FIRST, Run
from thresher.run.integrity import read_json
from thresher.training.finished import done_file, finished, mark_finished
from thresher.training.recipe import steps_of, trains_in_bf16
from thresher.training.record import progress_file
from thresher.training.sft import fit_completions

Section = TypeVar("Section", ModelConfig, TrainConfig, MeasureConfig, GenerateConfig)


def with_text_defaults(config: RunConfig) -> RunConfig:
    """The settings of a run on completions, with the defaults of such runs for what was not given.

        max_length = 512,  batch_size = 16,  one checkpoint per epoch,  no cross-validation,  lr / 10 without LoRA,
        no signals of gradients

    >>> from thresher.config import DataConfig
    >>> config = with_text_defaults(RunConfig(data=DataConfig(train="chat.jsonl", task="generate")))
    >>> config.model.max_length, config.train.batch_size, config.train.checkpoints
    (512, 16, 3)
    """
    model, train, generate = config.model, config.train, config.generate
    checkpoints = max(2, round(train.epochs))
    defaults = {"batch_size": 16, "checkpoints": checkpoints, "folds": 0}
    changes: dict[str, Any] = {
        "model": filled_in(model, {"max_length": 512}),
        "train": filled_in(train, defaults),
        "measure": filled_in(config.measure, {"signals": ()}),
        "generate": filled_in(generate, {"lr": generate.lr / 10} if generate.lora == 0 else {}),
    }
    return config.model_copy(update=changes)


def filled_in(section: Section, values: Mapping[str, object]) -> Section:
    """A section with values for the settings that were not given."""
    return section.model_copy(
        update={name: value for name, value in values.items() if name not in section.model_fields_set}
    )


def check_text_settings(config: RunConfig, n_rows: int) -> None:
    """Refuse a training that does not reach every row."""
    train = config.train
    if steps_of(train, n_rows) * train.batch_size < n_rows:
        raise UserError(
            f"{steps_of(train, n_rows):,} steps of {train.batch_size} rows do not reach each of the {n_rows:,} rows once, and a"
            " row that was never trained on has no scores; give --epochs 1 or more"
        )


def prepared(
    config: RunConfig, rows: Rows, like: Rows | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase, Completions]:
    """The pretrained model, its tokenizer, and the rows as tokens; `like`: rows whose form decides on the template."""
    model, tokenizer = load_language_model(config.model)
    template = template_of(tokenizer, config.generate.template, rows if like is None else like)
    return model, tokenizer, tokenise_completions(rows, tokenizer, longest(model, config.model), template)


def train_language_model(run: Run) -> dict[str, Any]:
    """Fine-tune on all rows where that is not done yet; an interrupted training resumes from its last checkpoint.

    Returns {"steps", "seconds": {name: seconds}, "parameters", "bf16", "processes": 1}
    """
    from thresher.training.train import remove_damaged

    config = run.config.train
    remove_damaged(run)
    if problem := recording_problem(run):
        say(f"{problem}; training it again")
        done_file(run, FIRST).unlink(missing_ok=True)
        shutil.rmtree(run.progress(FIRST.name), ignore_errors=True)
    if not finished(run, FIRST):
        total = steps_of(config, run.manifest.n_rows)
        file = progress_file(run.progress(FIRST.name))
        with track("train", total, "steps") as advance, counts_followed([file], advance):
            for _ in run_tasks(language_job, [(run,)], 1, config.threads or cores()):
                pass
    done = read_json(done_file(run, FIRST))
    return {
        "steps": done["steps"],
        "seconds": {FIRST.name: done["seconds"]},
        "parameters": done["parameters"],
        "bf16": trains_in_bf16(config),
        "processes": 1,
    }


def recording_problem(run: Run) -> str | None:
    """What is wrong with what the finished training of a language model recorded; None if nothing is, or it is not finished."""
    if not finished(run, FIRST):
        return None
    try:
        store.scan_records(run.recording)
    except (UserError, OSError):
        return f"{run.recording}: missing"
    return None


def language_job(run: Run) -> None:
    """Fine-tune one model on all rows, and mark it as finished."""
    config, seed = run.config, run.config.train.seed
    rows = read_rows(run.rows_file)
    model, _, tokens = prepared(config, rows)
    if tokens.truncated.any():
        say(
            f"train: the completions of {int(tokens.truncated.sum()):,} rows are cut at {longest(model, config.model)} tokens;"
            " --max-length gives them more"
        )
    model = adapted(model, config.generate, seed)
    folder, started = run.progress(FIRST.name), time.monotonic()
    places = run.checkpoints(FIRST)
    steps = fit_completions(
        model,
        tokens,
        config.train,
        config.generate,
        seed,
        folder,
        (run.folder, lambda step: places / f"step-{step:08d}"),
    )
    mark_finished(
        run,
        FIRST,
        steps=steps,
        seconds=round(time.monotonic() - started, 1),
        seed=seed,
        parameters=sum(one.numel() for one in model.parameters() if one.requires_grad),
        truncated=int(tokens.truncated.sum()),
    )
    shutil.rmtree(folder, ignore_errors=True)
