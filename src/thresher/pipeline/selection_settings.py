"""Turn the settings of a selection into a request on the score table."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, Literal

import polars as pl

from thresher.config import SIGNALS, RunConfig, SelectConfig
from thresher.errors import UserError
from thresher.pipeline.proxy import has_proxy, proxy_config
from thresher.run import Run
from thresher.training.words import are_wanted
from thresher.wording import listed, shown


def check_selection(select: SelectConfig, groups: tuple[str, ...], label: str) -> None:
    """Refuse an impossible selection before hours are spent on training.

    Raises
    ------
    UserError
        an unknown score, strategy or strategy option, or a group column that was not loaded.
    """
    from thresher.selection.request import check

    schema: dict[str, pl.DataType] = dict.fromkeys(("id", "label", *groups), pl.String())
    schema |= dict.fromkeys(score_columns(), pl.Float64())
    by, hard = columns_for(select, list(schema))
    refuse_unloaded(select, [*schema, label])
    check(schema, where="scores", id="id", by=by, hard=hard, **request_of(select, label))


def refuse_unmeasured(config: RunConfig) -> None:
    """Refuse a score whose signals are not going to be measured, and an epoch that no training will reach, before training.

    Raises
    ------
    UserError
        one line that names the score, what it needs, and the setting that gives it.

    >>> from thresher.config import DataConfig, MeasureConfig
    >>> data = DataConfig(train="train.jsonl", text=("text",), label="label")
    >>> refuse_unmeasured(RunConfig(data=data, measure=MeasureConfig(signals=()), select=SelectConfig(by="vog")))
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: score vog needs gradient_gram, which measure.signals leaves out; add it, or give another --by
    """
    from thresher.pipeline.score import refuse_epochs
    from thresher.scores import scores
    from thresher.selection import find

    if config.data.task == "generate":
        return
    scorer = proxy_config(config) if has_proxy(config) else config
    if scorer.train.max_steps is None:
        refuse_epochs(config.score, scorer.train.epochs)
    entry = find(config.select.strategy)
    if not entry.reads_score:
        return
    without = _unmeasured(config, scorer)
    known = scores()
    for name in (one.strip() for one in entry.score(config.select.by).split(",")):
        for signal in (one for one in (known[name].needs if name in known else ()) if one in without):
            raise UserError(f"score {name} needs {signal}, which {without[signal]}, or give another --by")


def _unmeasured(config: RunConfig, scorer: RunConfig) -> dict[str, str]:
    """The signals that a run will not have, each with why and the remedy; `scorer`: the settings of the run or its proxy."""
    train, frozen = scorer.train, scorer.model.freeze
    left_out = [name for name in SIGNALS if name not in config.measure.signals]
    without: dict[str, str] = dict.fromkeys(left_out, "measure.signals leaves out; add it")
    if not config.measure.features and not frozen:
        without["features"] = "is measured with --features; add it"
    if not are_wanted(config, config.measure):
        without["word_margin"] = "is measured with --words; add it"
    if train.folds == 0 or (train.folds == "auto" and not frozen):
        without["held_out_logits"] = "comes from cross-validation; add --folds 5"
    if train.max_steps == 1:
        without["gradient_gram"] = "takes two checkpoints, and this training has one; train for more steps"
    return without


def score_columns() -> list[str]:
    """Every column that a score table of thresher's own may have: the scores, each raw and in its forms."""
    from thresher.scores import scores
    from thresher.scores.registry import FORMS

    return [f"{name}{form}" for name in scores() for form in ("", *FORMS)]


def refuse_unloaded(select: SelectConfig, columns: Sequence[str], run: Run | None = None) -> None:
    """Refuse a selection by a column of the file that was not loaded as a group; `run`: a folder that is there already.

    Raises
    ------
    UserError
        one line that names it.
    """
    protected = [text.partition("=")[0] for text in select.protect if "=" in text]
    asked = [*select.floor_group, *([select.stratify] if select.stratify else []), *protected]
    for name in (name for name in asked if name and name not in columns):
        remedy = "start a run with" if run else "add"
        raise UserError(f"column '{name}' was not loaded with the rows; {remedy} --group {name}")


def carried(select: SelectConfig, given: Collection[str]) -> str:
    """The settings that a selection takes from `run.yaml`, in words; empty if all are defaults.

    >>> carried(SelectConfig(end="hard", protect=("room=hall",), prune=0.2), ["prune"])
    'end hard, protect room=hall'
    """
    there = select.model_dump(mode="json", exclude_defaults=True, exclude={*given, "seed"})
    values = {
        name: listed(value) if isinstance(value, list) else shown(value) for name, value in there.items()
    }
    return ", ".join(f"{name} {value}" for name, value in values.items())


def columns_for(
    select: SelectConfig, columns: Sequence[str]
) -> tuple[list[str], list[Literal["high", "low"]]]:
    """The columns that a selection reads, as many as its strategy takes, and the hard end of each.

    Raises
    ------
    UserError
        an unknown strategy, score or column.
    """
    from thresher.scores import columns_of
    from thresher.selection import find

    entry = find(select.strategy)
    return columns_of(entry.score(select.by), select.normalise, columns, entry.several)


def request_of(select: SelectConfig, label: str) -> dict[str, Any]:
    """The arguments of a selection on the score table, in which the label column is `label`."""

    def named(column: str) -> str:
        return "label" if column == label else column

    from thresher.selection import strategies

    known = strategies().get(select.strategy)
    stratify = "label" if known is not None and known.needs_stratify and known.by else None
    protect = [text.partition("=") for text in select.protect]
    return {
        # A stand-in for the share that auto finds.
        "prune": 0.5 if select.prune == "auto" else select.prune,
        "end": select.end,
        "strategy": select.strategy,
        "options": select.options,
        "stratify": stratify if select.stratify is None else named(select.stratify),
        "floor": select.floor,
        "floor_group": ("label", *map(named, select.floor_group)),
        "protect": [f"{named(column)}{equals}{value}" for column, equals, value in protect],
        "seed": select.seed,
    }
