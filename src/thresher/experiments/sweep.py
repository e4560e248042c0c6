"""The sweep: every training arm at every fraction with several seeds, compared with full data and random rows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, get_args

import polars as pl
from pydantic import BaseModel

from thresher.config import SelectConfig, SweepConfig
from thresher.errors import UserError
from thresher.execution.engines import LOCAL, Place, check_engine
from thresher.experiments.arms import RANDOM, Arm, arms_of, kept_by, scores_of
from thresher.experiments.cell import Cell, new_cell
from thresher.experiments.cells import run_cells
from thresher.experiments.outcomes import outcomes_of
from thresher.experiments.sweep_figures import by_group, counts, difference, figures, group_columns
from thresher.facts.sweep import SweepArms, SweepFacts, SweepLine
from thresher.pipeline.other_model import run_of_other_model
from thresher.pipeline.selection_settings import Request, request_of
from thresher.progress import say, track
from thresher.rows import read_rows
from thresher.run import Run
from thresher.run.files import digest
from thresher.run.integrity import read_json, write_json
from thresher.run.steps import Facts, require_test, step, test_hash
from thresher.training.recipe import steps_of

# What a line of the table is known by.
Known = Literal["score", "normalise", "end", "strategy", "options", "fraction", "same_steps"]
KEY: tuple[Known, ...] = get_args(Known)


class SweepSettings(BaseModel):
    """The arms to try, and the floors, protected rows and strata that apply to all of them."""

    sweep: SweepConfig
    select: SelectConfig


def what_is_kept(run: Run, select: SelectConfig) -> Request:
    """The floors, protected rows and strata as a request."""
    # The strata that a strategy brings of its own are not for other ways to choose.
    return request_of(select.model_copy(update={"strategy": "cutoff"}), run.config.data.label)


def same_inputs(run: Run, settings: SweepSettings) -> dict[str, object]:
    """The test rows, and what every selection keeps: lines of one table must have the same."""
    return {**test_hash(run, settings), "request": what_is_kept(run, settings.select)}


def inputs(run: Run, settings: SweepSettings) -> dict[str, object]:
    asked = settings.sweep.model_dump(mode="json", exclude={"workers", "engine", "address"})
    return {**same_inputs(run, settings), "sweep": asked}


def arms(run: Run, settings: SweepSettings) -> list[Arm]:
    """The requested training arms.

    Raises UserError: no test rows, an unknown score, strategy or engine, or other models for completions.
    """
    require_test(run)
    asked = settings.sweep
    if asked.models and run.manifest.task == "text":
        raise UserError("--models is for rows with labels; give each language model a run of its own")
    check_engine(Place(asked.engine, asked.address))
    columns = run.score_columns()
    kept = what_is_kept(run, settings.select)
    return arms_of(columns, asked.scores, asked.ends, asked.strategies, kept)


def intact(run: Run, facts: Facts) -> str | None:
    """Why the lines of a finished sweep cannot be used; None if they can."""
    found = read_sweep(run)
    same = found is not None and found["made_of"] == facts["made_of"]
    return None if same else f"{result_file(run)}: missing or damaged"


@step(
    "sweep",
    after="score",
    ignore=("sweep", "select"),
    inputs=inputs,
    check=arms,
    problem=intact,
    own=True,
)
def sweep(run: Run, settings: SweepSettings) -> Facts:
    """Train and compare every arm; see `thresher.api.sweep`.

    Lines of an earlier sweep with the same scores, test rows, floors and protected rows are kept. With `models` the facts have
    {"models": {name: the same}} too: other models, trained on the rows that the run's scores choose (the paper's figure 8).
    """
    asked = settings.sweep
    made_of = digest([run.require("score").key, same_inputs(run, settings)])
    former = read_sweep(run)
    earlier = former if former and former["made_of"] == made_of else None
    tried = arms(run, settings)
    folders = {name: run_of_other_model(run, name) for name in asked.models}

    def swept(where: Run, lines: Sequence[SweepLine]) -> SweepArms:
        how = (asked.fractions, asked.seeds, asked.same_steps, asked.workers)
        found = sweep_arms(where, tried, *how, place=Place(asked.engine, asked.address))
        return {**found, "table": merged(found["table"], lines)}

    found = swept(run, earlier["table"] if earlier else [])
    others = dict(earlier.get("models", {})) if earlier else {}
    others |= {
        name: swept(other, others[name]["table"] if name in others else []) for name, other in folders.items()
    }
    trainings = found["trainings"] + sum(others[name]["trainings"] for name in folders)
    say(f"sweep: {trainings:,} trainings")
    entry = {**found, "made_of": made_of, **({"models": others} if others else {})}
    write_json(result_file(run), entry)
    return {"made_of": made_of, "trainings": trainings}


def result_file(run: Run) -> Path:
    return run.step_folder("sweep") / "result.json"


def read_sweep(run: Run) -> SweepFacts | None:
    """The result of the last sweep; None if there was none, or its file is damaged."""
    try:
        return read_json(result_file(run))
    except (OSError, ValueError):
        return None


def sweep_arms(
    run: Run,
    arms: Sequence[Arm],
    fractions: Sequence[float],
    seeds: int,
    same_steps: bool = False,
    workers: int | None = None,
    place: Place = LOCAL,
) -> SweepArms:
    """Train every arm at every fraction with S seeds, and compare it with full data and as many random rows.

    The seed of a training fixes the head's initialisation, dropout and data order, and the draw of the rows where rows are
    drawn (samplers, random rows, ties). The recipe is the same for all; with `same_steps` an arm takes as many steps as full
    data, and so more epochs. They run at `place`: on this machine, or on a cluster.

    Differences are paired by seed, with 95% intervals. Where floors and protected rows keep more than the fraction asks for, `n`
    says how many, and the random rows of `to_random` are as many.
    """
    recipe = run.config.train
    rows, test = read_rows(run.rows_file), read_rows(run.test_file)
    ids = rows.table["id"]
    scores = scores_of(run, ids)
    steps = steps_of(recipe, len(rows)) if same_steps else recipe.max_steps
    numbers = range(recipe.seed, recipe.seed + seeds)
    full = [new_cell("full", seed, recipe.max_steps, ids) for seed in numbers]
    cells: dict[tuple[str, float], list[Cell]] = {}
    tried = list({arm.name: arm for arm in (RANDOM, *arms)}.values())
    with track("select", len(tried) * len(fractions), "selections") as advance:
        for fraction in fractions:
            for arm in tried:
                cells[arm.name, fraction] = [
                    new_cell(arm.name, seed, steps, ids, kept_by(arm, scores, fraction, seed), arm.name)
                    for seed in numbers
                ]
                advance(1)
    random = {
        place: [as_many(cell, scores) for cell in alike]
        for place, alike in cells.items()
        if any(cell["n"] != cells[RANDOM.name, place[1]][0]["n"] for cell in alike)
    }
    wanted = [full, *cells.values(), *random.values()]
    results = run_cells(run, [cell for alike in wanted for cell in alike], workers, place=place)
    groups = [results[at : at + seeds] for at in range(0, len(results), seeds)]
    found = [outcomes_of(run, alike) for alike in groups]
    by_arm = {place: (groups[at], found[at]) for at, place in enumerate(cells, 1)}
    by_random = dict(zip(random, found[1 + len(cells) :], strict=True))
    table: list[SweepLine] = []
    for fraction in fractions:
        for arm in tried:
            alike, outcomes = by_arm[arm.name, fraction]
            chosen = cells[arm.name, fraction]
            as_random = by_random.get((arm.name, fraction), by_arm[RANDOM.name, fraction][1])
            table.append(
                {
                    **arm.facts(),
                    "fraction": fraction,
                    "same_steps": same_steps,
                    **figures(alike),
                    "to_full": difference(outcomes, found[0]),
                    "to_random": difference(outcomes, as_random),
                    "groups": by_group(rows, test, outcomes, chosen),
                }
            )
    return {
        "metric": "loss" if found[0].of_texts else "accuracy",
        "full": {**figures(groups[0]), "groups": by_group(rows, test, found[0], full)},
        "groups": {name: counts(rows, test, column) for name, column in group_columns(rows, test)},
        "table": table,
        "trainings": len({result["key"] for result in results}),
        "seconds": round(sum({result["key"]: result["seconds"] for result in results}.values()), 1),
    }


def as_many(cell: Cell, scores: pl.DataFrame) -> Cell:
    """The training on as many random rows as a cell has, with its seed and steps."""
    if cell["n"] == len(scores):
        return cell
    kept = kept_by(RANDOM, scores, 1 - cell["n"] / len(scores), cell["seed"])
    return new_cell(RANDOM.name, cell["seed"], cell["max_steps"], scores["id"], kept, RANDOM.name)


def merged(lines: Sequence[SweepLine], before: Sequence[SweepLine]) -> list[SweepLine]:
    """The lines of this sweep, and those of a former one that were not repeated."""

    def key(line: SweepLine) -> tuple[str, ...]:
        return tuple(str(line[name]) for name in KEY)

    return list({key(line): line for line in (*before, *lines)}.values())
