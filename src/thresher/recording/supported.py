"""Refuse what cannot be recorded, by name: most of it before the training, the rest at its first step."""

from __future__ import annotations

from torch.utils.data import IterableDataset
from transformers import Trainer

from thresher.errors import UserError
from thresher.recording.hf_compat import sharding_of
from thresher.recording.model_hooks import classifier_layer, embeddings_of
from thresher.recording.step import Step

OTHER_TASKS = (
    "ForCausalLM",
    "LMHeadModel",
    "ForMaskedLM",
    "ForConditionalGeneration",
    "ForQuestionAnswering",
    "ForMultipleChoice",
    "ForNextSentencePrediction",
)
SHARDED = {
    "DeepSpeed": "DeepSpeed shards the model and scales the loss itself; train with torchrun alone",
    "FSDP": "FSDP shards the model; train with torchrun alone",
    "loading": "the model is sharded over devices as it is loaded; train with torchrun alone",
}


def refuse_unsupported(trainer: Trainer, vog: bool) -> None:
    """Refuse a trainer that cannot be recorded.

    Raises
    ------
    UserError
        one line that names what it is and what to do.
    """
    if not hasattr(trainer, "train_dataset"):
        raise UserError(f"{type(trainer).__name__} is not a transformers.Trainer; give the trainer itself")
    reason = _data_reason(trainer) or _machine_reason(trainer) or _task_reason(trainer)
    if reason or (vog and (reason := _vog_reason(trainer))):
        raise UserError(f"this Trainer cannot be watched: {reason}")


def _data_reason(trainer: Trainer) -> str:
    data = trainer.train_dataset
    if data is None:
        return "it has no train_dataset"
    if isinstance(data, IterableDataset) or not hasattr(data, "__len__") or not hasattr(data, "__getitem__"):
        return f"its train_dataset ({type(data).__name__}) is iterable and its rows have no numbers; give a map-style one"
    return "" if len(data) else "its train_dataset is empty"


def _machine_reason(trainer: Trainer) -> str:
    args, sharding = trainer.args, sharding_of(trainer)
    if sharding is not None:
        return SHARDED[sharding]
    if args.n_gpu > 1:
        return f"DataParallel splits the batch over {args.n_gpu} GPUs in one process; start it with torchrun"
    if args.torch_compile:
        return "torch_compile hides the gradients from hooks; set torch_compile=False"
    if getattr(args.accelerator_config, "dispatch_batches", None):
        return "dispatch_batches sends batches without their rows; set dispatch_batches=False"
    return ""


def _task_reason(trainer: Trainer) -> str:
    model = trainer.model
    name, config = type(model).__name__, getattr(model, "config", None)
    if any(task in name for task in OTHER_TASKS):
        return f"{name} is not a classifier; sequence and token classifiers can be watched"
    problem = getattr(config, "problem_type", None)
    if problem == "regression" or getattr(config, "num_labels", None) == 1:
        return f"{name} is a regression (num_labels=1); scores need classes"
    if problem == "multi_label_classification":
        return f"{name} gives several labels to a row (problem_type={problem}); scores need one class per row"
    return ""


def _vog_reason(trainer: Trainer) -> str:
    if trainer.args.label_smoothing_factor > 0:
        return "with label smoothing the gradient is not that of the row's own label; watch with vog=False"
    layer, name = embeddings_of(trainer.model), type(trainer.model).__name__
    if layer is None:
        return f"no embedding layer was found in {name}; watch with vog=False"
    if not any(parameter.requires_grad for parameter in layer.parameters()):
        return "its embeddings are frozen, so no gradient reaches them; watch with vog=False"
    if classifier_layer(trainer.model) is None:
        return f"no linear classification layer in {name}; watch with vog=False"
    return ""


def refuse_two_passes(step: Step) -> None:
    """Refuse a training step that calls the model more than once.

    Raises
    ------
    UserError
        which logits are those of the rows is not known.
    """
    if step.passes > 1:
        raise UserError(
            "the training step calls the model twice; which logits are the row's is not known, so it cannot be watched"
        )


def refuse_step(step: Step, trainer: Trainer, vog: bool) -> None:
    """Refuse, before any weight has changed, what can only be checked on a batch.

    Raises
    ------
    UserError
        one line that names the shapes; logits that are not one per row or token, or no gradient per row at the embeddings.
    """
    name, count = type(trainer.model).__name__, len(step.rows)
    refuse_two_passes(step)
    if step.named("logits") is None:
        raise UserError(
            f"{name} gave no `logits` in the training step; only models whose output holds logits can be watched"
        )
    if step.logits.shape[:-1] != step.labels.shape:
        raise UserError(
            f"{name} gives logits {tuple(step.logits.shape)} for labels {tuple(step.labels.shape)}; only one label per row or"
            " per token can be watched"
        )
    if step.logits.shape[0] != count:
        raise UserError(f"{name} gives logits of {step.logits.shape[0]} rows for a batch of {count}")
    if not vog:
        return
    gradient = step.embeddings.gradient
    if gradient is None:
        raise UserError(f"no gradient arrived at the embeddings of {name}; watch with vog=False")
    if gradient.dim() != 3 or len(gradient) != count:
        raise UserError(
            f"the embeddings of {name} turn {count} rows into shape {tuple(gradient.shape)}; watch with vog=False"
        )
