"""Selection via proxy: a cheaper model is trained and scores the rows, in place of the model that they are selected for.

Source: Coleman et al. (2020), "Selection via Proxy: Efficient Data Selection for Deep Learning", ICLR.
"""

from __future__ import annotations

from thresher.config import RunConfig
from thresher.errors import UserError
from thresher.pipeline.other_model import FROZEN_RUNS, other_model
from thresher.training.recipe import MANY


def has_proxy(config: RunConfig) -> bool:
    """Whether another model scores the rows."""
    return config.proxy.encoder != "none"


def proxy_config(config: RunConfig, n_rows: int = 0) -> RunConfig:
    """The settings of the proxy's own run on so many rows.

    `frozen`, `frozen-N`: all or the first N layers of the encoder as they are, and a head on them with a recipe of its own. N:
    the first N layers with the recipe of the run.

    Raises UserError: the run's own encoder is frozen, so no proxy is cheaper.

    >>> from thresher.config import DataConfig, ProxyConfig
    >>> data = DataConfig(train="train.jsonl", text=("text",), label="label")
    >>> asked = RunConfig(data=data, proxy=ProxyConfig(encoder=1))
    >>> asked.model.layers, proxy_config(asked).model.layers, proxy_config(asked).proxy.encoder
    ('auto', 1, 'none')
    """
    if config.model.freeze:
        raise UserError(
            "the head of a frozen encoder trains in seconds and takes no proxy; leave out --proxy or --freeze"
        )
    other = other_model(config, config.proxy.encoder)
    averaged = 1 if n_rows > MANY else FROZEN_RUNS
    runs = config.proxy.trainings or (averaged if other.model.freeze else config.train.runs)
    recipe = {"diet": "none", "diet_options": {}, "runs": runs}
    return other.model_copy(update={"train": other.train.model_copy(update=recipe)})
