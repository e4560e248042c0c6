"""What the whole job does, step by step."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from thresher.api.steps import report
from thresher.config import RunConfig
from thresher.experiments.proof_rows import tell_idle
from thresher.experiments.suspects_of_run import suspects_of_run
from thresher.pipeline.hold_out import without_held_out
from thresher.pipeline.measure import measure as measure_step
from thresher.pipeline.plan import Plan, left_after, plan_of, within_budget
from thresher.pipeline.preset import for_many_rows
from thresher.pipeline.score import score as score_step
from thresher.pipeline.selection_settings import check_selection, refuse_to_keep_all
from thresher.pipeline.start import with_own_defaults
from thresher.pipeline.test_rows import load_test
from thresher.pipeline.train import train as train_step
from thresher.pipeline.unmeasured import refuse_unmeasured
from thresher.progress import say
from thresher.results import Comparison, WholeRun
from thresher.rows import Rows
from thresher.run import Run
from thresher.run.layout import Layout
from thresher.run.lock import lock
from thresher.run.manifest import Decision


def has_record(folder: Path, step: str) -> bool:
    """Whether a folder holds a run in which a step was finished, by the run or by its proxy."""
    layout = Layout(folder)
    return any(one.record_file(step).is_file() for one in (layout, Layout(layout.proxy_folder)))


def whole_job(rows: Rows, folder: Path, test: object, config: RunConfig, *, force: bool = False) -> WholeRun:
    """The whole job by a configuration; see `run`."""
    config = for_many_rows(with_own_defaults(rows, config), len(rows))
    if not has_record(folder, "score"):
        check_selection(config.select, rows.groups, rows.label)
    if not has_record(folder, "measure"):
        from thresher.execution.engines import check_engine, place_of

        check_engine(place_of(config.measure), config.measure.store)
    tested = load_test(test, rows, config.data) if test is not None else None
    trained = rows
    if tested is None:
        trained, tested = without_held_out(None if force else folder, rows, config)
    tell_idle(config.compare.proof_rows, len(trained))
    if not has_record(folder, "score"):
        refuse_unmeasured(config, len(trained))
        refuse_to_keep_all(config.select, trained)
    # Trainings on all rows serve the proof, unless it takes a part of them.
    proof_seeds = config.compare.seeds if tested is not None and config.compare.proof_rows is None else 0
    plans: list[Plan] = []

    def planned(run: Run) -> Run:
        plans.append(plan_of(trained, tested, run.config))
        for line in plans[0].lines():
            say(f"plan: {line}")
        return run.with_manifest(config=within_budget(run.config, plans[0]))

    started = time.monotonic()
    opened = train_step(
        folder,
        trained,
        tested,
        config,
        force=force,
        proof_seeds=proof_seeds,
        begun=planned,
    )
    # run.yaml is what the last whole job was asked for; the recipe has what `auto` means here, and data.test may be older.
    known = ["data", "model", "train"]
    if config.compare.budget is not None and config.compare.budget == opened.config.compare.budget:
        known.append("compare")  # with the seeds that fit
    config = config.model_copy(update={name: getattr(opened.config, name) for name in known})
    with lock(folder):
        opened = opened.with_manifest(config=config)
    measure_step(opened, config.measure)
    score_step(opened, config.score)
    for plan in plans:
        say(f"score: {left_after(plan, 'score', time.monotonic() - started)}")
    decision, proof = decided(opened, config)
    facts = opened.require("select").facts
    with lock(folder):
        told = {name: decision[name] for name in ("word", "sentence", "prune")}
        opened = opened.with_manifest(decision=Decision(**told, selection=facts["name"]))
    listed = suspects_of_run(opened)
    page = report(opened)
    return WholeRun(
        run=opened,
        n_rows=len(rows),
        n_kept=facts["n_kept"] + len(rows) - len(trained),
        selection=facts["name"],
        kept=str(opened.folder / facts["kept"]),
        dropped=str(opened.folder / facts["dropped"]),
        suspects=str(listed),
        report=str(page),
        decision=decision,
        compare=proof,
        n_held_out=len(rows) - len(trained),
    )


def decided(run: Run, config: RunConfig) -> tuple[dict[str, Any], Comparison | None]:
    """Select the rows, and with test rows decide whether the others can be dropped; the last proof, None where there is none."""
    from thresher.experiments.compare import comparison
    from thresher.experiments.decide import decide, unproved
    from thresher.experiments.how_much import Search

    search = Search(how_much=config.how_much, select=config.select, compare=config.compare)
    if not run.has_test:
        return unproved(run, search), None
    facts = decide(run, search)
    proof = Comparison(**comparison(run, facts["tried"][-1]["selection"])) if facts["tried"] else None
    return facts, proof
