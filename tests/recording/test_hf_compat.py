"""Each function of `hf_compat` holds in the installed transformers, accelerate and torch.

`make test-transformers` runs this with the oldest and the newest transformers that pyproject.toml allows.
"""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate.data_loader import prepare_data_loader
from datasets import Dataset
from torch import nn
from torch.utils.data import DataLoader
from transformers import Trainer, TrainerCallback, TrainingArguments
from transformers.trainer_utils import set_seed

import tiny_language as language
import tiny_trainers as make
from thresher.recording import hf_compat


def trainer_in(folder: Path, of: type[Trainer] = Trainer, **arguments: Any) -> Trainer:
    return make.trainer_of(
        make.sequence_model("bert"),
        make.sequence_rows("bert"),
        folder,
        of=of,
        num_train_epochs=1,
        **arguments,
    )


def test_every_function_has_a_test_here():
    functions = [name for name, value in vars(hf_compat).items() if inspect.isfunction(value)]
    assert len(functions) > 10
    assert [name for name in functions if f"test_{name}" not in globals()] == []


def test_use_one_gpu(tmp_path):
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True)
    arguments._n_gpu = 3
    assert (arguments.n_gpu, arguments.train_batch_size) == (3, 24)
    hf_compat.use_one_gpu(arguments)
    assert (arguments.n_gpu, arguments.train_batch_size) == (1, 8)


@pytest.mark.parametrize(
    ("flag", "kind"),
    [("is_deepspeed_enabled", "DeepSpeed"), ("is_fsdp_enabled", "FSDP"), ("is_fsdp_xla_enabled", "FSDP")],
)
def test_sharding_of(flag, kind, tmp_path):
    trainer = trainer_in(tmp_path)
    # Set by the Trainer itself, so that it is on where the Trainer shards.
    assert not vars(trainer)[flag]
    assert hf_compat.sharding_of(trainer) is None
    setattr(trainer, flag, True)
    assert hf_compat.sharding_of(trainer) == kind


def test_sharding_of_a_model_that_was_sharded_when_it_was_loaded(tmp_path):
    class Sharded(type(make.sequence_model("bert"))):  # type: ignore[misc]
        is_distributed_loading_by_transformers = True

    trainer = trainer_in(tmp_path)
    if not hasattr(trainer, "is_distributed_loading_by_transformers"):
        pytest.skip("this transformers does not shard models as it loads them")
    trainer = make.trainer_of(Sharded(trainer.model.config), make.sequence_rows("bert"), tmp_path)
    assert hf_compat.sharding_of(trainer) == "loading"


def test_replace_methods(tmp_path):
    trainer, called = trainer_in(tmp_path, max_steps=2), []
    names = ("train", "get_train_dataloader", "training_step")
    original = {name: getattr(trainer, name) for name in names}

    def noting(name: str) -> Any:
        def method(*args: Any, **kwargs: Any) -> Any:
            called.append(name)
            return original[name](*args, **kwargs)

        return method

    former = hf_compat.replace_methods(trainer, {name: noting(name) for name in names})
    trainer.train()
    assert called == ["train", "get_train_dataloader", "training_step", "training_step"]
    hf_compat.restore_methods(trainer, names, former)
    trainer.train()
    assert len(called) == 4


def test_restore_methods(tmp_path):
    trainer = trainer_in(tmp_path)
    own = trainer.training_step

    def of_the_user(*args: Any, **kwargs: Any) -> Any:
        return own(*args, **kwargs)

    trainer.training_step = of_the_user
    step = {"training_step": lambda *args: None}
    former = hf_compat.replace_methods(trainer, {**step, "train": lambda: None})
    hf_compat.restore_methods(trainer, ("training_step", "train"), former)
    assert trainer.training_step is of_the_user
    assert "train" not in vars(trainer)


class Noting(TrainerCallback):
    def __init__(self, name: str, noted: list[str]) -> None:
        self.name, self.noted = name, noted

    def on_train_begin(self, *args: Any, **kwargs: Any) -> None:
        self.noted.append(self.name)


def test_add_first_callback(tmp_path):
    noted: list[str] = []
    trainer = trainer_in(tmp_path, callbacks=[Noting("of the arguments", noted)], max_steps=1)
    trainer.add_callback(Noting("added", noted))
    hf_compat.add_first_callback(trainer, Noting("first", noted))
    trainer.train()
    assert noted == ["first", "of the arguments", "added"]


def test_move_step_count(tmp_path):
    """A training that moves on by a whole epoch after its first one: it ends after half of its epochs, and logs the same loss."""

    class Move(TrainerCallback):
        def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            hf_compat.move_step_count(trainer, state, 12, 2.0)
            control.should_training_stop = True

    logs = []
    for callbacks in ([], [Move()]):
        epochs = {"num_train_epochs": 2, "logging_strategy": "epoch", "lr_scheduler_type": "constant"}
        rows, model = make.sequence_rows("bert"), make.sequence_model("bert")
        trainer = make.trainer_of(model, rows, tmp_path, callbacks=callbacks, **epochs)
        trainer.train()
        logs.append(trainer.state.log_history)
    plain, moved = logs
    assert [entry["step"] for entry in plain if "loss" in entry] == [6, 12]
    assert [(entry["step"], entry["epoch"]) for entry in moved if "loss" in entry] == [(12, 2.0)]
    assert moved[0]["loss"] == plain[0]["loss"]
    assert trainer.state.global_step == 12


def test_prepare_inputs(tmp_path):
    class Changing(Trainer):
        def _prepare_inputs(self, inputs: Any) -> Any:
            return super()._prepare_inputs({**inputs, "changed": torch.tensor(1)})

        def compute_loss(self, model: Any, inputs: Any, **kwargs: Any) -> Any:
            seen.append(inputs.pop("changed").item())
            return super().compute_loss(model, inputs, **kwargs)

    seen: list[int] = []
    trainer = trainer_in(tmp_path, of=Changing, max_steps=2)
    trainer.train()
    assert seen == [1, 1]
    prepared = hf_compat.prepare_inputs(trainer, {"input_ids": torch.ones(2, 3)})
    assert set(prepared) == {"input_ids", "changed"}
    assert prepared["input_ids"].device == trainer.args.device


def test_float32_forward(tmp_path):
    class Compare(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, *, model: Any, **kwargs: Any) -> None:
            model.eval()
            with torch.no_grad():
                inside, outside = model(**batch).logits, hf_compat.float32_forward(model)(**batch).logits
            plain = make.sequence_model("bert").eval()
            plain.load_state_dict(model.state_dict())
            compared.append((torch.equal(inside, plain(**batch).logits), outside, plain(**batch).logits))

    compared: list[tuple[bool, torch.Tensor, torch.Tensor]] = []
    batch = {"input_ids": torch.tensor([[1, 5, 6, 2]])}
    trainer_in(tmp_path, bf16=True, callbacks=[Compare()], max_steps=1).train()
    ((in_float32, outside, expected),) = compared
    assert not in_float32
    assert torch.equal(outside, expected)
    model = nn.Linear(2, 2)
    assert hf_compat.float32_forward(model) is model


def test_attention_of():
    model = make.sequence_model("bert")
    assert hf_compat.attention_of(model) == "sdpa"
    model.set_attn_implementation("eager")
    assert hf_compat.attention_of(model) == "eager"


def test_is_compiled():
    model = make.sequence_model("bert")
    assert not hf_compat.is_compiled(model)
    assert hf_compat.is_compiled(torch.compile(model))
    assert hf_compat.is_compiled(nn.Sequential(torch.compile(nn.Linear(2, 2))))
    model.compile()
    assert hf_compat.is_compiled(model)


def test_torch_loader(tmp_path):
    plain = DataLoader(list(range(6)), batch_size=2)
    assert hf_compat.torch_loader(plain) is plain
    prepared = hf_compat.torch_loader(trainer_in(tmp_path).get_train_dataloader())
    assert isinstance(prepared, DataLoader)
    assert len(prepared.dataset) == make.ROWS


@pytest.mark.parametrize("workers", [0, 1])
def test_replace_dataset(workers, tmp_path):
    trainer = trainer_in(tmp_path, dataloader_num_workers=workers)
    loader = trainer.get_train_dataloader()
    base = hf_compat.torch_loader(loader)
    numbers = list(range(100, 100 + make.ROWS))
    hf_compat.replace_dataset(base, [{"input_ids": [number], "labels": 0} for number in numbers])
    assert sorted(int(number) for batch in loader for number in batch["input_ids"].flatten()) == numbers


def shards(split_batches: bool) -> Any:
    loader = DataLoader(list(range(12)), batch_size=4)
    return prepare_data_loader(
        loader, num_processes=2, process_index=1, split_batches=split_batches, put_on_device=False
    )


def test_batch_samplers():
    plain = DataLoader(list(range(6)), batch_size=2)
    assert hf_compat.batch_samplers(plain) == [plain.batch_sampler]
    outer, inner = hf_compat.batch_samplers(shards(split_batches=False))
    assert list(inner.sampler) == list(range(12))
    assert inner is outer.batch_sampler


def test_replace_row_sampler():
    loader = shards(split_batches=False)
    hf_compat.replace_row_sampler(hf_compat.batch_samplers(loader), list(range(11, -1, -1)))
    assert [batch.tolist() for batch in loader] == [[7, 6, 5, 4], [11, 10, 9, 8]]


@pytest.mark.parametrize(
    ("split_batches", "size", "second"),
    [(False, 3, [[3, 4, 5], [9, 10, 11]]), (True, 2, [[1], [3], [5], [7], [9], [11]])],
)
def test_set_batch_size(split_batches, size, second):
    loader = shards(split_batches)
    hf_compat.set_batch_size(hf_compat.batch_samplers(loader), size)
    assert [batch.tolist() for batch in loader] == second


def test_processes_per_batch():
    assert hf_compat.processes_per_batch(hf_compat.batch_samplers(shards(split_batches=True))) == 2
    assert hf_compat.processes_per_batch(hf_compat.batch_samplers(shards(split_batches=False))) == 1
    plain = DataLoader(list(range(6)), batch_size=2)
    assert hf_compat.processes_per_batch(hf_compat.batch_samplers(plain)) == 1


def test_torch_optimizer(tmp_path):
    class Restart(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, *, optimizer: Any, **kwargs: Any) -> None:
            plain = hf_compat.torch_optimizer(optimizer)
            assert isinstance(plain, torch.optim.Optimizer)
            sizes.append(len(plain.state))
            plain.state.clear()
            sizes.append(len(optimizer.state))

    sizes: list[int] = []
    set_seed(0)
    trainer = trainer_in(tmp_path, callbacks=[Restart()], max_steps=2)
    trainer.train()
    parameters = len(list(trainer.model.parameters()))
    assert sizes == [parameters, 0] * 2
    plain = torch.optim.SGD(trainer.model.parameters())
    assert hf_compat.torch_optimizer(plain) is plain


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("transformers.integrations", "get_reporting_integration_callbacks"),
        ("transformers.integrations.sdpa_attention", "repeat_kv"),
        ("transformers.integrations.sdpa_attention", "sdpa_attention_forward"),
        ("transformers.masking_utils", "eager_mask"),
    ],
)
def test_imports_that_are_not_documented(module, name):
    assert callable(getattr(importlib.import_module(module), name))


@pytest.mark.parametrize("mixed", [False, True], ids=["float32", "bfloat16"])
def test_ask_fused_head(mixed, tmp_path):
    """Also through the forward that accelerate puts around it for mixed precision."""
    trainer = language.sft_trainer(language.language_model("qwen2"), tmp_path, bf16=mixed)
    model = trainer.accelerator.prepare(trainer.model)
    batch = trainer.data_collator([trainer.train_dataset[0]])

    def given() -> Any:
        return model(**batch, fused_lm_head=True).log_sum_sq_probs

    assert given() is None
    (asked,) = hf_compat.ask_fused_head(model, "log_sum_sq_probs")
    assert given() is not None
    asked.remove()
    assert given() is None


def test_ask_fused_head_of_a_model_without():
    assert hf_compat.ask_fused_head(language.language_model("qwen2"), "log_sum_sq_probs") == []


def test_places_before():
    rows = Dataset.from_dict({"number": list(range(6))})
    assert hf_compat.places_before(rows) is None
    left = rows.filter(lambda row: row["number"] != 2).shuffle(seed=0)
    assert hf_compat.places_before(left).tolist() == left["number"][:]
    # SFTTrainer maps before it filters: its places are those of the rows that it was given.
    mapped = rows.select([4, 1, 3]).map(lambda row: {"twice": 2 * row["number"]})
    assert hf_compat.places_before(mapped) is None
