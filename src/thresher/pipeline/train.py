"""Check the rows, start or resume a run, and train the models that scores are made from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from pydantic import BaseModel

from thresher.config import RunConfig, TrainConfig
from thresher.errors import UserError
from thresher.execution.torchrun import check_shares, leading, world
from thresher.pipeline.other_task import refuse_settings_of_labels, refuse_settings_of_texts
from thresher.pipeline.own_files import clear, names_for, refuse_inputs_in, refuse_strange, refuse_unlisted
from thresher.pipeline.proxy import has_proxy, proxy_config
from thresher.pipeline.start import identity, refuse_group_names, resume, start, started_run
from thresher.progress import say
from thresher.rows import Rows
from thresher.run import Run
from thresher.run.files import digest
from thresher.run.lock import lock
from thresher.run.steps import Facts, step
from thresher.training.check_recipe import check_recipe
from thresher.training.finished import trainings_problem
from thresher.training.folds import check_folds
from thresher.training.recipe import settled, settled_encoder, with_defaults


class Trainings(BaseModel):
    """Further trainings of a run: `proof_seeds` on full data in total, which a comparison will need."""

    proof_seeds: int = 0


def train(
    folder: Path,
    rows: Rows,
    test: Rows | None,
    config: RunConfig,
    *,
    force: bool = False,
    proof_seeds: int = 0,
    begun: Callable[[Run], Run] = lambda run: run,
) -> Run:
    """Start a run, or resume it, and train; see `thresher.api.train`. With a proxy, that one is trained instead.

    `begun` is called with a new run after its audit, before anything is trained, and may refuse it.

    Raises UserError: bad rows, an unknown model or setting, or a folder that holds another run. Nothing is written then.
    """
    config = with_recipe(rows, config)
    proxy = proxy_config(config, len(rows)) if has_proxy(config) else None
    if proxy and world() > 1:
        raise UserError("a proxy is trained by one process; start it without torchrun, or leave out --proxy")
    if config.train.diet != "none" and world() > 1:
        raise UserError("a training on a diet takes one process; start it without torchrun")
    refuse_strange(folder)
    refuse_unlisted(folder, names_for(rows))
    overwrite = force and Run.exists(folder)
    started = None if overwrite else started_run(folder, rows, config)
    refuse_inputs_in(folder, rows, test)
    if started is None:
        refuse_group_names(rows)
        check_models(rows, config, proxy)
    with leading():
        run = begin(folder, rows, test, config, overwrite=overwrite, begun=begun)
        if proxy:
            with lock(folder):
                encoder = proxy.model.model_copy(update={"encode": run.config.model.encode})
                train(run.proxy_folder, rows, test, proxy.model_copy(update={"model": encoder}))
            return run
        train_models(run, Trainings(proof_seeds=proof_seeds))
    return run


def with_recipe(rows: Rows, config: RunConfig) -> RunConfig:
    """The settings with the recipe for these rows, after a check that they can be trained by it."""
    if rows.task == "text":
        check_texts(rows, config)
        return config
    refuse_settings_of_texts(config)
    recipe = with_defaults(config.model, config.train, len(rows))
    check_labels(recipe, len(rows))
    return config.model_copy(update={"train": recipe})


def check_labels(config: TrainConfig, n_rows: int) -> None:
    """Refuse a recipe that rows with labels cannot be trained by."""
    check_shares(config.batch_size, n_rows)
    check_folds(config, n_rows)
    check_recipe(config)


def check_texts(rows: Rows, config: RunConfig) -> None:
    """Refuse a recipe that a language model cannot be trained by."""
    from thresher.training.language_runs import check_text_settings

    refuse_settings_of_labels(config)
    check_text_settings(config, len(rows))
    check_recipe(config.train)
    if world() > 1:
        raise UserError("a language model is fine-tuned by one process; start it without torchrun")


def check_models(rows: Rows, config: RunConfig, proxy: RunConfig | None) -> None:
    """Refuse models that cannot be loaded, or not for these rows, before anything is written."""
    if rows.task == "text":
        from thresher.models.language_model import adapted
        from thresher.training.language_runs import prepared

        adapted(prepared(config, rows)[0], config.generate, 0)
        return
    from thresher.models.encoder import load_encoder

    load_encoder(config.model)
    if proxy:
        load_encoder(proxy.model)


def begin(
    folder: Path,
    rows: Rows,
    test: Rows | None,
    config: RunConfig,
    *,
    overwrite: bool,
    begun: Callable[[Run], Run],
) -> Run:
    """The run in a folder, started where there is none, or over an old one."""
    with lock(folder):
        if overwrite:
            clear(folder)
        # Another process may have started it since.
        if started := started_run(folder, rows, config):
            return resume(started, rows, test, config.data)
        fixed = config.model_copy(
            update={
                "train": settled(config.train),
                "model": settled_encoder(config.model) if has_proxy(config) else config.model,
            }
        )
        try:
            run = start(
                folder,
                rows,
                test,
                fixed,
                key=digest(identity(rows, config)),
                source="proxy" if has_proxy(config) else "own",
            )
            return begun(run)
        except UserError:
            clear(folder)
            raise


def records_problem(run: Run) -> str | None:
    """What is wrong with the records of a language model's training."""
    if run.manifest.task != "text":
        return None
    from thresher.training.language_runs import recording_problem

    return recording_problem(run)


def recipe(run: Run, _: Trainings) -> dict[str, str]:
    """The rows, the model and the recipe, as inputs of the step."""
    return {"key": run.manifest.key}


@step(
    "train",
    ignore=("proof_seeds",),
    inputs=recipe,
    problem=lambda run, facts: trainings_problem(run) or records_problem(run),
    own=True,
)
def train_models(run: Run, settings: Trainings) -> Facts:
    """Train every model that is not finished yet; returns what `train_runs` does."""
    if run.manifest.task == "text":
        from thresher.training.language_runs import train_language_model

        facts = train_language_model(run)
        say(f"train: {facts['steps']:,} steps, {facts['parameters']:,} weights")
        return facts
    from thresher.training.train import train_runs

    facts = train_runs(run, settings.proof_seeds)
    say(f"train: {facts['steps']:,} steps, {run.config.train.runs} run(s)")
    if "diet" in facts:
        diet = facts["diet"]
        say(
            f"train: on diet {diet['method']} {diet['share']:.0%} of the rows of a training without it,"
            f" {diet['steps']:,} steps for its {facts['steps']:,}"
        )
    return facts
