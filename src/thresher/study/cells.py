"""Running cells: those that are finished are never run again, the others side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from thresher import parquet
from thresher.config import TrainConfig
from thresher.execution.cores import share_cores
from thresher.execution.engines import LOCAL, Place, run_tasks
from thresher.execution.local import counts_followed
from thresher.progress import track
from thresher.run_folder import read_manifest, read_results, update_results
from thresher.study.cell import Cell, cell_file, cell_key, read_cell
from thresher.study.head_cells import head_cell_job
from thresher.study.tuned_cells import tuned_cell_job
from thresher.training.features import write_features
from thresher.training.head_runs import HEADS
from thresher.training.recipe import configs, steps_of
from thresher.training.record import progress_file

PROCESS_STEPS = 4000  # of heads, which take about as long as it takes to start a process


def run_cells(
    run: Path, cells: Sequence[Cell], workers: int | None, anew: bool = False, place: Place = LOCAL
) -> list[dict[str, Any]]:
    """The results of cells in their order, training those that are not finished yet (`anew`: all of them), at `place`: on
    this machine, or on a cluster whose machines all see the run folder.

    Each cell has its file as soon as it is finished; `results.json["cells"]` is brought up to date at the end, or where the
    call is interrupted, so that thousands of cells do not mean thousands of times writing it.
    """
    manifest = read_manifest(run)
    keys = [cell_key(manifest, cell) for cell in cells]
    wanted = dict(zip(keys, cells, strict=True))
    known = {} if anew else {key: facts for key in wanted if (facts := read_cell(run, key))}
    left = {key: cell for key, cell in wanted.items() if key not in known}
    model, config = configs(manifest)
    if model.freeze and left:
        write_features(run)
        write_features(run, "test")
    groups = [{key: cell} for key, cell in left.items()] if not model.freeze else side_by_side(left)
    total = sum(steps_of_cell(config, cell) for cell in left.values())
    at_a_time, threads = share_cores(len(wanted), workers)
    threads = config.threads or threads
    if model.freeze:
        at_a_time, threads = min(at_a_time, max(1, total // PROCESS_STEPS)), 1
    files = [] if model.freeze else [progress_file(run / "training" / key) for key in left]
    tasks = [(run.absolute(), group) for group in groups]
    if place.engine != "local":
        # The cluster decides how many run at a time, so machines that join later get some, too.
        at_a_time = workers or len(tasks)
        place = replace(place, shared_file=run.absolute() / "run.yaml")
    job = head_cell_job if model.freeze else tuned_cell_job
    try:
        with track("retrain", total, "steps") as advance, counts_followed(files, advance):
            for at, found in run_tasks(job, tasks, at_a_time, threads, place):
                known |= found
                if model.freeze:
                    advance(sum(steps_of_cell(config, cell) for cell in groups[at].values()))
    finally:
        named = {key: {**facts, "predictions": f"cells/{key}.parquet"} for key, facts in known.items()}
        before = read_results(run).get("cells", {})
        if any(before.get(key) != facts for key, facts in named.items()):
            update_results(run, cells={**before, **named})
    return [{"key": key, **known[key], "arm": cell["arm"]} for key, cell in zip(keys, cells, strict=True)]


def side_by_side(cells: Mapping[str, Cell]) -> list[dict[str, Cell]]:
    """Cells in groups of equally many rows and steps, at most `HEADS` in each, in their order."""
    groups: dict[tuple[int, int | None], list[dict[str, Cell]]] = {}
    for key, cell in cells.items():
        alike = groups.setdefault((cell["n"], cell["max_steps"]), [{}])
        if len(alike[-1]) == HEADS:
            alike.append({})
        alike[-1][key] = cell
    return [group for alike in groups.values() for group in alike]


def steps_of_cell(config: TrainConfig, cell: Cell) -> int:
    """Optimiser steps of a cell."""
    return steps_of(config.model_copy(update={"max_steps": cell["max_steps"]}), cell["n"])


def predictions(run: Path, results: Sequence[dict[str, Any]]) -> np.ndarray:
    """Predicted classes (seeds, test rows) of some cells."""
    return np.stack(
        [
            parquet.read(cell_file(run, result["key"]), columns=["predicted"])["predicted"].to_numpy()
            for result in results
        ]
    )
