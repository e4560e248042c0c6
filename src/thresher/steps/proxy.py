"""Selection via proxy: a cheaper model is trained and scores the rows, in the place of the one that they are chosen for.

Source: Coleman et al. (2020), "Selection via Proxy: Efficient Data Selection for Deep Learning", ICLR.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from thresher.config import RunConfig
from thresher.errors import UserError
from thresher.files import copy_file, same_file
from thresher.run_folder import finish, redo, require, scoring_run, state
from thresher.steps.other_model import other_model

# Trainings of a frozen proxy: each takes seconds, and averaged scores are steadier.
FROZEN_RUNS = 3


def has_proxy(config: RunConfig) -> bool:
    """Whether another model scores the rows."""
    return config.proxy.encoder != "none"


def proxy_config(config: RunConfig) -> RunConfig:
    """The configuration of the proxy's own run.

    `frozen`, `frozen-N`: all or the first N layers of the encoder as they are, and a head on them with a recipe of its own. N:
    the first N layers with the recipe of the run.

    Raises
    ------
    UserError
        the run's own encoder is frozen, which nothing is cheaper than.

    >>> from thresher.config import DataConfig, ProxyConfig
    >>> data = DataConfig(train="train.jsonl", text=("text",), label="label")
    >>> asked = RunConfig(data=data, proxy=ProxyConfig(encoder=1))
    >>> asked.model.layers, proxy_config(asked).model.layers, proxy_config(asked).proxy.encoder
    ('auto', 1, 'none')
    """
    if config.model.freeze:
        raise UserError(
            "a frozen encoder's head trains in seconds and takes no proxy; leave out --proxy or --freeze"
        )
    other = other_model(config, config.proxy.encoder)
    runs = config.proxy.trainings or (FROZEN_RUNS if other.model.freeze else config.train.runs)
    recipe = {"diet": "none", "diet_options": {}, "runs": runs}
    return other.model_copy(update={"train": other.train.model_copy(update=recipe)})


def take(run: Path, step: str, files: tuple[str, ...] = (), **facts: Any) -> None:
    """Finish a step of a run with what the proxy's run made in it, unless that is done; `files` of it are copied."""
    made_with = {"proxy": require(scoring_run(run), step)["hash"]}
    same = all(same_file(scoring_run(run) / name, run / name) for name in files)
    if same and state(run, step, made_with) == "done":
        return
    redo(run, step)
    for name in files:
        copy_file(scoring_run(run) / name, run / name)
    finish(run, step, made_with, **facts)
