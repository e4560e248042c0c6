"""Put a `Trainer` on a diet: it trains on fewer rows from epoch to epoch."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from thresher.training.diet.run import Dieting


def prune_while_training(
    trainer: Any,
    method: str = "infobatch",
    *,
    score: str | Callable[[Any], Any] | None = None,
    **options: Any,
) -> Dieting:
    """Let a trainer leave out rows from epoch to epoch, by what it learns of them on the way.

    Call it before `trainer.train()`; nothing else changes. The learning rate follows the share of the epochs that is done, so
    it ends where it ends without a diet. A training that is cut resumes from its checkpoint as any other.

    Parameters
    ----------
    trainer
        a `transformers.Trainer`, or one derived from it, of a classifier.
    method
        "infobatch", "data-diet" or "iterative"; their options are named in `thresher.training.diet`.
    score
        what rows are ranked by: "loss", "el2n", or a function of a `Step` that gives a number per row, high for hard rows;
        `thresher.training.diet.score.joint` makes one for a model with several heads. By default the method's own.
    options
        of the method: r, full; prune, after, every, skip, by_class; prune, cuts, after, every, restart, by_class. Every method
        takes `same_steps=True`: as many steps as without a diet, of smaller batches; weights then have a mean of 1.

    Returns
    -------
    an object whose `facts()` tells after the training, per epoch, the rows trained on and the steps.

    Raises
    ------
    UserError
        an unknown method, option or score, or a trainer whose rows cannot be followed.
    """
    from thresher.training.diet.run import put_on_diet

    return put_on_diet(trainer, method, score, options)
