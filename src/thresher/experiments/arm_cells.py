"""The trainings of a comparison: on all rows, on the kept ones, and on as many random ones, with the same seeds."""

from __future__ import annotations

import numpy as np
import polars as pl

from thresher.config import CompareConfig
from thresher.experiments.arms import RANDOM, kept_by
from thresher.experiments.cell import Cell, new_cell
from thresher.experiments.proof_rows import proof_rows
from thresher.experiments.wording import ARMS
from thresher.run import Run, parquet
from thresher.run.integrity import read_table
from thresher.training.recipe import steps_of


def selection_of(run: Run, name: str) -> pl.DataFrame:
    """`id, key, kept` of a selection."""
    return read_table(run.selection_file(name), f"`thresher select {run}` makes it again")


def arm_cells(run: Run, settings: CompareConfig) -> dict[str, list[Cell]]:
    """The trainings of the three arms, one per seed, with as many seeds as there may be.

    With `proof_rows` all arms are within a part of the rows: as many random rows are drawn from it as it has kept ones.
    """
    name = run.require("select").facts["name"]
    recipe, label = run.config.train, run.config.data.label
    table = parquet.read(run.rows_file, columns=["id", label])
    ids, among = table["id"], proof_rows(table, label, settings.proof_rows)
    n, part = int(among.sum()), table.filter(pl.Series(among))
    steps = steps_of(recipe, n) if settings.same_steps else recipe.max_steps
    kept = kept_rows(ids, selection_of(run, name)) & among
    prune = 1 - kept.sum() / n

    cells: dict[str, list[Cell]] = {arm: [] for arm in ARMS}
    for seed in range(recipe.seed, recipe.seed + max(settings.seeds, settings.most_seeds)):
        drawn = among.copy()
        drawn[among] = kept_by(RANDOM, part, prune, seed)
        cells["full"].append(new_cell("full", seed, recipe.max_steps, ids, None if among.all() else among))
        cells["kept"].append(new_cell("kept", seed, steps, ids, kept, name))
        cells["random"].append(new_cell("random", seed, steps, ids, drawn))
    return cells


def kept_rows(ids: pl.Series, selection: pl.DataFrame) -> np.ndarray:
    """Which rows a selection keeps, (N,), in the order of `ids`."""
    table = pl.DataFrame({"id": ids}).join(selection, on="id", how="left", maintain_order="left")
    return table["kept"].to_numpy()
