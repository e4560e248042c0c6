"""Put a trainer on a diet, with everything about it checked first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from transformers import Trainer

from thresher.errors import UserError
from thresher.recording.language_models import language_model
from thresher.recording.supported import refuse_unsupported
from thresher.recording.trainer_hooks import Observer, hooks_of
from thresher.training.diets import check_options, find
from thresher.training.diets.callback import DietCallback
from thresher.training.diets.score import SCORES, RowScore


def put_on_diet(
    trainer: Trainer, method: str, score: RowScore | str | None, options: Mapping[str, Any]
) -> DietCallback:
    """The callback that puts the trainings of a trainer on a diet; an earlier diet of the same trainer is replaced.

    Raises UserError: an unknown method, option or score, or a trainer with rows that cannot be followed.
    """
    checked = check_options(method, options)
    refuse_unsupported(trainer)
    if name := language_model(trainer.model):
        raise UserError(
            f"this Trainer cannot be put on a diet: {name} is not a classifier; select rows of its recording instead"
        )
    chosen = score or find(method).score
    if isinstance(chosen, str) and chosen not in SCORES:
        raise UserError(f"unknown score '{chosen}' for a diet; there are {', '.join(SCORES)}, or a function")
    # Older versions of transformers have no such setting.
    if getattr(trainer.args, "train_sampling_strategy", None) == "batch_rebalance":
        raise UserError(
            "this Trainer cannot be put on a diet: batch_rebalance makes batches by itself, once for all"
        )
    if trainer.args.dataloader_drop_last:
        raise UserError(
            "this Trainer cannot be put on a diet: with dataloader_drop_last the rows of the last batch are left out, whichever"
            " they are; set it to False"
        )
    diet = DietCallback(trainer, method, checked, SCORES[chosen] if isinstance(chosen, str) else chosen)
    # First: other hooks on the classifier see the weighted gradient, and callbacks that copy a checkpoint find the diet's state.
    hooks_of(trainer).attach(
        "diet", Observer(diet.on_step, diet, (diet.hook_weights,), diet.use_epoch_rows, first=True)
    )
    return diet
