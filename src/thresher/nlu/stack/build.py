"""Train the models of a stack in parallel and save them in its folder; models that are already trained are kept."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import polars as pl
import yaml
from torch import nn

from thresher.errors import UserError
from thresher.execution.engines import run_tasks
from thresher.execution.local import counts_followed
from thresher.models.tokens import tokenise
from thresher.nlu.rows import Labels, labels_of
from thresher.nlu.rows.files import write_utterances
from thresher.nlu.stack.config import StackConfig
from thresher.nlu.stack.folder import (
    FORMAT,
    missing,
    model_name,
    read_stack,
    refuse_other_files,
    save_encoder,
    save_model,
    settings_of,
)
from thresher.nlu.stack.frozen import stack_encoder
from thresher.nlu.stack.rules import read_rules
from thresher.nlu.stack.template_check import template_problems
from thresher.nlu.stack.train import joint_recipe, needs_model, train_domain, train_joint
from thresher.progress import say, track, warn
from thresher.run import parquet
from thresher.run.files import digest, write
from thresher.run.lock import lock
from thresher.run.outputs import as_place
from thresher.training.check_recipe import check_recipe
from thresher.training.diets.registry import find
from thresher.training.recipe import settled, steps_of
from thresher.training.record import progress_file


def train_stack(
    rows: pl.DataFrame,
    out: str | Path,
    config: StackConfig | None = None,
    *,
    exact: pl.DataFrame | None = None,
    templates: Path | None = None,
    workers: int | None = None,
    force: bool = False,
) -> Path:
    """Train the domain classifier, and an intent and slot model for every domain that needs one.

    Parameters
    ----------
    rows
        annotated rows (`nlu.rows.SCHEMA`).
    out
        the stack folder; an unfinished stack of the same rows and settings is resumed.
    exact, templates
        rules that answer before the models; see `read_rules`.
    workers
        trainings at a time, one thread each; by default one per core. It changes no result.
    force
        start over, also if the folder holds another stack.

    Returns
    -------
    the folder.

    Raises
    ------
    UserError
        rows with only one answer, a folder that holds another stack, broken rules, or a full disk.
    """
    folder, config = as_place(out), config or StackConfig()
    check_stack(config)
    labels = labels_of(rows)
    if not any(needs_model(labels, name) for name in labels.intents) and len(labels.intents) < 2:
        raise UserError(
            "the rows have one domain, one intent and no slots, so there is nothing to train; add labels"
        )
    rules = read_rules(exact, templates)
    for line in template_problems(rules.templates) if rules.templates is not None else ():
        warn(f"{templates}: {line}")
    made_with = {"rows": rows_hash(rows), **config.model_dump(mode="json", exclude=set(config.untrained()))}
    refuse_other_files(folder, "stack.yaml")
    with lock(folder):
        _begin(folder, rows, config, labels, digest(made_with), force)
        _write_rules(folder, exact, templates)
        _train(folder, rows, labels, config, workers)
    return folder


def rows_hash(rows: pl.DataFrame) -> str:
    """Hash of annotated rows in order, whatever else their file says of them."""
    return digest(rows.drop("rasa", strict=False).rows())


def _begin(
    folder: Path, rows: pl.DataFrame, config: StackConfig, labels: Labels, made_with: str, force: bool
) -> None:
    there = (folder / "stack.yaml").is_file()
    if there and not force and read_stack(folder).get("made_with") != made_with:
        raise UserError(
            f"{folder}: holds a stack of other rows or settings; choose another --out, or give --force to start over"
        )
    config = settled_stack(config, settings_of(folder)[0] if there and not force else None)
    # Load the model before anything is written, so that its errors change nothing.
    encoder, tokenizer = stack_encoder(config.model)
    cut = int(tokenise([rows["text"].to_list()], tokenizer, config.model.max_length).truncated.sum())
    if cut:
        say(f"nlu train: {cut:,} of {rows.height:,} rows are longer than the model takes and are cut")
    if there and force:
        for name in ("models", "encoder"):
            shutil.rmtree(folder / name, ignore_errors=True)
    facts = {
        "format": FORMAT,
        "made_with": made_with,
        "n_rows": rows.height,
        "config": config.model_dump(mode="json"),
        "intents": {name: list(own) for name, own in labels.intents.items()},
        "slots": {name: list(own) for name, own in labels.slots.items()},
    }
    # Written first, so that the folder of a killed training is recognised.
    write(folder / "stack.yaml", yaml.safe_dump(facts, sort_keys=False, allow_unicode=True))
    write(folder / "rows.parquet", rows.write_parquet)
    if not (folder / "encoder").is_dir():
        save_encoder(folder, encoder, tokenizer)


def check_stack(config: StackConfig) -> None:
    """Refuse settings that a stack cannot be trained with, or that it would ignore.

    >>> check_stack(StackConfig(domain=StackConfig().domain.model_copy(update={"seed": 7})))
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: domain.seed has no effect in a stack: all trainings use its seed; set seed
    """
    known = StackConfig()
    for section in ("domain", "joint"):
        recipe = getattr(config, section)
        for name, instead in (
            ("seed", "all trainings use its seed; set seed"),
            ("runs", "each model is trained once; leave it out"),
            ("folds", "each model is trained once; leave it out"),
            ("workers", "models are trained in parallel; give --workers"),
        ):
            if getattr(recipe, name) != getattr(getattr(known, section), name):
                raise UserError(f"{section}.{name} has no effect in a stack: {instead}")
        check_recipe(recipe, section)
    if config.joint.diet != "none" and find(config.joint.diet).weighs:
        raise UserError(
            f"joint.diet: '{config.joint.diet}' weighs rows by a single loss, and the joint models have two; use another diet"
        )
    if config.model.freeze and config.joint_frozen_layers:
        raise UserError("model.freeze freezes all layers already; leave joint_frozen_layers at 0")


def settled_stack(config: StackConfig, begun: StackConfig | None) -> StackConfig:
    """The settings with `auto` resolved for this machine, or as resolved in `begun`, the settings of an unfinished folder."""
    recipes = {
        "domain": settled(config.domain, begun.domain if begun else None),
        "joint": settled(config.joint, begun.joint if begun else None),
    }
    return config.model_copy(update=recipes)


def _write_rules(folder: Path, exact: pl.DataFrame | None, templates: Path | None) -> None:
    shutil.rmtree(folder / "rules", ignore_errors=True)
    if exact is not None:
        write_utterances(exact, folder / "rules" / "exact.jsonl")
    if templates is not None:
        write(folder / "rules" / "templates.yaml", templates.read_bytes())


def _train(
    folder: Path, rows: pl.DataFrame, labels: Labels, config: StackConfig, workers: int | None
) -> None:
    counts = dict(rows["domain"].value_counts().iter_rows())
    left = set(missing(folder, labels))
    jobs: list[str | None] = [None] if "the domain classifier" in left else []
    jobs += sorted((name for name in labels.intents if name in left), key=lambda name: -counts[name])
    if not jobs:
        say(f"nlu train: already done in {folder}")
        return
    started = time.monotonic()
    recipes = {name: config.domain if name is None else joint_recipe(config, counts[name]) for name in jobs}
    total = sum(steps_of(recipes[name], rows.height if name is None else counts[name]) for name in jobs)
    files = [progress_file(folder / "training" / model_name(labels, name)) for name in jobs]
    with track("nlu train", total, "steps") as advance, counts_followed(files, advance):
        for _ in run_tasks(train_one, [(folder, name) for name in jobs], workers):
            pass
    shutil.rmtree(folder / "training", ignore_errors=True)
    say(f"nlu train: {len(jobs)} models on {rows.height:,} rows, {time.monotonic() - started:,.0f} s")


def train_one(folder: Path, domain: str | None) -> None:
    """Train one model of a stack folder: that of a domain, or the domain classifier if `domain` is None."""
    config, labels = settings_of(folder)
    rows = parquet.read(folder / "rows.parquet")
    name = model_name(labels, domain)
    started = time.monotonic()
    place = folder / "training" / name
    model: nn.Module
    if domain is None:
        model, _ = train_domain(rows, list(labels.intents), config, place)
    else:
        rows = rows.filter(domain=domain)
        model, _ = train_joint(rows, labels, domain, config, place)
    shutil.rmtree(place, ignore_errors=True)
    save_model(folder, name, model, {"rows": rows.height, "seconds": round(time.monotonic() - started, 1)})
