"""Run a study: its cells in order, and the tables made from them."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from thresher.errors import UserError
from thresher.nlu.pruning.synthetic import swapped
from thresher.nlu.stack.build import check_stack, rows_hash, settled_stack
from thresher.nlu.stack.config import StackConfig
from thresher.nlu.stack.folder import refuse_other_files
from thresher.nlu.study.cells import Cell, run_cells
from thresher.nlu.study.facts import StudyResults
from thresher.nlu.study.tables import study_tables
from thresher.nlu.study.techniques import kept_ids, technique
from thresher.progress import say
from thresher.rows import normalised
from thresher.run.files import digest
from thresher.run.integrity import read_facts, write_json, write_table
from thresher.run.lock import lock
from thresher.run.outputs import as_place

# The paper's table 2, with random rows at every share as the baseline.
PLAN: dict[float, tuple[str, ...]] = {
    0.52: ("vog-dataset", "random", "vog-cutoff", "stratified", "vog-class", "mixed"),
    0.46: ("vog-dataset", "random", "vog-cutoff", "vog-class"),
    0.14: ("vog-dataset", "random"),
}
MIXED_SOURCES = ("random", "vog-dataset")
MIXED_PRUNE = 0.52
SYNTHETIC_SHARE = 0.3


def without_test_texts(rows: pl.DataFrame, tests: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The training rows whose normalised text does not occur in the test rows."""
    seen = {normalised(text) for test in tests for text in test["text"]}
    return rows.filter([normalised(text) not in seen for text in rows["text"]])


def run_study(
    rows: pl.DataFrame,
    tests: Mapping[str, pl.DataFrame],
    scores: pl.DataFrame,
    out: str | Path,
    config: StackConfig,
    *,
    samples: int = 3,
    plan: Mapping[float, Sequence[str]] = PLAN,
    mixed_sources: bool = True,
    same_steps: bool = False,
    workers: int | None = None,
) -> StudyResults:
    """Train the missing cells, sample by sample, and write `results.json` after each sample.

    Parameters
    ----------
    rows
        the training rows, without the texts of the test rows (`without_test_texts`).
    tests
        test rows by name; they are evaluated together and separately.
    scores
        of the same rows: `id, domain, intent, source` and the score columns that the techniques read.
    plan
        shares to remove, and the techniques at each.
    mixed_sources
        also train on the rows plus 30% synthetic ones, and prune only the historical ones of that mix.
    same_steps
        train on the kept rows for as many steps as on all rows, instead of as many epochs.

    Raises
    ------
    UserError
        a folder with another study or other files, scores of other rows, or an unknown technique.
    """
    folder = as_place(out)
    refuse_other_files(folder, "study.json")
    check_stack(config)
    for name in {name for names in plan.values() for name in names}:
        technique(name)
    if set(scores["id"]) != set(rows["id"]):
        raise UserError(
            "the ids of the scores differ from those of the training rows; score these rows first"
        )
    test = pl.concat([one.with_columns(id=pl.lit(f"{name}:") + pl.col("id")) for name, one in tests.items()])
    pools = {"historical": rows}
    if mixed_sources:
        added = swapped(rows, round(SYNTHETIC_SHARE * rows.height), config.seed, test["text"])
        pools["mixed"] = pl.concat([rows.with_columns(source=pl.lit("historical")), added])
    # With the thresholds, because cells keep answers.
    made_of = {"rows": rows_hash(rows), "test": rows_hash(test), "config": config.model_dump(mode="json")}
    made_with = digest(made_of | ({"same_steps": True} if same_steps else {}))
    with lock(folder):
        config = _begin(folder, made_with, {**pools, "test": test, "scores": scores}, config, same_steps)
        started = time.monotonic()
        for upto in range(1, samples + 1):
            cells = planned(pools, scores, plan, upto, config.seed)
            facts = run_cells(folder, cells, config, made_with, workers, same_steps)
            results = study_tables(folder, cells, facts, list(tests))
            write_json(folder / "results.json", results)
        say(f"nlu study: {len(facts)} stacks, {time.monotonic() - started:,.0f} s in this call")
    return results


def planned(
    pools: Mapping[str, pl.DataFrame],
    scores: pl.DataFrame,
    plan: Mapping[float, Sequence[str]],
    samples: int,
    seed: int = 0,
) -> list[Cell]:
    """The cells of the first samples, one sample after the other; sample s draws its rows with `seed` + s."""
    rows = pools["historical"]
    everything = tuple(rows["id"].sort())
    cells = []
    for sample in range(samples):
        cells.append(Cell("full", 0.0, sample, "historical", everything))
        for prune, names in plan.items():
            for name in dict.fromkeys(names):
                kept = tuple(kept_ids(scores, name, prune, seed + sample))
                cells.append(Cell(name, prune, sample, "historical", kept))
        if "mixed" in pools:
            synthetic = pools["mixed"].filter(source="synthetic")["id"].to_list()
            cells.append(Cell("full", 0.0, sample, "mixed", tuple(sorted([*everything, *synthetic]))))
            for name in MIXED_SOURCES:
                left = [*kept_ids(scores, name, MIXED_PRUNE, seed + sample), *synthetic]
                cells.append(Cell(name, MIXED_PRUNE, sample, "mixed", tuple(sorted(left))))
    return cells


def _begin(
    folder: Path, made_with: str, tables: Mapping[str, pl.DataFrame], config: StackConfig, same_steps: bool
) -> StackConfig:
    """Write study.json and the tables; returns the settings with `auto` as resolved when the study began."""
    file = folder / "study.json"
    begun = read_facts(file, "choose another --out") if file.exists() else None
    if begun and begun["made_with"] != made_with:
        raise UserError(
            f"{folder}: holds a study of other rows, test rows or settings, or of an earlier version; choose another --out"
        )
    config = settled_stack(config, StackConfig(**begun["config"]) if begun else None)
    facts = {"made_with": made_with, "same_steps": same_steps, "config": config.model_dump(mode="json")}
    # Written first, so that the folder of a killed study is recognised.
    write_json(file, facts)
    for name, table in tables.items():
        write_table(folder / f"{name}.parquet", table)
    return config
