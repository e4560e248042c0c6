"""What `thresher run` does where nothing else is asked for."""

from __future__ import annotations

from thresher.config import RunConfig, frozen_layers
from thresher.execution.torchrun import world
from thresher.settings import changed
from thresher.training.recipe import MANY

# Settings that ask for scores of the model itself, which a head on its frozen encoder does not have.
OWN_SCORES = {
    "train": {
        "runs",
        "folds",
        "checkpoints",
        "checkpoint_every",
        "forgetting_evaluations",
        "forgetting_every",
        "forgetting_epochs",
        "null_epochs",
    },
    "measure": {"signals", "features"},
    "score": {"options"},
    "select": {"by", "normalise"},
}


# What `recommended` is for completions.
TEXT_SCORE, TEXT_STRATEGY = "el2n", "cutoff"
# The share of the completions that is tried first where none is asked for.
TEXT_SHARE = 0.3


def with_preset(config: RunConfig) -> RunConfig:
    """The settings of a run, with those that were not given filled in by its preset.

    recommended
        Heads on the frozen encoder score the rows (selection via proxy), the `recommended` strategy chooses, and the share is
        searched for. Where a setting asks for scores of the model itself (a score to choose by, a number of checkpoints), that
        model scores the rows and the share is the paper's; where a score is named, so is the strategy.
    paper
        The defaults of all settings: the model scores the rows, and 45% are dropped by class-normalised VoG.

    >>> from thresher.config import DataConfig, SelectConfig
    >>> data = DataConfig(train="train.jsonl", text=("text",), label="label")
    >>> found = with_preset(RunConfig(data=data))
    >>> found.proxy.encoder, found.select.strategy, found.select.prune
    ('frozen', 'recommended', 'auto')
    >>> found = with_preset(RunConfig(data=data, select=SelectConfig(by="el2n", prune=0.3)))
    >>> found.proxy.encoder, found.select.strategy, found.select.prune
    ('none', 'cutoff', 0.3)
    >>> with_preset(RunConfig(data=data, preset="paper")).select.strategy
    'cutoff'
    """
    if config.data.task == "generate":
        return of_texts(config)
    if config.preset == "paper":
        return config
    given = config.select.model_fields_set
    if not given & {"strategy", "by"}:
        config = changed(config, "select", {"strategy": "recommended"})
    own = any(names & getattr(config, section).model_fields_set for section, names in OWN_SCORES.items())
    alone = own or config.model.freeze or config.select.strategy != "recommended" or world() > 1
    if "encoder" not in config.proxy.model_fields_set and not alone:
        config = changed(config, "proxy", {"encoder": "frozen"})
    if "prune" not in given and config.select.strategy == "recommended" and scored_by_heads(config):
        config = changed(config, "select", {"prune": "auto"})
    return config


def of_texts(config: RunConfig) -> RunConfig:
    """The settings of a run on completions: which rows are dropped, and how many seeds prove it, where that is not given."""
    given, proof = config.select.model_fields_set, config.compare.model_fields_set
    defaults: dict[str, object] = {"by": TEXT_SCORE, "strategy": TEXT_STRATEGY, "prune": "auto"}
    if given & {"by", "strategy"}:
        defaults |= {"strategy": "cutoff"}
    config = changed(config, "select", {name: value for name, value in defaults.items() if name not in given})
    # A training takes minutes to hours, so none is added unless it is asked for.
    most = {} if "most_seeds" in proof else {"most_seeds": config.compare.seeds}
    return changed(config, "compare", most)


def for_many_rows(config: RunConfig, n_rows: int) -> RunConfig:
    """The settings of a run on so many rows: heads that score more than `MANY` measure their logits alone, where the strategy
    needs no more and no signals were asked for.

    >>> from thresher.config import DataConfig
    >>> asked = with_preset(RunConfig(data=DataConfig(train="train.jsonl", text=("text",), label="label")))
    >>> for_many_rows(asked, 200_001).measure.signals, len(for_many_rows(asked, 200_000).measure.signals)
    ((), 4)
    """
    asked = "signals" in config.measure.model_fields_set or config.select.strategy != "recommended"
    if n_rows <= MANY or asked or not scored_by_heads(config):
        return config
    return changed(config, "measure", {"signals": ()})


def scored_by_heads(config: RunConfig) -> bool:
    """Whether heads on a frozen encoder score the rows, each of which trains in seconds."""
    return config.model.freeze or frozen_layers(config.proxy.encoder) is not None
