"""Train a stack into its folder: every model by itself, side by side; what is trained already is not trained again."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from thresher.errors import UserError
from thresher.execution.engines import run_tasks
from thresher.execution.local import counts_followed
from thresher.nlu.rows import Labels, labels_of
from thresher.nlu.rows.files import write_utterances
from thresher.nlu.stack.config import StackConfig
from thresher.nlu.stack.folder import (
    FORMAT,
    missing,
    model_name,
    read_stack,
    save_encoder,
    save_model,
    settings_of,
)
from thresher.nlu.stack.frozen import stack_encoder
from thresher.nlu.stack.rules import read_rules
from thresher.nlu.stack.train import joint_recipe, needs_model, train_domain, train_joint
from thresher.progress import say, track
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
    """Train the domain classifier and a model for every domain that has several intents or slots.

    Parameters
    ----------
    rows
        annotated rows (`nlu.rows.SCHEMA`).
    out
        the stack folder; a stack of the same rows and settings is finished where it was.
    exact, templates
        rules that answer first; see `read_rules`.
    workers
        trainings at a time, one thread each; by default one per core. No result depends on it.
    force
        start over where the folder holds another stack.

    Returns
    -------
    the folder.

    Raises
    ------
    UserError
        rows without anything to learn, a folder that holds another stack, broken rules, or a full disk.
    """
    folder, config = as_place(out), config or StackConfig()
    check_stack(config)
    labels = labels_of(rows)
    if not any(needs_model(labels, name) for name in labels.intents) and len(labels.intents) < 2:
        raise UserError("one domain, one intent and no slots: there is nothing to learn")
    read_rules(exact, templates)
    made_with = {"rows": rows_hash(rows), **config.model_dump(mode="json", exclude=set(config.untrained()))}
    strange = folder.is_dir() and any(not path.name.startswith(".") for path in folder.iterdir())
    if strange and not (folder / "stack.yaml").is_file():
        raise UserError(f"{folder}: holds files but no stack.yaml, so it is no stack; choose another --out")
    with lock(folder):
        _begin(folder, rows, config, labels, digest(made_with), force)
        _write_rules(folder, exact, templates)
        _train(folder, rows, labels, config, workers)
    return folder


def rows_hash(rows: pl.DataFrame) -> str:
    """Hash of annotated rows in order."""
    return digest(rows.rows())


def _begin(
    folder: Path, rows: pl.DataFrame, config: StackConfig, labels: Labels, made_with: str, force: bool
) -> None:
    there = (folder / "stack.yaml").is_file()
    if there and not force and read_stack(folder).get("made_with") != made_with:
        raise UserError(
            f"{folder}: holds a stack of other rows or settings; choose another --out, or --force to start over"
        )
    config = settled_stack(config, settings_of(folder)[0] if there and not force else None)
    # Whatever is wrong with the model is told before anything is written.
    encoder, tokenizer = stack_encoder(config.model)
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
    # First of all, so that a folder that a killed training leaves can be told.
    write(folder / "stack.yaml", yaml.safe_dump(facts, sort_keys=False, allow_unicode=True))
    write(folder / "rows.parquet", rows.write_parquet)
    if not (folder / "encoder").is_dir():
        save_encoder(folder, encoder, tokenizer)


def check_stack(config: StackConfig) -> None:
    """Refuse settings that no training of a stack can go by, or that none would look at.

    Raises
    ------
    UserError
        one line that names the setting.

    >>> check_stack(StackConfig(domain=StackConfig().domain.model_copy(update={"seed": 7})))
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: domain.seed has no meaning in a stack, all of whose trainings have one seed; set seed
    """
    known = StackConfig()
    for section in ("domain", "joint"):
        recipe = getattr(config, section)
        for name, instead in (
            ("seed", "all of whose trainings have one seed; set seed"),
            ("runs", "whose models are trained once"),
            ("folds", "whose models are trained once"),
            ("workers", "which trains models side by side; give --workers"),
        ):
            if getattr(recipe, name) != getattr(getattr(known, section), name):
                raise UserError(f"{section}.{name} has no meaning in a stack, {instead}")
        check_recipe(recipe, section)
    if config.joint.diet != "none" and find(config.joint.diet).weighs:
        raise UserError(
            f"joint.diet: '{config.joint.diet}' weighs rows by one loss, and the intent and slot models have two; take another"
        )
    if config.model.freeze and config.joint_frozen_layers:
        raise UserError("model.freeze freezes all layers already; leave joint_frozen_layers at 0")


def settled_stack(config: StackConfig, begun: StackConfig | None) -> StackConfig:
    """The settings with what `auto` means here written out, or what it meant where the folder was begun with `begun`."""
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
    """Train one model of a stack folder, the domain classifier where `domain` is None."""
    config, labels = settings_of(folder)
    rows = parquet.read(folder / "rows.parquet")
    name = model_name(labels, domain)
    started = time.monotonic()
    place = folder / "training" / name
    model: Any
    if domain is None:
        model, _ = train_domain(rows, list(labels.intents), config, place)
    else:
        rows = rows.filter(domain=domain)
        model, _ = train_joint(rows, labels, domain, config, place)
    shutil.rmtree(place, ignore_errors=True)
    save_model(folder, name, model, {"rows": rows.height, "seconds": round(time.monotonic() - started, 1)})
