"""The trainings of the table in the docs, on tiny models: what is recorded of each, or what its refusal says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, Trainer
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

import tiny_trainers as make
from tiny import SHAPES, VOCABULARY, tokenizer_of

ALL, LOGITS, COMPLETIONS = "all", "logits", "completions"
INPUTS = ("input_ids", "attention_mask", "token_type_ids")


def single_rows(trainer: Trainer, inputs: Any) -> Iterator[tuple[int, dict[str, Any], torch.Tensor]]:
    """(number in the dataset, inputs, labels) of each row of a batch, without padding."""
    numbers = {tuple(row): i for i, row in enumerate(trainer.train_dataset["input_ids"])}
    labels = next(inputs[name] for name in ("labels", "intent") if name in inputs)
    for i in range(len(labels)):
        true = inputs["attention_mask"][i].bool()
        row = {name: inputs[name][i][true][None] for name in INPUTS if name in inputs}
        label = labels[i][true][None] if labels.dim() > 1 else labels[i][None]
        yield numbers[tuple(row["input_ids"][0].tolist())], row, label


def next_tokens(labels: torch.Tensor) -> torch.Tensor:
    """The labels of a language model: those of the next position, and none at the end."""
    return nn.functional.pad(labels[:, 1:], (0, 1), value=-100)


def encoder_embeddings(model: nn.Module) -> nn.Module:
    """The first module called `embeddings`, or the first table of tokens."""
    for wanted in ("embeddings", "embed_tokens", "wte"):
        for name, module in model.named_modules():
            if name.split(".")[-1] == wanted:
                return module
    raise LookupError


def last_linear(model: nn.Module) -> nn.Module:
    """The last linear layer."""
    return [module for module in model.modules() if isinstance(module, nn.Linear)][-1]


@dataclass(frozen=True)
class Setup:
    """A row of the table: `records` is ALL, LOGITS, COMPLETIONS, or empty for a training that is refused, which `said` then says.

    `labels` are those that the logits of a row are compared with.
    """

    name: str
    trainer: Callable[[Path], Trainer]
    records: str = ALL
    said: str = ""
    embeddings: Callable[[nn.Module], nn.Module] = encoder_embeddings
    last: Callable[[nn.Module], nn.Module] = last_linear
    forward: Callable[[nn.Module, dict[str, Any]], torch.Tensor] = lambda model, row: model(**row).logits
    rows: Callable[..., Iterator[tuple[int, dict[str, Any], torch.Tensor]]] = single_rows
    labels: Callable[[torch.Tensor], torch.Tensor] = lambda labels: labels


def trainer_of(model: nn.Module, folder: Path, rows: Any = None, kind: str = "bert", **more: Any) -> Trainer:
    """Two epochs."""
    rows = make.sequence_rows(kind) if rows is None else rows
    return make.trainer_of(model, rows, folder, kind, num_train_epochs=2, **more)


def plain(kind: str, **more: Any) -> Callable[[Path], Trainer]:
    """A classifier of transformers."""
    return lambda folder: trainer_of(make.sequence_model(kind), folder, kind=kind, **more)


def tokens(folder: Path) -> Trainer:
    return trainer_of(make.token_model("bert"), folder, make.token_rows("bert"))


def pairs(folder: Path) -> Trainer:
    return trainer_of(make.sequence_model("bert"), folder, make.sequence_rows("bert", pairs=True))


def frozen_embeddings(folder: Path) -> Trainer:
    model = make.sequence_model("bert")
    model.bert.embeddings.requires_grad_(False)
    return trainer_of(model, folder)


def frozen_encoder(folder: Path) -> Trainer:
    model = make.sequence_model("bert")
    model.bert.requires_grad_(False)
    return trainer_of(model, folder)


def adapted(model: nn.Module, task: str | None = "SEQ_CLS", **more: Any) -> nn.Module:
    """A model with LoRA, whose adapters are not zero."""
    peft = pytest.importorskip("peft")
    torch.manual_seed(1)
    return peft.get_peft_model(
        model, peft.LoraConfig(task_type=task, r=2, init_lora_weights=False, lora_dropout=0.0, **more)
    )


def lora(kind: str) -> Callable[[Path], Trainer]:
    targets = {"bert": ["query", "value"], "qwen2": ["q_proj", "v_proj"]}[kind]
    return lambda folder: trainer_of(
        adapted(make.sequence_model(kind), target_modules=targets), folder, kind=kind
    )


def lora_on_classifier(folder: Path) -> Trainer:
    model = adapted(make.sequence_model("bert"), None, target_modules=["query", "classifier"])
    return trainer_of(model, folder)


def merged(folder: Path) -> Trainer:
    model = adapted(make.sequence_model("bert"), target_modules=["query"]).merge_and_unload()
    return trainer_of(model, folder)


def lora_language_model(folder: Path) -> Trainer:
    """Of no task_type, which peft takes for a plain PeftModel."""
    return language_trainer(adapted(language_model(), None, target_modules=["c_attn"]), folder)


def language_model() -> nn.Module:
    torch.manual_seed(0)
    config = CONFIG_MAPPING["gpt2"](
        vocab_size=len(VOCABULARY) + 8, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **SHAPES["gpt2"]
    )
    return AutoModelForCausalLM.from_config(config)


class Wrapped(nn.Module):
    """An own module around a model."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, **batch: Any) -> Any:
        return self.model(**batch)


def language_trainer(model: nn.Module, folder: Path, of: type[Trainer] = Trainer) -> Trainer:
    rows = make.token_rows("gpt2")
    labels = rows["input_ids"]
    rows = rows.remove_columns("labels").add_column("labels", labels)
    return trainer_of(model, folder, rows, "gpt2", of=of, remove_unused_columns=False)


def hidden_language_model(folder: Path) -> Trainer:
    return language_trainer(Wrapped(language_model()), folder)


def masked(folder: Path) -> Trainer:
    config = CONFIG_MAPPING["bert"](vocab_size=len(VOCABULARY) + 8, **SHAPES["bert"])
    return trainer_of(AutoModelForMaskedLM.from_config(config), folder, make.token_rows("bert"))


class OfSameToken(Trainer):
    """The loss of a token classifier on a language model."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **more: Any) -> Any:
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        loss = nn.functional.cross_entropy(outputs.logits.flatten(0, 1), labels.flatten())
        return (loss, outputs) if return_outputs else loss


def other_labels(folder: Path) -> Trainer:
    return language_trainer(language_model(), folder, of=OfSameToken)


class OfNextToken(Trainer):
    """The loss of a language model on a model that has no other sign of one."""

    def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **more: Any) -> Any:
        labels = inputs.pop("labels")
        outputs = model(**inputs)
        logits = outputs.logits[:, :-1].flatten(0, 1)
        loss = nn.functional.cross_entropy(logits, labels[:, 1:].flatten())
        return (loss, outputs) if return_outputs else loss


def shifted_loss(folder: Path) -> Trainer:
    return trainer_of(make.token_model("bert"), folder, make.token_rows("bert"), of=OfNextToken)


class Own(nn.Module):
    """An encoder of transformers with a head of one's own, declared before it, that takes whatever is in the batch."""

    def __init__(self, per_token: bool = False) -> None:
        super().__init__()
        self.head = nn.Linear(16, make.CLASSES)
        self.body = make.sequence_model("bert").bert

    def forward(self, **batch: Any) -> dict[str, torch.Tensor]:
        labels = batch.pop("labels", None)
        logits = self.head(self.body(**batch).last_hidden_state[:, 0])
        output = {"logits": logits}
        return output if labels is None else {"loss": nn.functional.cross_entropy(logits, labels), **output}


def own_module(folder: Path) -> Trainer:
    torch.manual_seed(0)
    rows = make.sequence_rows("bert").remove_columns("sentence")
    return trainer_of(Own(), folder, rows, remove_unused_columns=False)


def loss_of(change: Callable[..., torch.Tensor]) -> type[Trainer]:
    """A Trainer with a loss of its own, of logits and labels."""

    class WithLoss(Trainer):
        def compute_loss(self, model: Any, inputs: Any, return_outputs: bool = False, **more: Any) -> Any:
            labels = inputs.pop("labels")
            outputs = model(**inputs)
            loss = change(outputs.logits, labels)
            return (loss, outputs) if return_outputs else loss

    return WithLoss


def weighted(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    return nn.functional.cross_entropy(logits, labels, weight=torch.tensor([1.0, 2.0, 9.0]))


def focal(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    each = nn.functional.cross_entropy(logits, labels, reduction="none")
    return ((1 - torch.exp(-each)) ** 2 * each).mean()


def distilled(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    teacher = torch.softmax(torch.tensor([[0.5, 0.1, -0.4]]).expand_as(logits), -1)
    kl = nn.functional.kl_div(logits.log_softmax(-1), teacher, reduction="batchmean")
    return 0.5 * nn.functional.cross_entropy(logits, labels) + 0.5 * kl


def loss_function(of: Callable[..., torch.Tensor]) -> Callable[[Path], Trainer]:
    """A trainer with a loss function of its own, given as `compute_loss_func`."""

    def build(folder: Path) -> Trainer:
        trainer = trainer_of(make.sequence_model("bert"), folder, gradient_accumulation_steps=2)

        def loss(outputs: Any, labels: torch.Tensor, num_items_in_batch: Any = None) -> torch.Tensor:
            return of(outputs.logits, labels) / trainer.args.gradient_accumulation_steps

        trainer.compute_loss_func = loss
        return trainer

    return build


class OwnRows(torch.utils.data.Dataset[Any]):
    """Rows that only this class reads."""

    def __init__(self) -> None:
        self.rows = make.sequence_rows("bert").remove_columns("sentence")

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, at: Any) -> Any:
        return self.rows[at]


def own_rows(folder: Path) -> Trainer:
    return trainer_of(make.sequence_model("bert"), folder, OwnRows(), dataloader_num_workers=2)


def own_labels(folder: Path) -> Trainer:
    """Labels under a name of one's own."""

    class Intents(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inside = make.sequence_model("bert")

        def forward(self, input_ids: Any, attention_mask: Any, intent: Any = None) -> Any:
            return self.inside(input_ids, attention_mask, labels=intent)

    rows = make.sequence_rows("bert").rename_column("label", "intent")
    return trainer_of(Intents(), folder, rows, label_names=["intent"])


def compiled(folder: Path) -> Trainer:
    return trainer_of(torch.compile(make.sequence_model("bert")), folder, remove_unused_columns=False)


def compiled_in_place(folder: Path) -> Trainer:
    model = make.sequence_model("bert")
    model.compile()
    return trainer_of(model, folder)


def regression(folder: Path) -> Trainer:
    trainer = trainer_of(make.sequence_model("bert"), folder)
    trainer.model.config.num_labels = 1
    return trainer


def cross_encoder(folder: Path) -> Trainer:
    trainers = pytest.importorskip("sentence_transformers.cross_encoder")
    losses = pytest.importorskip("sentence_transformers.cross_encoder.losses")
    from datasets import Dataset

    model = make.sequence_model("bert")
    model.config.hidden_dropout_prob = model.config.attention_probs_dropout_prob = 0.0
    model.save_pretrained(folder / "model")
    tokenizer_of("bert").save_pretrained(folder / "model")
    encoder = trainers.CrossEncoder(str(folder / "model"), num_labels=make.CLASSES, device="cpu")
    rows = make.sequence_rows("bert", pairs=True)
    data = Dataset.from_dict({name: rows[name] for name in ("premise", "hypothesis", "label")})
    arguments = trainers.CrossEncoderTrainingArguments(
        output_dir=str(folder),
        per_device_train_batch_size=4,
        num_train_epochs=2,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
    )
    loss = losses.CrossEntropyLoss(encoder)
    return trainers.CrossEncoderTrainer(model=encoder, args=arguments, train_dataset=data, loss=loss)


def cross_encoder_rows(trainer: Trainer, inputs: Any) -> Iterator[tuple[int, dict[str, Any], torch.Tensor]]:
    numbers = {pair: i for i, pair in enumerate(zip(*(trainer.train_dataset[n] for n in PAIR), strict=True))}
    for i, pair in enumerate(zip(inputs["premise"], inputs["hypothesis"], strict=True)):
        yield numbers[pair], {"pair": pair}, inputs["label"][i].reshape(1)


PAIR = ("premise", "hypothesis")


def of_another_library(name: str, module: str = "") -> Callable[[Path], Trainer]:
    """A Trainer under the name of another library's."""

    def build(folder: Path) -> Trainer:
        kind = type(name, (Trainer,), {"__module__": module or __name__})
        return trainer_of(make.sequence_model("bert"), folder, of=kind)

    return build


SETUPS = [
    Setup(
        "sequence classifiers on an encoder (BERT, DistilBERT, RoBERTa, ModernBERT, DeBERTa)", plain("bert")
    ),
    Setup("sequence classifiers on a decoder (GPT-2, Qwen2, Llama, Gemma)", plain("qwen2")),
    Setup("token classification, one number per row", tokens),
    Setup("pairs of texts", pairs),
    Setup("gradient accumulation", plain("bert", gradient_accumulation_steps=2)),
    Setup("gradient checkpointing", plain("bert", gradient_checkpointing=True)),
    Setup("`auto_find_batch_size`", plain("bert", auto_find_batch_size=True)),
    Setup("a `torch.utils.data.Dataset` of your own, two loader workers", own_rows),
    Setup("`compute_loss_func` with the mean cross-entropy", loss_function(nn.functional.cross_entropy)),
    Setup("`compute_loss_func` with class weights", loss_function(weighted), LOGITS),
    Setup("frozen embeddings", frozen_embeddings),
    Setup("a frozen encoder", frozen_encoder),
    Setup("LoRA on an encoder", lora("bert")),
    Setup("LoRA on a decoder", lora("qwen2")),
    Setup(
        "LoRA on the classification layer itself",
        lora_on_classifier,
        last=lambda model: model.base_model.model.classifier.base_layer,
    ),
    Setup("adapters merged before the training", merged),
    Setup("class weights", plain("bert", of=loss_of(weighted)), LOGITS),
    Setup("focal loss", plain("bert", of=loss_of(focal)), LOGITS),
    Setup("label smoothing", plain("bert", label_smoothing_factor=0.2), LOGITS),
    Setup("distillation beside the labels", plain("bert", of=loss_of(distilled)), LOGITS),
    Setup(
        "a module of your own, with `forward(**batch)`",
        own_module,
        last=lambda model: model.head,
        forward=lambda model, row: model(**row)["logits"],
    ),
    Setup("labels under another name, given as `label_names`", own_labels),
    Setup(
        "`CrossEncoderTrainer` of sentence-transformers with `CrossEntropyLoss`",
        cross_encoder,
        forward=lambda model, row: model(model.preprocess([row["pair"]]))["scores"],
        rows=cross_encoder_rows,
    ),
    Setup(
        "a causal language model inside a module of your own",
        hidden_language_model,
        COMPLETIONS,
        labels=next_tokens,
    ),
    Setup(
        "causal language models with LoRA, also without `task_type`",
        lora_language_model,
        COMPLETIONS,
        labels=next_tokens,
    ),
    Setup(
        "masked language models", masked, "", "BertForMaskedLM is no classifier and no causal language model"
    ),
    Setup(
        "a causal language model with a loss of other labels",
        other_labels,
        "",
        "is not the mean cross-entropy of its",
    ),
    Setup("a loss that shifts the labels", shifted_loss, "", "does not compare its logits with the labels"),
    Setup("`torch.compile(model)`", compiled, "", r"went through torch\.compile"),
    Setup("`model.compile()`", compiled_in_place, "", r"went through torch\.compile"),
    Setup("regression", regression, "", "is a regression"),
    Setup(
        "`SentenceTransformerTrainer`",
        of_another_library("SentenceTransformerTrainer"),
        "",
        "compares the embeddings of texts",
    ),
    Setup(
        "other trainers of trl (`RewardTrainer`, `DPOTrainer`)",
        of_another_library("RewardTrainer", "trl.trainer"),
        "",
        "trl's RewardTrainer",
    ),
]
