"""Refuse what cannot be recorded, by name: most of it before the training, the rest at its first step."""

from __future__ import annotations

from torch.utils.data import IterableDataset
from transformers import Trainer

from thresher.errors import UserError
from thresher.recording.hf_compat import is_compiled, sharding_of
from thresher.recording.language_models import completion_reason, language_model, name_of_task, trl_trainer
from thresher.recording.model_hooks import embeddings_of
from thresher.recording.step import LOGITS, Step

OTHER_TASKS = (
    "ForMaskedLM",
    "ForConditionalGeneration",
    "ForQuestionAnswering",
    "ForMultipleChoice",
    "ForNextSentencePrediction",
)
WATCHED = "classifiers of sequences and tokens and causal language models can be watched"
OTHER_TRAINERS = {
    "SentenceTransformerTrainer": "it compares the embeddings of texts and has no classes",
    "SparseEncoderTrainer": "it compares the embeddings of texts and has no classes",
    "MultiVectorEncoderTrainer": "it compares the embeddings of texts and has no classes",
}
SHARDED = {
    "DeepSpeed": "DeepSpeed shards the model and scales the loss itself; train with torchrun alone",
    "FSDP": "FSDP shards the model; train with torchrun alone",
    "loading": "the model is sharded over devices as it is loaded; train with torchrun alone",
}


def refuse_unsupported(trainer: Trainer) -> None:
    if not isinstance(trainer, Trainer):
        kind = type(trainer)
        raise UserError(
            f"{kind.__module__.split('.')[0]}.{kind.__name__} is not a transformers.Trainer; give the Trainer itself, and record"
            " any other training loop with th.record"
        )
    checks = (_trainer_reason, _data_reason, _machine_reason, _task_reason)
    if reason := next(filter(None, (check(trainer) for check in checks)), ""):
        raise UserError(f"this Trainer cannot be watched: {reason}")


def loss_reason(trainer: Trainer) -> str:
    """Why the gradient of a row's own loss cannot be known, as far as that shows before a training; "" if it can."""
    if trainer.args.label_smoothing_factor > 0:
        return "with label smoothing the gradient is not that of the row's own label"
    return ""


def vog_reason(trainer: Trainer) -> str:
    """Why gradients at the embeddings cannot be known, as far as that shows before a training; "" if they can."""
    if name := language_model(trainer.model):
        return f"{name} is a language model, of which no gradients are recorded"
    if embeddings_of(trainer.model) is None:
        return f"{type(trainer.model).__name__} has no one layer that is known to be its embeddings"
    return ""


def _trainer_reason(trainer: Trainer) -> str:
    for kind in type(trainer).__mro__:
        if kind.__name__ in OTHER_TRAINERS:
            return f"it is a {kind.__name__}, and {OTHER_TRAINERS[kind.__name__]}; {WATCHED}"
    name = trl_trainer(trainer)
    if name not in ("", "SFTTrainer"):
        return f"it is trl's {name}, whose loss is not that of one target per row; {WATCHED}, and trl's SFTTrainer"
    return ""


def _data_reason(trainer: Trainer) -> str:
    data = trainer.train_dataset
    if data is None:
        return "it has no train_dataset"
    if isinstance(data, dict):
        return f"its train_dataset is a {type(data).__name__} of several datasets; concatenate them"
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
    if is_compiled(trainer.model):
        return "its model went through torch.compile, which hides the gradients from hooks; give the Trainer the model itself"
    if getattr(args.accelerator_config, "dispatch_batches", None):
        return "dispatch_batches sends batches without their rows; set dispatch_batches=False"
    return ""


def _task_reason(trainer: Trainer) -> str:
    model = trainer.model
    name, config = type(model).__name__, getattr(model, "config", None)
    if other := name_of_task(model, OTHER_TASKS):
        built_on = "" if other == name else f", and {name} is one with another name"
        return f"{other} is no classifier and no causal language model{built_on}; {WATCHED}"
    if language_model(model):
        return completion_reason(trainer)
    problem = getattr(config, "problem_type", None)
    if problem == "regression" or getattr(config, "num_labels", None) == 1:
        return f"{name} is a regression (num_labels=1); scores need classes"
    if problem == "multi_label_classification":
        return f"{name} gives several labels to a row (problem_type={problem}); scores need one class per row"
    return ""


def refuse_two_passes(step: Step) -> None:
    """Refuse a training step that calls the model more than once.

    Raises UserError: which logits are those of the rows is not known.
    """
    if step.passes > 1:
        raise UserError(
            "the training step calls the model twice; which logits are the row's is not known, so it cannot be watched"
        )


def refuse_step(step: Step, name: str) -> None:
    """Refuse, before any weight has changed, what can only be checked on a batch."""
    count = len(step.rows)
    refuse_two_passes(step)
    if step.raw_logits is None:
        raise UserError(
            f"{name} gave no {' or '.join(LOGITS)} in the training step; only models that return them by name can be watched"
        )
    if step.logits.shape[:-1] != step.labels.shape:
        raise UserError(
            f"{name} gives logits {tuple(step.logits.shape)} for labels {tuple(step.labels.shape)}; only one label per row or"
            " per token can be watched"
        )
    if step.logits.shape[0] != count:
        raise UserError(f"{name} gives logits of {step.logits.shape[0]} rows for a batch of {count}")
    if step.logits.shape[-1] < 2 or step.labels.is_floating_point():
        raise UserError(
            f"{name} gives logits {tuple(step.logits.shape)} for labels of type {step.labels.dtype}: a regression; scores need"
            " classes"
        )


def embeddings_reason(step: Step, trainer: Trainer) -> str:
    """Why the gradients at the embeddings are not those of the rows of a step; "" if they are."""
    gradient, name = step.embeddings.gradient, type(trainer.model).__name__
    if step.embeddings.calls > 1:
        return f"{name} calls its embeddings {step.embeddings.calls} times for a batch"
    if gradient is None:
        return f"no gradient arrived at the embeddings of {name}"
    if gradient.dim() != 3 or len(gradient) != len(step.rows):
        return f"the embeddings of {name} turn {len(step.rows)} rows into shape {tuple(gradient.shape)}"
    return ""
