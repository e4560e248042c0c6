"""Check the names of loggers in a recipe."""

from __future__ import annotations

from collections.abc import Iterable

from transformers.integrations import get_reporting_integration_callbacks

from thresher.errors import UserError
from thresher.wording import did_you_mean, listed, shown

USUAL = ("tensorboard", "wandb", "mlflow", "comet_ml", "trackio", "clearml", "swanlab")


def check_loggers(names: Iterable[str], setting: str = "train.report_to") -> None:
    """Refuse a logger that transformers does not have, or whose package is not installed; `setting` is what it is called.

    >>> check_loggers([])
    >>> check_loggers(["tensorbord"])
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: train.report_to: 'tensorbord' is no logger of transformers; ...; did you mean 'tensorboard'?
    """
    for name in (name for name in names if name not in ("all", "none")):
        try:
            (callback,) = get_reporting_integration_callbacks([name])
        except ValueError as error:
            raise UserError(
                f"{setting}: '{shown(name)}' is no logger of transformers; there are {listed(USUAL)} and others"
                f"{did_you_mean(name, USUAL)}"
            ) from error
        try:
            callback()
        except (RuntimeError, ImportError) as error:
            raise UserError(f"{setting}: {name} cannot be used: {shown(error, 160)}") from error
