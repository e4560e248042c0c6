"""Trainings of tiny causal language models for tests, and what each row of them gives by a plain second implementation."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    DataCollatorForSeq2Seq,
    DataCollatorWithFlattening,
    PreTrainedTokenizerFast,
    Trainer,
    TrainingArguments,
)
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from tiny import OTHER_NORMS, SHAPES, SMALL, VOCABULARY, WORDS, tokenizer_of

ROWS, IGNORED, END = 11, -100, VOCABULARY["[SEP]"]
TEMPLATE = (
    "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content + ' [SEP] ' }}{% endgeneration %}"
    "{% else %}{{ m.content + ' [CLS] ' }}{% endif %}{% endfor %}"
)
SETTINGS: dict[str, Any] = {
    "per_device_train_batch_size": 4,
    "num_train_epochs": 3,
    "learning_rate": 2e-2,
    "save_strategy": "no",
    "logging_strategy": "no",
    "report_to": "none",
    "disable_tqdm": True,
    "use_cpu": True,
    "bf16": False,
    "seed": 3,
}


# A model whose tokenizer is loaded as it was saved: for Qwen2 and Llama, AutoTokenizer takes their own class, which does not
# split words as the tests' tokenizer does.
ANY_TOKENIZER = {"granite": {**SMALL, "num_key_value_heads": 1}}


def language_model(kind: str) -> nn.Module:
    """A causal language model with weights large enough that its tokens differ."""
    torch.manual_seed(0)
    config = CONFIG_MAPPING[kind](
        vocab_size=len(VOCABULARY) + 8, **(SHAPES | OTHER_NORMS | ANY_TOKENIZER)[kind]
    )
    config.pad_token_id = 0
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def adapted(model: nn.Module, task: str | None) -> nn.Module:
    """A model with LoRA, whose adapters are not zero."""
    peft = pytest.importorskip("peft")
    torch.manual_seed(1)
    return peft.get_peft_model(
        model,
        peft.LoraConfig(
            task_type=task,
            r=2,
            init_lora_weights=False,
            lora_dropout=0.0,
            target_modules=["q_proj", "v_proj"],
        ),
    )


def tokenizer(side: str = "right") -> PreTrainedTokenizerFast:
    found = tokenizer_of("qwen2")
    found.eos_token, found.padding_side, found.chat_template = "[SEP]", side, TEMPLATE
    return found


def pairs(rows: int = ROWS, seed: int = 0) -> tuple[list[str], list[str]]:
    """Different prompts of 2 to 6 words, and completions of 1 to 6."""
    random = np.random.default_rng(seed)
    prompts: dict[str, None] = {}
    while len(prompts) < rows:
        prompts[" ".join(random.choice(WORDS, random.integers(2, 7)))] = None
    return list(prompts), [" ".join(random.choice(WORDS, random.integers(1, 7))) for _ in range(rows)]


def tokenised() -> Dataset:
    """Prompts and completions as tokens, with labels of the completion alone."""
    prompts, completions = pairs()
    encode = tokenizer()
    before, after = encode(prompts)["input_ids"], encode(completions)["input_ids"]
    rows = [
        {
            "input_ids": a + b + [END],
            "labels": [IGNORED] * len(a) + b + [END],
            "attention_mask": [1] * (len(a) + len(b) + 1),
        }
        for a, b in zip(before, after, strict=True)
    ]
    return Dataset.from_list(rows)


def plain_trainer(
    model: nn.Module,
    folder: Path,
    side: str = "right",
    flat: bool = False,
    of: type[Trainer] = Trainer,
    **arguments: Any,
) -> Trainer:
    """A Trainer as in the guides of transformers."""
    encode = tokenizer(side)
    collator: Any = DataCollatorWithFlattening() if flat else DataCollatorForSeq2Seq(encode)
    return of(
        model,
        TrainingArguments(output_dir=str(folder), **(SETTINGS | arguments)),
        train_dataset=tokenised(),
        processing_class=encode,
        data_collator=collator,
    )


def sft_trainer(model: nn.Module, folder: Path, rows: Dataset | None = None, **arguments: Any) -> Trainer:
    """trl's SFTTrainer, on prompts and completions by default."""
    trl = pytest.importorskip("trl")
    prompts, completions = pairs()
    rows = rows or Dataset.from_dict({"prompt": prompts, "completion": [f" {one}" for one in completions]})
    args = trl.SFTConfig(output_dir=str(folder), **(SETTINGS | arguments))
    return trl.SFTTrainer(model, args, train_dataset=rows, processing_class=tokenizer())


def messages() -> Dataset:
    """Chats of two turns."""
    (first, answers), (second, last) = pairs(), pairs(seed=1)
    turns = zip(first, answers, second, last, strict=True)
    return Dataset.from_dict(
        {
            "messages": [
                [
                    {"role": role, "content": text}
                    for role, text in zip(("user", "assistant") * 2, four, strict=True)
                ]
                for four in turns
            ]
        }
    )


def rows_in(inputs: Any) -> Iterator[tuple[list[int], list[int]]]:
    """(tokens, labels) of each row of a batch, without padding."""
    tokens, labels = inputs["input_ids"], inputs["labels"]
    if "attention_mask" in inputs:
        for line, mask in enumerate(inputs["attention_mask"].bool()):
            yield tokens[line][mask].tolist(), labels[line][mask].tolist()
    else:
        starts = (inputs["position_ids"][0] == 0).nonzero().flatten().tolist()
        for start, end in zip(starts, [*starts[1:], tokens.shape[1]], strict=True):
            yield tokens[0, start:end].tolist(), labels[0, start:end].tolist()


def note_steps(trainer: Trainer) -> dict[int, list[dict[str, Any]]]:
    """Before each step from now on, note what each row gives, one row at a time and without padding."""
    number = {tuple(row): i for i, row in enumerate(trainer.train_dataset["input_ids"])}
    noted: dict[int, list[dict[str, Any]]] = {}
    step = trainer.training_step

    def training_step(model: nn.Module, inputs: Any, *more: Any) -> torch.Tensor:
        trainer.model.train()
        for tokens, labels in rows_in(inputs):
            noted.setdefault(number[tuple(tokens)], []).append(alone(trainer.model, tokens, labels))
        return step(model, inputs, *more)

    trainer.training_step = training_step
    return noted


@torch.no_grad()
def alone(model: nn.Module, tokens: list[int], labels: list[int]) -> dict[str, Any]:
    """Of one row, straight from the definitions: the mean over its completion tokens, token by token."""
    logits = model(input_ids=torch.tensor([tokens])).logits[0].double()
    found: dict[str, list[float]] = {
        name: [] for name in ("loss", "error_norm", "margin", "entropy", "right")
    }
    for at, label in enumerate(labels):
        if label == IGNORED or at == 0:
            continue
        z = logits[at - 1]
        p = torch.softmax(z, 0)
        error = p - nn.functional.one_hot(torch.tensor(label), len(z))
        found["loss"].append(-p[label].log().item())
        found["error_norm"].append(error.norm().item())
        found["margin"].append((z[label] - torch.cat([z[:label], z[label + 1 :]]).max()).item())
        found["entropy"].append(-(p * p.log()).sum().item())
        found["right"].append(z.argmax().item() == label)
    means = {name: float(np.mean(values)) for name, values in found.items()}
    return means | {"accuracy": means["right"], "tokens": found["right"], "length": len(tokens)}
