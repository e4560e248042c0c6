"""Turn the settings of a selection into a request on the score table."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import polars as pl

from thresher.config import SIGNALS, RunConfig, SelectConfig, TrainConfig
from thresher.errors import UserError
from thresher.pipeline.proxy import has_proxy, proxy_config
from thresher.rows import Rows
from thresher.run import Run
from thresher.training.recipe import steps_of, with_defaults
from thresher.training.saved_steps import checkpoint_steps, evaluation_steps
from thresher.training.words import are_wanted
from thresher.wording import listed, shown

# Checkpoints that a window of VoG takes, of which it leaves two.
_FEWEST = {"all": 2, "early": 4, "late": 3}


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


def refuse_unmeasured(config: RunConfig, n_rows: int) -> None:
    """Refuse a score whose signals are not going to be measured, and an epoch that no training will reach, before training.

    `n_rows` rows are trained on, which with the size of a batch gives the number of steps.

    Raises
    ------
    UserError
        one line that names the score, what it needs, and the setting that gives it.

    >>> from thresher.config import DataConfig, MeasureConfig
    >>> data = DataConfig(train="train.jsonl", text=("text",), label="label")
    >>> few = MeasureConfig(signals=())
    >>> refuse_unmeasured(RunConfig(data=data, measure=few, select=SelectConfig(by="vog")), 1000)
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: score vog needs gradient_gram, which measure.signals leaves out; add it, or give another --by
    """
    from thresher.pipeline.score import refuse_checkpoints, refuse_epochs
    from thresher.selection import find

    if config.data.task == "generate":
        return
    scorer = proxy_config(config) if has_proxy(config) else config
    train = with_defaults(scorer.model, scorer.train, n_rows)
    if train.max_steps is None:
        refuse_epochs(config.score, train.epochs)
    refuse_checkpoints(config.score, len(checkpoint_steps(train, steps_of(train, n_rows))))
    entry = find(config.select.strategy)
    if not entry.reads_score:
        return
    without = _unmeasured(config, scorer.model.freeze, train, n_rows)
    for name in (one.strip() for one in entry.score(config.select.by).split(",")):
        for signal in (one for one in _needs(name, config) if one in without):
            raise UserError(f"score {name} needs {signal}, which {without[signal]}, or give another --by")


def refuse_to_keep_all(select: SelectConfig, rows: Rows) -> None:
    """Refuse a selection that can drop none of the rows, before anything is trained.

    Raises
    ------
    UserError
        the share is less than a row, or floors and protected rows keep every row.
    """
    table, n = rows.table, len(rows)
    if select.prune != "auto" and round((1 - select.prune) * n) == n:
        raise UserError(
            f"prune {select.prune:g} of {n:,} rows is less than a row, so none would be dropped; prune more"
        )
    kept = np.zeros(n, np.bool_)
    for column, _, value in (text.partition("=") for text in select.protect):
        if column in table.columns:
            kept |= (table[column] == value).to_numpy()
    for column in (rows.label, *select.floor_group):
        kept |= table.select(few=pl.len().over(column) <= select.floor)["few"].to_numpy()
    if kept.all():
        raise UserError(
            f"floors and protected rows keep all {n:,} rows, so none would be dropped; lower --floor, or protect fewer"
        )


def _needs(name: str, config: RunConfig) -> Iterator[str]:
    """The signals that a score, or the score of a column, is made from; none of a name that is no score."""
    from thresher.scores import scores
    from thresher.scores.registry import FORMS

    known = scores()
    form = next((form for form in FORMS if name.endswith(form)), "")
    entry = known.get(name) or known.get(name.removesuffix(form))
    if entry is None:
        return
    yield from entry.needs
    if entry.made_of:
        for part in entry.made_of(**_options(config, entry.name)):
            yield from _needs(part, config)


def _options(config: RunConfig, name: str) -> dict[str, Any]:
    """The options of a score, with their defaults."""
    from thresher.scores import check_options

    return check_options({one: dict(given) for one, given in config.score.options.items()})[name]


def _unmeasured(config: RunConfig, frozen: bool, train: TrainConfig, n_rows: int) -> dict[str, str]:
    """The signals that a run will not have, each with why and the remedy; `train`: the recipe of the run or its proxy."""
    from thresher.scores.registry import OF_TEXTS

    left_out = [name for name in SIGNALS if name not in config.measure.signals]
    without: dict[str, str] = dict.fromkeys(left_out, "measure.signals leaves out; add it")
    without |= dict.fromkeys(
        ("gradient_sq_mean", "gradient_mean_sq"), "is recorded of a Trainer by thresher.watch; record one"
    )
    without |= dict.fromkeys(OF_TEXTS, "is measured of completions (--task generate); take them")
    if not config.measure.features and not frozen:
        without["features"] = "is measured with --features; add it"
    if not are_wanted(config, config.measure):
        without["word_margin"] = "is measured with --words; add it"
    if train.folds == 0 or (train.folds == "auto" and not frozen):
        without["held_out_logits"] = "comes from cross-validation; add --folds 5"
    steps, of_epoch = steps_of(train, n_rows), math.ceil(n_rows / train.batch_size)
    more = "train for more steps (--epochs, --batch-size)"
    count, least = len(checkpoint_steps(train, steps)), _FEWEST.get(str(_options(config, "vog")["window"]), 2)
    if count < least:
        remedy = more if steps < least else "save more (--checkpoints)"
        without["gradient_gram"] = (
            f"takes {least} checkpoints, and this training of {_steps(steps)} has {count}; {remedy}"
        )
    if (found := len(evaluation_steps(train, steps, of_epoch))) < 2:
        remedy = more if steps < 2 else "ask for more (--set train.forgetting_evaluations=20)"
        without["correct"] = f"takes two evaluations during training, and this one has {found}; {remedy}"
    return without


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count:,} steps"


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
