"""Sections `train` and `generate`: how a classifier is trained and a language model fine-tuned."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from thresher.config.section import MANY, MOST, PROCESSES, TRAININGS, WIDEST, Section


class TrainConfig(Section):
    """The recipe. The same recipe trains the scored model and every model of `compare`."""

    epochs: float = Field(
        default=3.0,
        gt=0,
        le=MANY,
        description="default of a frozen encoder's head: 6, fewer on more than 200,000 rows",
    )
    max_steps: int | None = Field(default=None, ge=1, le=MOST, description="overrides epochs")
    batch_size: int = Field(
        default=32,
        ge=1,
        le=MOST,
        description="default of a frozen encoder's head: 8 to 256, by the number of rows",
    )
    encoder_lr: float = Field(default=1e-4, ge=0)
    head_lr: float = Field(default=1e-3, ge=0, description="default of a frozen encoder's head: 0.005")
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: str = Field(default="linear", description="a transformers scheduler name")
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps")
    # The limit is that of NumPy's generator, which Trainer seeds too; further runs and draws use the seeds after it.
    seed: int = Field(default=0, ge=0, lt=2**31)
    runs: int = Field(
        default=1, ge=1, le=TRAININGS, description="trainings with other seeds for the averaged scores"
    )
    folds: Annotated[int, Field(ge=0, le=MANY)] | Literal["auto"] = Field(
        default="auto",
        description="cross-validation: further trainings per run, each without a part of the rows; auto: 5 if frozen (2 on more"
        " than 200,000 rows), else 0",
    )
    checkpoints: int = Field(default=10, ge=2, le=MANY, description="evenly spaced over the run")
    checkpoint_every: int | None = Field(
        default=None, ge=1, le=MOST, description="steps; overrides checkpoints"
    )
    forgetting_evaluations: int = Field(
        default=10, ge=0, le=MANY, description="whole-set evaluations, evenly spaced over forgetting_epochs"
    )
    forgetting_every: int | None = Field(
        default=None, ge=1, le=MOST, description="steps (the paper: 50); overrides the count"
    )
    forgetting_epochs: float = Field(default=2.0, gt=0, le=MANY)
    null_epochs: float = Field(default=2.0, gt=0, le=MANY, description="epochs of PVI's model on empty input")
    bf16: bool | Literal["auto"] = Field(
        default="auto",
        description="bfloat16 autocast in training; auto: if it is faster on the machine that starts the run",
    )
    diet: str = Field(
        default="none",
        description="train on fewer rows from epoch to epoch: infobatch, data-diet or iterative",
    )
    diet_options: dict[str, float] = Field(
        default_factory=dict, description="options of the diet, e.g. {r: 0.7} or {prune: 0.5, after: 1}"
    )
    report_to: tuple[str, ...] = Field(
        default=(), description="loggers of transformers: tensorboard, wandb, mlflow, ..."
    )
    threads: int | None = Field(
        default=None, ge=1, le=PROCESSES, description="CPU threads of one training process; default: all"
    )
    workers: int | None = Field(
        default=None,
        ge=1,
        le=PROCESSES,
        description="trainings at a time, which changes no result; default: one per core",
    )


class GenerateConfig(Section):
    """How a language model is fine-tuned on rows whose target is a text."""

    lora: int = Field(
        default=16, ge=0, le=WIDEST, description="rank of the LoRA adapters; 0: train all the weights"
    )
    alpha: float = Field(default=32.0, gt=0, description="LoRA's scale is alpha / rank")
    targets: tuple[str, ...] = Field(
        default=("all-linear",), description="modules with adapters, e.g. q_proj,v_proj"
    )
    lr: float = Field(
        default=2e-4, ge=0, description="peak learning rate; default without LoRA: a tenth of it"
    )
    template: Literal["auto", "chat", "plain"] = Field(
        default="auto",
        description="how a prompt and its completion become one text: chat, by the model's chat template; plain, one after"
        " the other; auto: chat where the model has a template",
    )
