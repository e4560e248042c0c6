"""The recorder of a language model: its rows are known by their completion tokens, which are reduced in the forward pass."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from thresher.errors import UserError
from thresher.progress import say
from thresher.recording.completion_signals import completion_signals
from thresher.recording.completion_tokens import completion_tokens
from thresher.recording.hf_compat import ask_fused_head
from thresher.recording.language_models import other_loss
from thresher.recording.recorder import Recorder
from thresher.recording.step import Step
from thresher.recording.supported import refuse_two_passes
from thresher.recording.trainer_hooks import Observer, TrainerHooks

# How far the trainer's loss may be from what is recorded, relatively: both come from the same numbers.
TOLERANCE = 1e-3


class CompletionRecorder(Recorder):
    """Records the completion tokens of each row, as `completion_signals`; no gradients."""

    def observer(self) -> Observer:
        """Reads the output of the model in the forward pass: logits of a vocabulary are not kept until after the backward one."""
        return Observer(self.on_step, self, (hook_fused_head,), reduce=self.reduce)

    def reduce(self, step: Step) -> None:
        """Keep what the tokens of the batch gave in the pass that the loss is made from."""
        if not torch.is_grad_enabled():
            step.passes -= 1
        elif not self.failed:
            with self.guarded("step"):
                step.completion = completion_tokens(step)
                # The experts of a mixture add a loss of their own.
                step.has_aux_loss = step.named("aux_loss") is not None

    def signals(self, step: Step) -> dict[str, Tensor]:
        name = type(self.trainer.model).__name__
        refuse_two_passes(step)
        if step.completion is None:
            raise UserError(
                f"{name} gave no logits in the training step, so what its tokens got cannot be read; with Liger kernels set"
                " liger_kernel_config={'fused_linear_cross_entropy': False}"
            )
        if self.to_check():
            self.check_loss(step)
        return completion_signals(step)

    def check_loss(self, step: Step) -> None:
        """Refuse a loss that is not made from what is recorded; say so where the settings name another loss."""
        reason = other_loss(self.trainer)
        if not self.checked and reason:
            say(
                f"watch: the training minimises another loss ({reason}); recorded is the cross-entropy of the tokens"
            )
        if not self.checked and step.completion is not None and step.completion.error_norm is None:
            say(
                "watch: the fused output layer of this trl gives no sum of squared probabilities; EL2N is left out"
            )
        self.checked = True
        if not reason:
            refuse_other_loss(step, self)


def refuse_other_loss(step: Step, recorder: Recorder) -> None:
    """Refuse a training whose loss is not the cross-entropy of the tokens that is recorded.

    The trainer divides their sum by the number of tokens of the batch, or of the accumulated batches of all processes.
    """
    tokens, trainer = step.completion, recorder.trainer
    assert tokens is not None
    if step.loss is None or not len(tokens.row):
        return
    total, loss = -tokens.log_probability.double().sum(), step.loss.double()
    batches, processes = trainer.args.gradient_accumulation_steps, trainer.args.world_size
    divided: list[float] = [len(tokens.row) * part for part in range(1, batches + 1)]
    if step.num_items is not None:
        divided += [float(step.num_items), float(step.num_items) / processes]
    fits = any(abs(total / by - loss) <= TOLERANCE * loss.abs() for by in divided)
    if fits or step.has_aux_loss or not loss.isfinite():
        return
    raise UserError(
        f"the loss of {type(trainer.model).__name__} is not the mean cross-entropy of its completion tokens (its loss is"
        f" {float(loss):.4g}, the mean of the batch {float(total / len(tokens.row)):.4g}); another loss, or labels that are"
        " shifted before, cannot be watched"
    )


def hook_fused_head(model: nn.Module, hooks: TrainerHooks) -> list[RemovableHandle]:
    """Have trl's fused output layer, where the model has one, also give the sum of squared probabilities."""
    return ask_fused_head(model, "log_sum_sq_probs")
