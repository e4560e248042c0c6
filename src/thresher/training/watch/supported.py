"""What cannot be watched is refused by name, before the training starts."""

from __future__ import annotations

from typing import Any

from torch.utils.data import IterableDataset

from thresher.errors import UserError
from thresher.training.watch.flow import classifier_layer, embeddings_of

OTHER_TASKS = (
    "ForCausalLM",
    "LMHeadModel",
    "ForMaskedLM",
    "ForConditionalGeneration",
    "ForQuestionAnswering",
    "ForMultipleChoice",
    "ForNextSentencePrediction",
)


def refuse_unsupported(trainer: Any, vog: bool) -> None:
    """Refuse a trainer that cannot be watched.

    Raises
    ------
    UserError
        one line that names what it is and what to do.
    """
    if not hasattr(trainer, "train_dataset"):
        raise UserError(f"{type(trainer).__name__} is no transformers.Trainer; give the trainer itself")
    reason = (
        _of_data(trainer) or _of_machine(trainer) or _of_task(trainer) or (_of_vog(trainer) if vog else "")
    )
    if reason:
        raise UserError(f"this Trainer cannot be watched: {reason}")


def _of_data(trainer: Any) -> str:
    data = trainer.train_dataset
    if data is None:
        return "it has no train_dataset"
    if isinstance(data, IterableDataset) or not hasattr(data, "__len__") or not hasattr(data, "__getitem__"):
        return f"its train_dataset ({type(data).__name__}) is iterable and its rows have no numbers; give a map-style one"
    if len(data) == 0:
        return "its train_dataset is empty"
    return ""


def _of_machine(trainer: Any) -> str:
    args = trainer.args
    if getattr(trainer, "is_deepspeed_enabled", False):
        return "DeepSpeed shards the model and scales the loss itself; train with torchrun alone"
    if getattr(trainer, "is_fsdp_enabled", False) or getattr(trainer, "is_fsdp_xla_enabled", False):
        return "FSDP shards the model; train with torchrun alone"
    if getattr(trainer, "is_distributed_loading_by_transformers", False):
        return "the model is sharded over devices as it is loaded; train with torchrun alone"
    if args.n_gpu > 1:
        return f"DataParallel splits the batch over {args.n_gpu} GPUs in one process; start it with torchrun"
    if args.torch_compile:
        return "torch_compile hides the gradients from hooks; set torch_compile=False"
    if getattr(args.accelerator_config, "dispatch_batches", None):
        return "dispatch_batches sends batches without their rows; set dispatch_batches=False"
    return ""


def _of_task(trainer: Any) -> str:
    model = trainer.model
    name, config = type(model).__name__, getattr(model, "config", None)
    if any(task in name for task in OTHER_TASKS):
        return f"{name} is no classifier; there are sequence and token classification"
    problem = getattr(config, "problem_type", None)
    if problem == "regression" or getattr(config, "num_labels", None) == 1:
        return f"{name} is a regression (num_labels=1); scores need classes"
    if problem == "multi_label_classification":
        return f"{name} gives several labels to a row (problem_type={problem}); scores need one class per row"
    return ""


def _of_vog(trainer: Any) -> str:
    if trainer.args.label_smoothing_factor > 0:
        return "with label smoothing the gradient is not that of the row's own label; watch with vog=False"
    layer = embeddings_of(trainer.model)
    if layer is None:
        return f"no embedding layer was found in {type(trainer.model).__name__}; watch with vog=False"
    if not any(parameter.requires_grad for parameter in layer.parameters()):
        return "its embeddings are frozen, so no gradient reaches them; watch with vog=False"
    if classifier_layer(trainer.model) is None:
        return f"no linear classification layer in {type(trainer.model).__name__}; watch with vog=False"
    return ""
