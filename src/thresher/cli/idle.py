"""Refuse options that were given and would have no effect."""

from __future__ import annotations

from collections.abc import Collection

from thresher.config import RunConfig
from thresher.errors import UserError

OF_LABELS = {
    "data.text": "--text",
    "data.label": "--label",
    "data.skip_unseen_labels": "--skip-unseen-labels",
}
OF_SCORES = {"select.by": "--by", "select.end": "--end", "select.normalise": "--normalise"}


def refuse_idle(given: Collection[str], config: RunConfig) -> None:
    """Refuse an option that has no effect with the others; `given` are the places of the options of a command.

    >>> from thresher.config import DataConfig, SelectConfig
    >>> data = DataConfig(train="train.jsonl", text=("text",), label="label")
    >>> refuse_idle(["select.by"], RunConfig(data=data, select=SelectConfig(strategy="random", by="el2n")))
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: --by has no effect on --strategy random, which reads no score; leave it out
    """
    if "train.encoder_lr" in given and config.model.freeze:
        raise UserError("--encoder-lr has no effect on a frozen encoder; leave it out, or --freeze")
    if config.data.task == "generate":
        for place, flag in OF_LABELS.items():
            if place in given:
                raise UserError(
                    f"{flag} is for rows with labels; the columns of completions are --prompt and --completion, or --messages"
                )
    if config.select.strategy == "random":
        for place, flag in OF_SCORES.items():
            if place in given:
                raise UserError(
                    f"{flag} has no effect on --strategy random, which reads no score; leave it out"
                )
