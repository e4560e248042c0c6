"""The whole job in one call."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from thresher.api.arguments import End, Normalise, ScoreOptions, with_arguments
from thresher.api.steps import report
from thresher.config import Preset, RunConfig
from thresher.experiments.proof_rows import tell_idle
from thresher.experiments.suspects_of_run import suspects_of_run
from thresher.pipeline.hold_out import without_held_out
from thresher.pipeline.measure import measure as measure_step
from thresher.pipeline.plan import Plan, left_after, plan_of, within_budget
from thresher.pipeline.preset import for_many_rows, with_preset
from thresher.pipeline.score import score as score_step
from thresher.pipeline.selection_settings import check_selection, refuse_to_keep_all
from thresher.pipeline.start import data_config, with_own_defaults
from thresher.pipeline.test_rows import load_test
from thresher.pipeline.train import train as train_step
from thresher.pipeline.train import with_recipe
from thresher.pipeline.unmeasured import refuse_unmeasured
from thresher.progress import say
from thresher.results import Comparison, WholeRun
from thresher.rows import Rows
from thresher.run import Run
from thresher.run.layout import Layout
from thresher.run.lock import lock
from thresher.run.manifest import Decision
from thresher.run.outputs import as_place
from thresher.settings import changed, checked
from thresher.signature import public


@public
def run(
    rows: Rows,
    *,
    out: str | Path,
    test: object = None,
    config: RunConfig | None = None,
    preset: Preset | None = None,
    model: str | None = None,
    layers: int | Literal["auto", "all"] | None = None,
    max_length: int | None = None,
    freeze: bool | None = None,
    proxy: str | int | None = None,
    lora: int | None = None,
    lr: float | None = None,
    epochs: float | None = None,
    batch_size: int | None = None,
    encoder_lr: float | None = None,
    head_lr: float | None = None,
    runs: int | None = None,
    folds: int | Literal["auto"] | None = None,
    checkpoints: int | None = None,
    threads: int | None = None,
    diet: str | None = None,
    diet_options: Mapping[str, float] | None = None,
    features: bool | None = None,
    words: bool | Literal["auto"] | None = None,
    engine: str | None = None,
    address: str | None = None,
    store: str | None = None,
    score_options: ScoreOptions | None = None,
    prune: float | Literal["auto"] | None = None,
    by: str | None = None,
    end: End | None = None,
    normalise: Normalise | None = None,
    strategy: str | None = None,
    strategy_options: Mapping[str, float] | None = None,
    stratify: str | None = None,
    floor: int | None = None,
    floor_group: str | Sequence[str] | None = None,
    protect: str | Sequence[str] | None = None,
    margin: float | None = None,
    loss_margin: float | None = None,
    seeds: int | None = None,
    most_seeds: int | None = None,
    same_steps: bool | None = None,
    proof_rows: int | None = None,
    hold_out: float | Literal["auto"] | None = None,
    budget: str | None = None,
    seed: int | None = None,
    workers: int | None = None,
    force: bool = False,
) -> WholeRun:
    """The whole job: score the rows, find the share that can be dropped, prove it on the model, list suspects, and report.

    By `preset="recommended"` heads on the frozen encoder score the rows and search for a share, and the model proves it: the kept
    file has all rows where none holds (see `thresher.experiments.decide`). With `prune` that share is proved. `preset="paper"`
    is the paper's way: the model itself scores the rows, and 45% are dropped by class-normalised VoG. The result has the
    `decision`.

    Takes the most used settings of the steps by name, and all of them through `config`; finished steps are skipped. `seed` is
    that of the training and of the selection, `seeds` the trainings per arm of the proof, to which more are added, up to
    `most_seeds`, until it is decided; `workers` the processes of each step, `margin` the points of accuracy that may be lost, by
    the decision and by `prune="auto"`; `proof_rows` the rows that the proof trains on, where all would take too long.
    Of rows whose target is a text (`thresher.load_texts`), a language model is fine-tuned, with LoRA adapters of rank `lora` (0:
    all weights) at the peak rate `lr`; the proof compares the loss of held-out completions, which may rise by `loss_margin` nats
    per token.
    Without `test` a part of the rows is held out to prove on: no model trains on them, and all of them are kept. `hold_out` is
    their share, "auto" as many as the margin takes and at most a fifth; 0 holds none out and proves nothing.

    Raises
    ------
    UserError
        what any of the steps refuses; an impossible selection before anything is trained.
    """
    arguments = locals() | {"name": model, "encoder": proxy, "options": strategy_options}
    config = configuration(rows, test, config, arguments)
    if score_options is not None:
        plain = {name: dict(values) for name, values in score_options.items()}
        config = changed(config, "score", {"options": plain})
    return whole_job(rows, as_place(out), test, with_preset(config), force=force)


@public
def plan(
    rows: Rows,
    *,
    test: object = None,
    config: RunConfig | None = None,
    preset: Preset | None = None,
    model: str | None = None,
    layers: int | Literal["auto", "all"] | None = None,
    freeze: bool | None = None,
    proxy: str | int | None = None,
    epochs: float | None = None,
    prune: float | Literal["auto"] | None = None,
    margin: float | None = None,
    seeds: int | None = None,
    most_seeds: int | None = None,
    same_steps: bool | None = None,
    proof_rows: int | None = None,
    hold_out: float | Literal["auto"] | None = None,
    budget: str | None = None,
) -> Plan:
    """What `run` would train with these arguments, how long it takes on this machine, and what its proof can show.

    Some rows are encoded and some steps trained for a few seconds; nothing is written.

    Raises
    ------
    UserError
        an unknown model or setting, or a budget that is too small for a proof.
    """
    arguments = locals() | {"name": model, "encoder": proxy}
    return whole_plan(rows, test, with_preset(configuration(rows, test, config, arguments)))


def configuration(
    rows: Rows, test: object, config: RunConfig | None, arguments: Mapping[str, object]
) -> RunConfig:
    """The settings of a whole job: those of `config`, changed by the arguments of `run` or `plan`.

    Raises UserError: rows that were not loaded, or a value that a setting does not take.
    """
    if not isinstance(rows, Rows) or config is None:
        config = RunConfig(data=data_config(rows, test))
    if arguments["preset"] is not None:
        config = checked({**config.model_dump(exclude_unset=True), "preset": arguments["preset"]})
    config = with_arguments(
        config, arguments, "model", "proxy", "generate", "train", "measure", "select", "compare"
    )
    # The margin alone: how_much has a most_seeds of its own, which is not the argument of this name.
    return with_arguments(config, {"margin": arguments["margin"]}, "how_much")


def whole_plan(rows: Rows, test: object, config: RunConfig) -> Plan:
    """The plan of a whole job by a configuration; see `plan`."""
    config = with_own_defaults(rows, config)
    check_selection(config.select, rows.groups, rows.label)
    tested = load_test(test, rows, config.data) if test is not None else None
    if tested is None:
        rows, tested = without_held_out(None, rows, config)
    with_recipe(rows, config)
    refuse_unmeasured(config, len(rows))
    refuse_to_keep_all(config.select, rows)
    found = plan_of(rows, tested, config)
    within_budget(config, found)
    return found


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
