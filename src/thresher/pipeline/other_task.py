"""Refuse settings of the other kind of rows, which would have no effect on these."""

from __future__ import annotations

from thresher.config import RunConfig
from thresher.errors import UserError
from thresher.settings import setting

# The options of the command line; other settings are named by `--set`.
OF_TEXTS = {
    "generate.lora": "--lora",
    "generate.alpha": "",
    "generate.targets": "",
    "generate.lr": "--lr",
    "generate.template": "",
    "compare.loss_margin": "--loss-margin",
}
OF_LABELS = {
    "model.freeze": "--freeze",
    "model.pooling": "",
    "model.head_hidden": "",
    "model.dropout": "",
    "proxy.encoder": "--proxy",
    "proxy.trainings": "",
    "train.encoder_lr": "--encoder-lr",
    "train.head_lr": "--head-lr",
    "train.null_epochs": "",
    "train.runs": "--runs",
    "train.diet": "--diet",
    "measure.features": "--features",
    "measure.words": "--words",
    "how_much.margin": "--margin",
}


def refuse_settings_of_texts(config: RunConfig) -> None:
    """Refuse what only a language model has, for rows with labels.

    >>> from thresher.config import DataConfig, GenerateConfig
    >>> data = DataConfig(train="train.jsonl", text=("text",), label="label")
    >>> refuse_settings_of_texts(RunConfig(data=data, generate=GenerateConfig(lora=4)))
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: --lora is for completions (--task generate); rows with labels are trained without it
    """
    for name in _given(config, OF_TEXTS):
        raise UserError(
            f"{name} is for completions (--task generate); rows with labels are trained without it"
        )


def refuse_settings_of_labels(config: RunConfig) -> None:
    """Refuse what only a classifier has, for rows whose target is a text."""
    for name in _given(config, OF_LABELS):
        instead = "; --loss-margin is its margin, in nats per token" if name == "--margin" else ""
        raise UserError(f"{name} is for rows with labels; a language model is fine-tuned without it{instead}")
    if config.train.folds not in (0, "auto"):
        raise UserError("--folds is for rows with labels; a language model is fine-tuned without it")


def _given(config: RunConfig, places: dict[str, str]) -> list[str]:
    """The settings among these that differ from their defaults, as a user names them."""
    found = []
    for place, flag in places.items():
        section, _, name = place.partition(".")
        value, field = getattr(getattr(config, section), name), setting(place)
        if field is not None and value is not False and value != field.default:
            found.append(flag or f"--set {place}")
    return found
