"""The cells of a study: a stack trained on one selection of rows with one seed, of which the test answers are kept."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from thresher.execution.engines import run_tasks
from thresher.nlu.rows import Labels, labels_of
from thresher.nlu.stack.answer import Domain, Joint, Stack, answer
from thresher.nlu.stack.config import StackConfig
from thresher.nlu.stack.train import needs_model, train_domain, train_joint, with_steps
from thresher.nlu.study.facts import CellFacts
from thresher.progress import say
from thresher.run import parquet
from thresher.run.files import digest
from thresher.run.integrity import read_json, table_problem, write_json, write_table
from thresher.training.recipe import steps_of

ANSWERS = ("domain", "intent", "slots", "path", "domain_confidence", "intent_confidence", "slot_confidence")


@dataclass(frozen=True)
class Cell:
    """One training: `technique` ("full" for all rows), share removed, sample, pool of rows ("historical" or "mixed")."""

    technique: str
    prune: float
    sample: int
    pool: str
    ids: tuple[str, ...]

    @property
    def name(self) -> str:
        return f"{self.pool}-{self.technique}-{self.prune:g}-{self.sample}"


def cell_key(made_with: str, cell: Cell) -> str:
    """Hash of rows, test rows, recipe, choice of rows and seed."""
    return digest({"study": made_with, "ids": cell.ids, "sample": cell.sample})


def run_cells(
    study: Path,
    cells: Sequence[Cell],
    config: StackConfig,
    made_with: str,
    workers: int | None,
    same_steps: bool = False,
) -> dict[str, CellFacts]:
    """Train the cells that are missing; returns facts per cell name. A killed study resumes with the next cell."""
    keys = {cell.name: cell_key(made_with, cell) for cell in cells}
    left = [cell for cell in cells if read_cell(study, keys[cell.name]) is None]
    tasks = [(study, keys[cell.name], cell, config, same_steps) for cell in left]
    for done, (_, line) in enumerate(run_tasks(cell_job, tasks, workers), 1):
        say(f"nlu study: {done} of {len(left)}: {line}")
    found = {name: read_cell(study, key) for name, key in keys.items()}
    return {name: facts for name, facts in found.items() if facts is not None}


def read_cell(study: Path, key: str) -> CellFacts | None:
    """The facts of a finished cell; None if there is none, or one of its files is damaged."""
    folder = study / "cells"
    try:
        return None if table_problem(folder / f"{key}.parquet") else read_json(folder / f"{key}.json")
    except (OSError, ValueError):
        return None


def cell_job(study: Path, key: str, cell: Cell, config: StackConfig, same_steps: bool) -> str:
    """Train one stack, and keep its answers but not its weights."""
    started = time.monotonic()
    pool = parquet.read(study / f"{cell.pool}.parquet")
    rows = pool.filter(pl.col("id").is_in(list(cell.ids)))
    test = parquet.read(study / "test.parquet")
    config = config.model_copy(update={"seed": config.seed + cell.sample})
    # In the system's temporary folder, so that a crash leaves nothing in the study.
    scratch = Path(tempfile.mkdtemp(prefix="thresher-"))
    try:
        answers = train_and_answer(
            rows, test["text"].to_list(), config, scratch, pool if same_steps else rows
        )
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    table = test.select("id").hstack(answers.select(ANSWERS))
    write_table(study / "cells" / f"{key}.parquet", table)
    facts: CellFacts = {
        "technique": cell.technique,
        "prune": cell.prune,
        "sample": cell.sample,
        "pool": cell.pool,
        "n_train": rows.height,
        "seconds": round(time.monotonic() - started, 1),
        "key": key,
    }
    write_json(study / "cells" / f"{key}.json", facts)
    return f"{cell.name}, {rows.height:,} rows, {facts['seconds']:,.0f} s"


def train_and_answer(
    rows: pl.DataFrame, texts: list[str], config: StackConfig, scratch: Path, steps_as: pl.DataFrame
) -> pl.DataFrame:
    """The answers of a stack that is not saved; the model of a domain is trained when its first text arrives.

    Every training takes as many steps as it would on the rows `steps_as`.
    """
    counts = dict(steps_as["domain"].value_counts().iter_rows())
    steps = {"max_steps": steps_of(config.domain, steps_as.height)}
    config = config.model_copy(update={"domain": config.domain.model_copy(update=steps)})
    labels: Labels = labels_of(rows)
    names = list(labels.intents)
    domain: Domain = train_domain(rows, names, config, scratch / "domain") if len(names) > 1 else None

    def joint(name: str) -> Joint:
        if not needs_model(labels, name):
            return None
        return train_joint(
            rows.filter(domain=name),
            labels,
            name,
            with_steps(config, counts[name]),
            scratch / f"joint-{names.index(name)}",
        )

    return answer(Stack(config, labels, domain, joint), texts)
