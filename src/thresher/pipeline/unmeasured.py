"""Refuse what cannot be computed of the signals that a run will have, before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Iterator

from thresher.config import SIGNALS, RunConfig, TrainConfig
from thresher.errors import UserError
from thresher.pipeline.proxy import has_proxy, proxy_config
from thresher.training.recipe import steps_of, with_defaults
from thresher.training.saved_steps import checkpoint_steps, evaluation_steps
from thresher.training.words import are_wanted

# Checkpoints that a window of VoG takes, of which it leaves two.
FEWEST = {"all": 2, "early": 4, "late": 3}
LONGER = "train for more steps (--epochs, --batch-size)"
# Signals that only rows with labels have, or only a Trainer of such rows.
OF_CLASSES = (
    "features",
    "word_margin",
    "held_out_logits",
    "gradient_sq_mean",
    "gradient_mean_sq",
)


def refuse_unmeasured(config: RunConfig, n_rows: int) -> None:
    """Refuse a score whose signals are not going to be measured, and an epoch that no training will reach, before training.

    `n_rows` rows are trained on, which with the size of a batch gives the number of steps.

    >>> from thresher.config import DataConfig, MeasureConfig, SelectConfig
    >>> data = DataConfig(train="train.jsonl", text=("text",), label="label")
    >>> few = MeasureConfig(signals=())
    >>> refuse_unmeasured(RunConfig(data=data, measure=few, select=SelectConfig(by="vog")), 1000)
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: score vog needs gradient_gram, which measure.signals leaves out; add it, or give another --by
    """
    from thresher.pipeline.score import refuse_checkpoints, refuse_epochs
    from thresher.selection import find

    scorer = proxy_config(config, n_rows) if has_proxy(config) else config
    train = with_defaults(scorer.model, scorer.train, n_rows)
    if train.max_steps is None:
        refuse_epochs(config.score, train.epochs)
    refuse_checkpoints(config.score, _checkpoints(config, train, n_rows))
    entry = find(config.select.strategy)
    if not entry.reads_score:
        return
    of_texts = config.data.task == "generate"
    without = (
        _of_texts(config, n_rows) if of_texts else _of_labels(config, scorer.model.freeze, train, n_rows)
    )
    for name in (one.strip() for one in entry.score(config.select.by).split(",")):
        for signal in (one for one in _needs(name, config) if one in without):
            raise UserError(f"score {name} needs {signal}, which {without[signal]}, or give another --by")


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


def _options(config: RunConfig, name: str) -> dict[str, object]:
    from thresher.scores import check_options

    return check_options({one: dict(given) for one, given in config.score.options.items()})[name]


def _of_labels(config: RunConfig, frozen: bool, train: TrainConfig, n_rows: int) -> dict[str, str]:
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
    without |= _too_few_checkpoints(config, train, n_rows)
    steps, of_epoch = steps_of(train, n_rows), math.ceil(n_rows / train.batch_size)
    if (found := len(evaluation_steps(train, steps, of_epoch))) < 2:
        remedy = LONGER if steps < 2 else "ask for more (--set train.forgetting_evaluations=20)"
        without["correct"] = f"takes two evaluations during training, and this one has {found}; {remedy}"
    return without


def _of_texts(config: RunConfig, n_rows: int) -> dict[str, str]:
    """The same for rows whose target is a text: without gradients, what is recorded in each epoch of the training."""
    asked = config.measure.signals
    without = {
        name: f"is measured with --set measure.signals={name}; add it"
        for name in ("gradient_gram", "encoder_sq_norm", "classifier_sq_norm")
        if name not in asked
    }
    without |= dict.fromkeys(
        OF_CLASSES, "rows whose target is a text do not have; choose a score of completions"
    )
    if asked:
        return _too_few_checkpoints(config, config.train, n_rows) | without
    if _checkpoints(config, config.train, n_rows) < 2:
        without["correct"] = "takes two epochs, and this training has one; train longer (--epochs 2)"
    return without


def _checkpoints(config: RunConfig, train: TrainConfig, n_rows: int) -> int:
    """How many checkpoints the scores will see; of recorded completions these are the epochs."""
    steps = steps_of(train, n_rows)
    if config.data.task == "generate" and not config.measure.signals:
        return math.ceil(steps / math.ceil(n_rows / train.batch_size))
    return len(checkpoint_steps(train, steps))


def _too_few_checkpoints(config: RunConfig, train: TrainConfig, n_rows: int) -> dict[str, str]:
    """`gradient_gram` with why VoG cannot be computed; empty if it can."""
    steps, count = steps_of(train, n_rows), _checkpoints(config, train, n_rows)
    least = FEWEST.get(str(_options(config, "vog")["window"]), 2)
    if count >= least:
        return {}
    remedy = LONGER if steps < least else "save more (--checkpoints)"
    of = "1 step" if steps == 1 else f"{steps:,} steps"
    return {"gradient_gram": f"takes {least} checkpoints, and this training of {of} has {count}; {remedy}"}
