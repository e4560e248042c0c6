"""Start a run and train."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from thresher.api.arguments import Pooling
from thresher.config import RunConfig
from thresher.execution.torchrun import follow, rank
from thresher.pipeline.start import data_config
from thresher.pipeline.test_rows import load_test
from thresher.pipeline.train import train as train_step
from thresher.rows import Rows
from thresher.run import Run
from thresher.run.outputs import as_place
from thresher.settings import changed
from thresher.signature import given, public


@public
def train(
    rows: Rows,
    *,
    out: str | Path,
    test: Any = None,
    config: RunConfig | None = None,
    model: str | None = None,
    layers: int | Literal["auto", "all"] | None = None,
    max_length: int | None = None,
    pooling: Pooling | None = None,
    head_hidden: Sequence[int] | None = None,
    dropout: float | None = None,
    freeze: bool | None = None,
    trust_remote_code: bool | None = None,
    proxy: str | int | None = None,
    proxy_trainings: int | None = None,
    epochs: float | None = None,
    max_steps: int | None = None,
    batch_size: int | None = None,
    encoder_lr: float | None = None,
    head_lr: float | None = None,
    weight_decay: float | None = None,
    schedule: str | None = None,
    warmup: float | None = None,
    seed: int | None = None,
    runs: int | None = None,
    folds: int | Literal["auto"] | None = None,
    checkpoints: int | None = None,
    checkpoint_every: int | None = None,
    forgetting_evaluations: int | None = None,
    forgetting_every: int | None = None,
    forgetting_epochs: float | None = None,
    null_epochs: float | None = None,
    bf16: bool | Literal["auto"] | None = None,
    diet: str | None = None,
    diet_options: Mapping[str, float] | None = None,
    report_to: Sequence[str] | None = None,
    threads: int | None = None,
    workers: int | None = None,
    force: bool = False,
    proof_seeds: int = 0,
) -> Run:
    """Check the rows, start a run and train the models that scores are made from.

    Under torchrun every process calls it; the first one does what is described here, and the others help it train.

    Parameters
    ----------
    rows
        what `load` gave.
    out
        the run folder; made if it is not there.
    test
        rows of a test set (or its path, a frame or a dataset, read with the same columns), for `compare`. A run that is there
        already gets them too: they change nothing about its training.
    config
        a whole configuration; single settings win over it. They are described in the reference of `run.yaml`. With `proxy`,
        "frozen", "frozen-3" or a number of layers, that model is trained instead and scores the rows for this one, which is
        trained by `compare` alone.
    force
        start over where the folder holds a run of other data or settings, or this one.
    proof_seeds
        trainings on full data that `compare` will ask for: trained side by side with the scored run where cores are free.

    Returns
    -------
    the run.

    Raises
    ------
    UserError
        bad rows, an unknown model or setting, or a folder that holds another run. Nothing is written then.
    """
    folder = as_place(out)
    if rank() > 0:
        from thresher.training.train import train_job

        follow(train_job)
        return Run.open(folder)
    if not isinstance(rows, Rows) or config is None:
        config = RunConfig(data=data_config(rows, test))
    named = given(
        name=model,
        layers=layers,
        max_length=max_length,
        pooling=pooling,
        head_hidden=head_hidden,
        dropout=dropout,
        freeze=freeze,
        trust_remote_code=trust_remote_code,
    )
    config = changed(config, "model", named)
    config = changed(config, "proxy", given(encoder=proxy, trainings=proxy_trainings))
    recipe = given(
        epochs=epochs,
        max_steps=max_steps,
        batch_size=batch_size,
        encoder_lr=encoder_lr,
        head_lr=head_lr,
        weight_decay=weight_decay,
        schedule=schedule,
        warmup=warmup,
        seed=seed,
        runs=runs,
        folds=folds,
        checkpoints=checkpoints,
        checkpoint_every=checkpoint_every,
        forgetting_evaluations=forgetting_evaluations,
        forgetting_every=forgetting_every,
        forgetting_epochs=forgetting_epochs,
        null_epochs=null_epochs,
        bf16=bf16,
        diet=diet,
        diet_options=diet_options,
        report_to=report_to,
        threads=threads,
        workers=workers,
    )
    config = changed(config, "train", recipe)
    tested = load_test(test, rows, config.data) if test is not None else None
    return train_step(folder, rows, tested, config, force=force, proof_seeds=proof_seeds)
