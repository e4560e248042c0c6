"""Put a `Trainer` on a diet: it trains on fewer rows from epoch to epoch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import Trainer

    from thresher.training.diets.callback import DietCallback


def prune_while_training(
    trainer: Trainer,
    method: str = "infobatch",
    *,
    score: str | Callable[[Any], Any] | None = None,
    options: Mapping[str, Any] | None = None,
) -> DietCallback:
    """Let a trainer leave out rows from epoch to epoch, by what it has learned of them so far.

    Call it before `trainer.train()`; nothing else changes. The learning rate follows the share of the epochs that is done, so
    it ends where it ends without a diet. An interrupted training resumes from its checkpoint as any other. A second call for
    the same trainer replaces the first; until then each further training is on the diet, as every trial of a search is.

    Parameters
    ----------
    trainer
        a `transformers.Trainer`, or one derived from it, of a classifier.
    method
        "infobatch", "data-diet" or "iterative"; their options are named in `thresher.training.diets`.
    score
        what rows are ranked by: "loss", "el2n", or a function of a `Step` that gives a number per row, high for hard rows;
        `thresher.training.diets.score.joint` makes one for a model with several heads. By default the method's own.
    options
        of the method: r, full; prune, after, every, skip, by_class; prune, cuts, after, every, restart, by_class. Every method
        takes `same_steps`: True for as many steps as without a diet, of smaller batches; weights then have a mean of 1.

    Returns
    -------
    a callback; after the training its `facts()` returns the rows trained on and the steps, per epoch.

    Raises
    ------
    UserError
        an unknown method, option or score, or a trainer with rows that cannot be followed.
    """
    from thresher.training.diets.put_on_diet import put_on_diet

    return put_on_diet(trainer, method, score, dict(options or {}))
