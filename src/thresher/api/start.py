"""Start a run and train its models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from thresher.api.arguments import Pooling, with_arguments
from thresher.config import RunConfig
from thresher.execution.torchrun import follow, rank
from thresher.pipeline.start import data_config, with_own_defaults
from thresher.pipeline.test_rows import load_test
from thresher.pipeline.train import train as train_step
from thresher.rows import Rows
from thresher.run import Run
from thresher.run.outputs import as_place
from thresher.signature import public


@public
def train(
    rows: Rows,
    *,
    out: str | Path,
    test: object = None,
    config: RunConfig | None = None,
    model: str | None = None,
    layers: int | Literal["auto", "all"] | None = None,
    max_length: int | None = None,
    pooling: Pooling | None = None,
    head_hidden: Sequence[int] | None = None,
    dropout: float | None = None,
    freeze: bool | None = None,
    encode: Literal["auto", "float32", "bfloat16"] | None = None,
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
    """Check the rows, start a run and train the models that scores are computed from.

    Under torchrun every process calls it; the first one does all of this, and the others only take part in training.

    Parameters
    ----------
    rows
        the result of `load`.
    out
        the run folder; created if missing.
    test
        rows of a test set (or its path, a frame or a dataset, read with the same columns), for `compare`. An
        existing run gets them too; they do not affect its training.
    config
        a whole configuration; single arguments override it. The reference of `run.yaml` describes them. With `proxy`, "frozen",
        "frozen-3" or a number of layers, that model is trained and scores the rows instead of this one, which only `compare`
        trains.
    force
        start over, also if the folder holds a run of other data or settings.
    proof_seeds
        number of full-data trainings that `compare` will need; they are trained in parallel with the scored run on free cores.

    Returns
    -------
    the run.

    Raises
    ------
    UserError
        bad rows, an unknown model or setting, or a folder that holds another run. Nothing is written in these cases.
    """
    arguments = locals()
    folder = as_place(out)
    if rank() > 0:
        from thresher.training.train import train_job

        follow(train_job)
        return Run.open(folder)
    if not isinstance(rows, Rows) or config is None:
        config = RunConfig(data=data_config(rows, test))
    arguments |= {"name": model, "encoder": proxy, "trainings": proxy_trainings}
    config = with_own_defaults(rows, with_arguments(config, arguments, "model", "proxy", "train"))
    tested = load_test(test, rows, config.data) if test is not None else None
    return train_step(folder, rows, tested, config, force=force, proof_seeds=proof_seeds)
