"""Everything thresher needs of transformers, accelerate and torch that they do not promise, one function each.

No other module touches a private name of theirs; `tests/recording/test_private_names.py` checks that, and
`tests/recording/test_hf_compat.py` that each of these still holds in the installed versions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import DataLoader, Dataset, IterableDataset
from torch.utils.hooks import RemovableHandle

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from transformers import Trainer, TrainerCallback, TrainerState, TrainingArguments


def use_one_gpu(arguments: TrainingArguments) -> None:
    """Train on one GPU, however many this process sees.

    Sets `TrainingArguments._n_gpu`, which `n_gpu` only reads. The public way is CUDA_VISIBLE_DEVICES, which counts only before
    torch starts. Without it, a `Trainer` that is not under torchrun splits batches over all GPUs by DataParallel.
    """
    arguments._n_gpu = 1


def sharding_of(trainer: Trainer) -> str | None:
    """What splits the model of a trainer over processes: "DeepSpeed", "FSDP", "loading"; None if it is whole in each.

    Reads `is_deepspeed_enabled`, `is_fsdp_enabled`, `is_fsdp_xla_enabled` and `is_distributed_loading_by_transformers`, which
    `Trainer` sets and does not document. The arguments do not tell, as `accelerate launch` switches both on by environment
    variables. A missing one counts as off: a sharded model would be recorded with wrong gradients instead of refused.
    """
    flags = {
        "is_deepspeed_enabled": "DeepSpeed",
        "is_fsdp_enabled": "FSDP",
        "is_fsdp_xla_enabled": "FSDP",
        "is_distributed_loading_by_transformers": "loading",
    }
    return next((kind for flag, kind in flags.items() if getattr(trainer, flag, False)), None)


def replace_methods(trainer: Trainer, methods: Mapping[str, Callable[..., Any]]) -> dict[str, Any]:
    """Have this trainer call other methods in place of its own; returns what `restore_methods` puts back.

    Sets attributes of the instance, and counts on `Trainer` calling `self.train`, `self.get_train_dataloader` and
    `self.training_step`. The public way, a subclass, is closed for a trainer that somebody else has built. If the training
    loop stopped calling one of them, nothing would be recorded.
    """
    former = {name: vars(trainer)[name] for name in methods if name in vars(trainer)}
    vars(trainer).update(methods)
    return former


def restore_methods(trainer: Trainer, names: Iterable[str], former: Mapping[str, Any]) -> None:
    for name in names:
        vars(trainer).pop(name, None)
    vars(trainer).update(former)


def add_first_callback(trainer: Trainer, callback: TrainerCallback) -> None:
    """Add a callback that is called before all others.

    Inserts into `Trainer.callback_handler.callbacks`; the public `add_callback` appends. Without it, a callback that copies a
    checkpoint as soon as it is saved would copy it without the state of the diet.
    """
    trainer.callback_handler.callbacks.insert(0, callback)


def move_step_count(trainer: Trainer, state: TrainerState, step: int, epoch: float) -> None:
    """Continue counting at a later optimiser step, as if the steps between had been made.

    Writes `TrainerState.global_step` and `epoch`, which callbacks are meant to read, and `Trainer._globalstep_last_logged`, the
    step that the logged mean loss is counted from. There is no public way to skip steps. If the first two were ignored, the
    epochs of a diet would end late; without the third, the first loss logged after a skip would be too small.
    """
    trainer._globalstep_last_logged += step - state.global_step
    state.global_step, state.epoch = step, epoch


def prepare_inputs(trainer: Trainer, batch: dict[str, Any]) -> dict[str, Any]:
    """A batch as the model gets it in a training step, on its device.

    Calls `Trainer._prepare_inputs`, the only place where subclasses change a batch. Without it, rows that a diet scores
    between epochs would not go through what the rows of a training step go through.
    """
    return trainer._prepare_inputs(batch)


def float32_forward(model: nn.Module) -> Callable[..., Any]:
    """The forward pass of a model without the autocast of a training in bfloat16.

    Reads `_original_forward`, where accelerate keeps what it wrapped. The public `unwrap_model(keep_fp32_wrapper=False)` takes
    the autocast off for the rest of the training. Without it, evaluations during a training in bfloat16 would be made in it.
    """
    return getattr(model, "_original_forward", model)


def attention_of(model: nn.Module) -> str | None:
    """The name of the attention implementation of a model of transformers.

    Reads `config._attn_implementation`; there is a public `set_attn_implementation` and nothing to read it by. Without it,
    `measure` would leave every encoder its own attention: correct and slower.
    """
    return getattr(model.config, "_attn_implementation", None)


def is_compiled(model: nn.Module) -> bool:
    """Whether a model, or a part of it, was returned by `torch.compile`.

    Looks for `_orig_mod` of torch's `OptimizedModule` and for what `Module.compile` sets; neither has a public name. Without
    it, such a model would be refused at its first step, by a message that does not say why.
    """
    return any(
        name.endswith("_orig_mod") or getattr(module, "_compiled_call_impl", None) is not None
        for name, module in model.named_modules()
    )


def ask_fused_head(model: nn.Module, name: str) -> list[RemovableHandle]:
    """Have the fused output layer of trl in a model compute one more number per token, until the handle is removed; [] without.

    Adds to the tuple `outputs` in the closure of the forward that `trl.trainer.utils.add_fused_lm_head` puts on a model. The
    public way, to call that again, would put a second forward over one that accelerate has wrapped for mixed precision. If the
    closure had another form, the number would be missing from the output, and so would EL2N.
    """
    for module in model.modules():
        function = vars(module).get("forward")
        while function is not None:
            function = getattr(function, "__func__", function)
            code = getattr(function, "__code__", None)
            if code is not None and "outputs" in code.co_freevars and "fused_lm_head" in code.co_varnames:
                return [_Asked(function.__closure__[code.co_freevars.index("outputs")], name)]
            # accelerate keeps what it wraps, in the closure of an autocast and in an object that is called.
            function = getattr(function, "__wrapped__", None)
    return []


class _Asked(RemovableHandle):
    """Has one more name in the tuple of a closure until it is removed."""

    def __init__(self, cell: Any, name: str) -> None:
        self.cell, self.former = cell, cell.cell_contents
        cell.cell_contents = (*self.former, *([] if name in self.former else [name]))

    def remove(self) -> None:
        self.cell.cell_contents = self.former


def places_before(dataset: Any) -> NDArray[np.int64] | None:
    """The places of the rows of a `datasets.Dataset` in the table that it was filtered or shuffled from; None where it was not.

    Reads `Dataset._indices`. There is no public way to the rows that a filter has left. Without it, rows that `SFTTrainer` moves
    would be named by where it moved them.
    """
    indices = getattr(dataset, "_indices", None)
    return None if indices is None else np.asarray(indices.column(0).to_numpy(), np.int64)


def torch_loader(loader: Any) -> Any:
    """The `DataLoader` that a loader prepared by accelerate iterates over; a plain one is returned as it is.

    Reads `base_dataloader` of accelerate's `DataLoaderAdapter`, which has no public way to its loader. Without it, loaders that
    accelerate wraps (stateful ones) would be refused.
    """
    return getattr(loader, "base_dataloader", loader)


def replace_dataset(loader: DataLoader[Any], dataset: Dataset[Any]) -> None:
    """Have a `DataLoader` read from another dataset of the same length.

    Writes past `DataLoader.__setattr__`, which refuses it because samplers are made for a dataset; a view of the same rows fits
    them. A new loader would need every argument of the old one. If torch kept the dataset elsewhere, row numbers would be
    missing from the first batch, which is refused.
    """
    assert not isinstance(dataset, IterableDataset)
    vars(loader)["dataset"] = dataset


def batch_samplers(loader: Any) -> list[Any]:
    """The samplers that make the batches of a loader: accelerate's shards from the outside in, and last torch's own.

    Follows `batch_sampler` of accelerate's `BatchSamplerShard`. There is no public way to the sampler that
    yields rows. If a shard kept its batch sampler elsewhere, a diet would refuse the loader.
    """
    samplers = [torch_loader(loader).batch_sampler]
    while hasattr(samplers[-1], "batch_sampler"):
        samplers.append(samplers[-1].batch_sampler)
    return samplers


def replace_row_sampler(samplers: list[Any], sampler: Iterable[int]) -> None:
    """Have the innermost of `batch_samplers` make its batches from other rows from the next epoch on.

    Writes `sampler` of torch's `BatchSampler`, which reads it when an epoch begins. A new batch sampler would have to be put
    into the loader, which torch refuses. If it were copied at construction, a diet would train on all rows.
    """
    samplers[-1].sampler = sampler


def set_batch_size(samplers: Iterable[Any], size: int) -> None:
    """Make batches of another size from the next epoch on, `size` rows for all processes that share a batch.

    Writes `batch_size` of torch's `BatchSampler` and of accelerate's shards, which both read it when an epoch begins. There is
    no public way to another size during a training. If it were copied at construction, `same_steps` would have no effect.
    """
    for sampler in samplers:
        sampler.batch_size = size


def processes_per_batch(samplers: list[Any]) -> int:
    """How many processes cut up each batch: more than one only with accelerate's `split_batches`.

    Reads `split_batches` and `num_processes` of `BatchSamplerShard`. Without them, batches of a diet with `same_steps` could
    not be cut into equal shares.
    """
    return samplers[0].num_processes if getattr(samplers[0], "split_batches", False) else 1


def torch_optimizer(optimizer: Any) -> Optimizer:
    """The optimizer of torch in one prepared by accelerate.

    Reads `AcceleratedOptimizer.optimizer`. `AcceleratedOptimizer.state` can be read and not be emptied. Without it, a diet that
    restarts would keep the momentum of the training before.
    """
    return getattr(optimizer, "optimizer", optimizer)
