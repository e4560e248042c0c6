"""Whether the labels that are recorded are those that the loss compares the logits with."""

from __future__ import annotations

import torch
from torch import Tensor
from transformers import Trainer

from thresher.errors import UserError
from thresher.recording.gradients import gradient_at_logits, is_cross_entropy, share_of_labels_raised
from thresher.recording.step import IGNORED, Step

# Less than this share of labels whose own logit the loss raises most: it compares the logits with other labels.
LEAST_RAISED = 0.5


def refuse_other_labels(step: Step, trainer: Trainer) -> None:
    """Refuse a training whose loss does not compare each logit with the label that stands beside it in the batch.

    So do language models behind another name, whose labels are those of the next position. What tells is the gradient at the
    logits; where none is known, the mean cross-entropy must be the loss of the trainer.
    """
    if is_cross_entropy(step):
        return
    raised = share_of_labels_raised(step)
    mean = mean_cross_entropy(step)
    if raised is not None:
        fits = raised >= LEAST_RAISED
    else:
        fits = gradient_at_logits(step) is not None or step.loss is None or is_loss(mean, step, trainer)
    if not fits:
        raise UserError(
            f"the loss of {type(trainer.model).__name__} does not compare its logits with the labels beside them (its loss is"
            f" {float(step.loss if step.loss is not None else torch.nan):.4g}, the mean cross-entropy of the batch"
            f" {float(mean):.4g}); is it a language model? Only sequence and token classifiers can be watched"
        )


def mean_cross_entropy(step: Step) -> Tensor:
    """The mean over the labels of a batch, as it would be recorded."""
    labels = step.labels.flatten().long()
    return torch.nn.functional.cross_entropy(step.logits.float().flatten(0, -2), labels, ignore_index=IGNORED)


def is_loss(mean: Tensor, step: Step, trainer: Trainer, tolerance: float = 0.02) -> bool:
    """Whether the loss of a step is this mean, or the part of it that an accumulation over several batches makes of it."""
    assert step.loss is not None
    batches = trainer.args.gradient_accumulation_steps
    return any(
        torch.isclose(step.loss.float() * times, mean, rtol=tolerance) for times in {1, batches, 1 / batches}
    )
