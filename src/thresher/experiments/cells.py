"""Run cells in parallel; finished ones are not repeated."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from thresher.config import TrainConfig
from thresher.execution.cores import share_cores
from thresher.execution.engines import LOCAL, Place, run_tasks
from thresher.experiments.cell import Cell, Result, Tested, cell_key, read_cell
from thresher.progress import track
from thresher.run import Run, parquet
from thresher.training.recipe import steps_of

PROCESS_STEPS = 4000  # of heads, which take about as long as it takes to start a process


def run_cells(run: Run, cells: Sequence[Cell], workers: int | None, place: Place = LOCAL) -> list[Result]:
    """The results of cells in their order, training those that are not finished yet, at `place`: on this machine, or on a
    cluster whose machines all see the run folder. Each cell has its file as soon as it is finished.
    """
    # Imported here: torch takes seconds, which finished cells need not wait for.
    from thresher.execution.local import counts_followed
    from thresher.training.features import write_features
    from thresher.training.record import progress_file

    keys = [cell_key(run, cell) for cell in cells]
    wanted = dict(zip(keys, cells, strict=True))
    known = {key: facts for key in wanted if (facts := read_cell(run, key))}
    left = {key: cell for key, cell in wanted.items() if key not in known}
    model, config = run.config.model, run.config.train
    if model.freeze and left:
        write_features(run)
        write_features(run, "test")
    groups = [{key: cell} for key, cell in left.items()] if not model.freeze else side_by_side(left)
    total = sum(steps_of_cell(config, cell) for cell in left.values())
    at_a_time, threads = share_cores(len(wanted), workers)
    threads = config.threads or threads
    if model.freeze:
        at_a_time, threads = min(at_a_time, max(1, total // PROCESS_STEPS)), 1
    files = [] if model.freeze else [progress_file(run.progress(key)) for key in left]
    there = replace(run, folder=run.folder.absolute())
    tasks = [(there, group) for group in groups]
    if place.engine != "local":
        # The cluster decides how many run at a time, so machines that join later get some, too.
        at_a_time = workers or len(tasks)
        place = replace(place, shared_file=there.folder / "run.yaml")
    job = job_of(run)
    with track("retrain", total, "steps") as advance, counts_followed(files, advance):
        for at, found in run_tasks(job, tasks, at_a_time, threads, place):
            known |= found
            if model.freeze:
                advance(sum(steps_of_cell(config, cell) for cell in groups[at].values()))
    return [named(key, known[key], cell) for key, cell in zip(keys, cells, strict=True)]


def named(key: str, found: Tested, cell: Cell) -> Result:
    """A finished cell with its key; its training may have been that of another arm."""
    return {**found, "key": key, "arm": cell["arm"]}


def job_of(run: Run) -> Callable[[Run, dict[str, Cell]], dict[str, Tested]]:
    """The function that trains and tests cells of a run: heads side by side, classifiers or language models one by one."""
    if run.manifest.task == "text":
        from thresher.experiments.text_cells import text_cell_job

        return text_cell_job
    if run.config.model.freeze:
        from thresher.experiments.head_cells import head_cell_job

        return head_cell_job
    from thresher.experiments.tuned_cells import tuned_cell_job

    return tuned_cell_job


def run_head_cells(asked: Sequence[tuple[Run, Sequence[Cell]]], workers: int | None) -> list[list[Result]]:
    """The results of cells of several runs with a frozen encoder, per run in their order; finished ones are not trained again."""
    from thresher.experiments.head_cells import head_cell_job
    from thresher.training.features import write_features

    wanted = [[(cell_key(run, cell), cell) for cell in cells] for run, cells in asked]
    known: list[dict[str, Tested]] = [{} for _ in asked]
    tasks: list[tuple[Run, dict[str, Cell]]] = []
    owners: list[int] = []
    for at, ((run, _), pairs) in enumerate(zip(asked, wanted, strict=True)):
        known[at] = {key: facts for key, _ in pairs if (facts := read_cell(run, key))}
        left = {key: cell for key, cell in pairs if key not in known[at]}
        if left:
            write_features(run)
            write_features(run, "test")
        there = replace(run, folder=run.folder.absolute())
        for group in side_by_side(left):
            tasks.append((there, group))
            owners.append(at)
    costs = [sum(steps_of_cell(run.config.train, cell) for cell in group.values()) for run, group in tasks]
    at_a_time, _ = share_cores(len(tasks), workers)
    at_a_time = min(at_a_time, max(1, sum(costs) // PROCESS_STEPS))
    with track("retrain", sum(costs), "steps") as advance:
        for task, found in run_tasks(head_cell_job, tasks, at_a_time, 1):
            known[owners[task]] |= found
            advance(costs[task])
    return [[named(key, known[at][key], cell) for key, cell in pairs] for at, pairs in enumerate(wanted)]


def forget_cells(run: Run, cells: Sequence[Cell]) -> None:
    """Remove the files of cells, so that they are trained again."""
    for cell in cells:
        run.cell_file(cell_key(run, cell)).unlink(missing_ok=True)


def side_by_side(cells: Mapping[str, Cell]) -> list[dict[str, Cell]]:
    """Cells in groups of equally many rows and steps, at most `HEADS` in each, in their order."""
    from thresher.training.head_runs import HEADS

    groups: dict[tuple[int, int | None], list[dict[str, Cell]]] = {}
    for key, cell in cells.items():
        alike = groups.setdefault((cell["n"], cell["max_steps"]), [{}])
        if len(alike[-1]) == HEADS:
            alike.append({})
        alike[-1][key] = cell
    return [group for alike in groups.values() for group in alike]


def steps_of_cell(config: TrainConfig, cell: Cell) -> int:
    return steps_of(config.model_copy(update={"max_steps": cell["max_steps"]}), cell["n"])


def predictions(run: Run, results: Sequence[Result]) -> np.ndarray:
    """Predicted classes (seeds, test rows) of some cells."""
    return np.stack(
        [
            parquet.read(run.cell_file(result["key"]), columns=["predicted"])["predicted"].to_numpy()
            for result in results
        ]
    )
