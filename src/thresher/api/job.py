"""The whole job in one call, and its plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from thresher.api.arguments import End, Normalise, ScoreOptions, with_arguments
from thresher.api.whole_job import whole_job
from thresher.config import Preset, RunConfig
from thresher.pipeline.hold_out import without_held_out
from thresher.pipeline.plan import Plan, plan_of, within_budget
from thresher.pipeline.preset import with_preset
from thresher.pipeline.selection_settings import check_selection, refuse_to_keep_all
from thresher.pipeline.start import data_config, with_own_defaults
from thresher.pipeline.test_rows import load_test
from thresher.pipeline.train import with_recipe
from thresher.pipeline.unmeasured import refuse_unmeasured
from thresher.results import WholeRun
from thresher.rows import Rows
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
