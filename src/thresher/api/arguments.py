"""Types of arguments that several public functions have, and from arguments to settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from thresher.caller import plain
from thresher.config import RunConfig
from thresher.pipeline.selection_settings import with_named_score
from thresher.settings import changed

End = Literal["easy", "hard"]
Normalise = Literal["auto", "raw", "class", "dataset"]
Dtype = Literal["float32", "float64", "bfloat16"]
Pooling = Literal["auto", "mean", "first", "last"]
ScoreOptions = Mapping[str, Mapping[str, object]]


def with_arguments(config: RunConfig, arguments: Mapping[str, object], *sections: str) -> RunConfig:
    """A configuration, changed by the arguments that have the name of a setting of one of the sections.

    Raises
    ------
    UserError
        a value that a setting does not take.

    >>> from thresher.config import DataConfig
    >>> base = RunConfig(data=DataConfig(train="train.jsonl", text=("text",), label="label"))
    >>> now = with_arguments(base, {"out": "RUN", "seed": 5, "epochs": None}, "train", "compare")
    >>> now.train.seed, now.train.epochs, now.select.seed
    (5, 3.0, 0)
    """
    for section in sections:
        config = changed(config, section, with_named_score(config, section, given(arguments, section)))
    return config


def given(arguments: Mapping[str, object], section: str) -> dict[str, Any]:
    """The arguments that have the name of a setting of the section, without those that are None, as Python's own values.

    >>> given({"out": "RUN", "prune": 0.3, "by": None}, "select")
    {'prune': 0.3}
    """
    settings = type(RunConfig.model_fields[section].get_default()).model_fields
    return {name: plain(arguments[name]) for name in settings if arguments.get(name) is not None}
