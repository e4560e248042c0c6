"""Check the rows, start a run folder and train."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from thresher.begin import (
    begin,
    data_config,
    go_on,
    load_test,
    refuse_group_names,
    refuse_other,
    train_settings,
)
from thresher.config import RunConfig
from thresher.errors import UserError
from thresher.own_files import clear, refuse_inputs_in
from thresher.progress import say
from thresher.rows import Rows
from thresher.run_folder import RunPath, finish, lock, redo, require, scoring_run, state
from thresher.settings import with_settings
from thresher.steps.proxy import has_proxy, proxy_config, take
from thresher.training.check_recipe import check_recipe
from thresher.training.folds import check_folds
from thresher.training.processes import check_shares, follow, leading, rank, world


def train(
    rows: Rows,
    *,
    out: RunPath,
    test: Any = None,
    config: RunConfig | None = None,
    force: bool = False,
    proof_seeds: int = 0,
    **settings: Any,
) -> Path:
    """Check the rows, start a run folder and train the model(s) that scores are taken from.

    Under torchrun every process calls it; the first one does what is described here, and the others help it train.

    Parameters
    ----------
    rows
        what `load` gave.
    out
        the run folder; made if it is not there.
    test
        rows of a test set (or its path, a frame or a dataset, read with the same columns), for `compare`. A run that is there
        already gets them, too: they change nothing about its training.
    config
        a whole configuration; or single `settings` by name: `model`, `layers`, `epochs`, `encoder_lr`, `runs`, ... With
        `proxy`, "frozen", "frozen-3" or a number of layers, that model is trained instead, in `RUN/proxy`, and scores the rows
        for this one, which is trained by `compare` alone.
    force
        start over where the folder holds a run of other data or settings, or this one.
    proof_seeds
        trainings on full data that `compare` will ask for: trained side by side with the scored run where cores are free.

    Returns
    -------
    the run folder.

    Raises
    ------
    UserError
        bad rows, an unknown model or setting, or a folder that holds another run. Nothing is written then.
    """
    folder = Path(out)
    if rank() > 0:
        from thresher.training.train import train_job

        follow(train_job)
        return folder
    if not isinstance(rows, Rows) or config is None:
        config = RunConfig(data=data_config(rows, test))
    resolved = with_settings(config, **settings)
    test = load_test(test, rows, resolved.data.id) if test is not None else None
    refuse_group_names(rows)
    check_shares(resolved.train.batch_size, len(rows))
    check_folds(resolved.train, len(rows))
    check_recipe(resolved.train)
    made_with = train_settings(rows, resolved)
    proxy = proxy_config(resolved) if has_proxy(resolved) else None
    if proxy and world() > 1:
        raise UserError("a proxy is trained by one process; start it without torchrun, or leave out --proxy")
    if resolved.train.diet != "none" and world() > 1:
        raise UserError("a training on a diet takes one process; start it without torchrun")
    overwrite = force and (folder / "run.yaml").is_file()
    there = overwrite or refuse_other(folder, made_with)
    refuse_inputs_in(folder, rows, test)
    if overwrite or not there:
        from thresher.model.encoder import load_encoder

        load_encoder(resolved.model)
        if proxy:
            load_encoder(proxy.model)
    with leading(), lock(folder):
        if overwrite:
            clear(folder)
        if refuse_other(folder, made_with):
            go_on(folder, rows, test, resolved.data)
        else:
            from thresher.training.recipe import settled

            settings_here = resolved.model_copy(update={"train": settled(resolved.train)})
            try:
                begin(folder, rows, test, settings_here, made_with)
            except UserError:
                clear(folder)
                raise
        if proxy:
            started = time.monotonic()
            train(rows, out=folder / "proxy", config=proxy)
            trained = require(scoring_run(folder), "train")["trained"]
            take(folder, "train", seconds=round(time.monotonic() - started, 1), trained=trained)
            return folder
        from thresher.training.sound import faults

        if state(folder, "train", made_with) == "done" and not any(faults(folder)):
            say(f"train: already done in {folder}; --force redoes it")
            return folder
        from thresher.training.train import train_runs

        redo(folder, "train")
        started = time.monotonic()
        facts = train_runs(folder, proof_seeds)
        seconds = time.monotonic() - started
        finish(folder, "train", made_with, seconds=round(seconds, 1), trained=facts)
        say(f"train: {facts['steps']:,} steps, {resolved.train.runs} run(s), {seconds:,.0f} s")
        if "diet" in facts:
            diet = facts["diet"]
            say(
                f"train: on diet {diet['method']} {diet['share']:.0%} of the rows of a training without it,"
                f" {diet['steps']:,} steps for its {facts['steps']:,}"
            )
    return folder
