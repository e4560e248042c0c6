"""Every setting of a run with its default; `run.yaml` is this in YAML."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

_LAYERS = "[1-9][0-9]*"
# What is larger is a slip of the keyboard, and would run for days or end in an allocator without a word.
MOST, MANY, TRAININGS, PROCESSES, WIDEST = 1_000_000_000, 10_000, 1_000, 4_096, 16_384


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, given: Any) -> Any:
        """Accept a single value for a list."""
        if not isinstance(given, dict):
            return given
        lists = {name for name, field in cls.model_fields.items() if get_origin(field.annotation) is tuple}
        alone = {name for name in lists & set(given) if isinstance(given[name], str | int | float)}
        return {name: [value] if name in alone else value for name, value in given.items()}


class DataConfig(_Section):
    """Where the rows come from and which columns matter.

    Of rows whose target is a text (`task: generate`), `text` is the prompt and the completion, and `label` a column that all
    rows share; both follow from `prompt`, `completion` and `messages`.
    """

    train: str
    test: str | None = None
    task: Literal["label", "generate"] = Field(
        default="label",
        description="what a row is for: label, a class; generate, a completion that a language model writes",
    )
    text: tuple[str, ...] = Field(min_length=1, max_length=2)
    label: str
    prompt: str | None = Field(default=None, description="the prompt column (default: prompt)")
    completion: str | None = Field(default=None, description="the completion column (default: completion)")
    messages: str | None = Field(
        default=None, description="a column of chat messages, of which the last one is the completion"
    )
    id: str | None = None
    groups: tuple[str, ...] = ()
    where: tuple[str, ...] = Field(
        default=(),
        description="conditions on columns, COL=VALUE or COL!=VALUE; only rows that meet all are read",
    )
    skip_unseen_labels: bool = Field(
        default=False,
        description="skip test rows with a label that no training row has, instead of refusing them",
    )

    @model_validator(mode="before")
    @classmethod
    def _texts(cls, given: Any) -> Any:
        """Fill in text and label of rows whose target is a text."""
        if not isinstance(given, dict):
            return given
        named = [name for name in ("prompt", "completion", "messages") if given.get(name)]
        if given.get("task", "generate" if named else "label") != "generate":
            if named:
                raise ValueError(
                    f"data.{named[0]} (--{named[0]}) is for rows with a text for a target; add --task generate"
                )
            return given
        if given.get("messages") and len(named) > 1:
            raise ValueError("give --messages, or --prompt and --completion, not both")
        texts = ("prompt", "completion")
        if not given.get("messages"):
            texts = (given.get("prompt") or "prompt", given.get("completion") or "completion")
        label = "label" if "label" not in texts else "target"
        return {"text": texts, "label": label, **given, "task": "generate"}

    @field_validator("test")
    @classmethod
    def _given(cls, test: str | None) -> str | None:
        if test is not None and not test.strip():
            raise ValueError(
                "--test is an empty path (a variable that is not set?); give a file, or leave it out"
            )
        return test


class ModelConfig(_Section):
    """The encoder and the classification head."""

    name: str = Field(
        default="minilm", description="'minilm' (bundled), a Hugging Face name, or a local folder"
    )
    layers: int | Literal["auto", "all"] = Field(
        default="auto",
        description="keep the first n encoder layers; auto: the first 3 of the bundled encoder where it is fine-tuned, else all",
    )
    max_length: int = Field(
        default=128, ge=2, le=MOST, description="tokens per row; longer rows are cut and counted"
    )
    pooling: Literal["auto", "mean", "first", "last"] = Field(
        default="auto", description="auto: mean for encoders, last token for decoder-only models"
    )
    head_hidden: tuple[Annotated[int, Field(ge=1, le=WIDEST)], ...] = Field(
        default=(256, 256), description="hidden widths; two make a 3-layer MLP"
    )
    dropout: float = Field(default=0.1, ge=0, lt=1)
    freeze: bool = Field(
        default=False, description="train only the head, on vectors that the encoder computes once per text"
    )
    encode: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="precision of the pass over a frozen encoder; auto: bfloat16 for a proxy, if it is faster on the machine that"
        " starts the run, else float32",
    )
    trust_remote_code: bool = False


class TrainConfig(_Section):
    """The recipe. The same recipe trains the scored model and every model of `compare`."""

    epochs: float = Field(default=3.0, gt=0, le=MANY, description="default of a frozen encoder's head: 6")
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
        description="cross-validation: further trainings per run, each without a part of the rows; auto: 5 if frozen, else 0",
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


Signal = Literal["gradient_gram", "gradient_std", "encoder_sq_norm", "classifier_sq_norm"]
SIGNALS: tuple[Signal, ...] = get_args(Signal)


class MeasureConfig(_Section):
    """The measuring pass. No setting changes a score beyond rounding (`dtype`); `signals` leaves some scores out."""

    signals: tuple[Signal, ...] = Field(
        default=SIGNALS, description="what is measured beside the logits; scores that need more are left out"
    )

    chunk_rows: int = Field(
        default=1024, ge=1, le=MOST, description="rows per part file: the unit of work and of resume"
    )
    batch_tokens: int = Field(default=1024, ge=1, le=MOST, description="padded tokens per batch")
    dtype: Literal["float32", "float64", "bfloat16"] = Field(
        default="float32",
        description="bfloat16: products of the model in bfloat16, for a GPU; it moves the scores by some percent",
    )
    features: bool = Field(
        default=False, description="also keep the pretrained encoder's vectors, which some scores need"
    )
    words: bool | Literal["auto"] = Field(
        default="auto",
        description="also score the rows by their words alone; auto: if a frozen encoder scores them as a proxy",
    )
    workers: int | None = Field(
        default=None,
        ge=1,
        le=PROCESSES,
        description="processes; default: one per core, or per GPU of a cluster",
    )
    engine: str = Field(default="local", description="local, or ray: the same on many machines")
    address: str | None = Field(
        default=None,
        description="HOST:PORT of a Ray cluster; default: the one that runs on this machine, or a new one",
    )
    store: str | None = Field(
        default=None,
        description="s3://, gs:// or file:// address through which nodes get rows and weights; default: the shared run folder",
    )
    cores: int = Field(default=1, ge=1, le=PROCESSES, description="cores that Ray sets aside for each worker")


def frozen_layers(encoder: str | int) -> int | Literal["all"] | None:
    """The layers of the frozen encoder named `frozen` or `frozen-N`; None for every other model.

    >>> frozen_layers("frozen"), frozen_layers("frozen-3"), frozen_layers(3)
    ('all', 3, None)
    """
    kind, _, layers = str(encoder).partition("-")
    if kind != "frozen":
        return None
    return int(layers) if layers else "all"


Preset = Literal["recommended", "paper"]


class ProxyConfig(_Section):
    """A cheaper model that scores the rows in place of the one that they are selected for."""

    encoder: (
        Annotated[int, Field(ge=1)]
        | Literal["none", "frozen"]
        | Annotated[str, Field(pattern=f"^frozen-{_LAYERS}$", examples=["frozen-N"])]
    ) = Field(
        default="none",
        description="score with another model: a head on the frozen encoder (frozen) or on its first N layers (frozen-N),"
        " or the first N layers, fine-tuned",
    )
    trainings: int | None = Field(
        default=None,
        ge=1,
        le=TRAININGS,
        description="trainings of the proxy, whose scores are averaged; default: 3 if frozen, else train.runs",
    )


class ScoreConfig(_Section):
    """How scores are computed from the signals."""

    options: dict[str, dict[str, str | int | float | bool]] = Field(
        default_factory=dict, description="options per score, e.g. {vog: {window: late}}"
    )


class SelectConfig(_Section):
    """The selection of rows."""

    by: str = Field(default="vog", description="a score, or a column of scores.parquet")
    normalise: Literal["auto", "raw", "class", "dataset"] = Field(
        default="auto",
        description="auto: class for VoG, raw for the others; for a table of scores (--out) the named column",
    )
    prune: Annotated[float, Field(gt=0, lt=1)] | Literal["auto"] = Field(
        default=0.45,
        description="share of the rows to drop; auto: the largest that is not worse than full data",
    )
    end: Literal["easy", "hard"] = "easy"
    strategy: str = "cutoff"
    options: dict[str, float] = Field(default_factory=dict, description="strategy options, e.g. temperature")
    stratify: str | None = Field(
        default=None, description="column whose proportions stratified strategies preserve"
    )
    floor: int = Field(default=1, ge=0, le=MOST, description="rows kept of every class, whatever the score")
    floor_group: tuple[str, ...] = Field(
        default=(), description="further columns to whose values the floor applies"
    )
    protect: tuple[str, ...] = Field(default=(), description="COLUMN=VALUE rows that are never dropped")
    seed: int = Field(default=0, ge=0, lt=2**63)


class GenerateConfig(_Section):
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


class CompareConfig(_Section):
    """The proof by retraining."""

    seeds: int = Field(default=3, ge=2, le=TRAININGS)
    most_seeds: int = Field(
        default=10,
        ge=2,
        le=TRAININGS,
        description="trainings per arm at most, where fewer do not decide; `compare` alone adds none unless this is given",
    )
    same_steps: bool = Field(
        default=False, description="as many steps as full data takes, instead of as many epochs"
    )
    hold_out: Annotated[float, Field(ge=0, le=0.5)] | Literal["auto"] = Field(
        default="auto",
        description="share of the rows that `run` holds out to prove on where no test rows are given; auto: as many as the"
        " margin takes, at most a fifth; 0: none, and no proof",
    )
    proof_rows: int | None = Field(
        default=None,
        ge=2,
        le=MOST,
        description="rows that the proof trains on, a sample stratified by class; kept and random rows are taken from it",
    )
    workers: int | None = Field(
        default=None, ge=1, le=PROCESSES, description="trainings at a time; default: one per core"
    )
    budget: Annotated[str, Field(pattern="^[0-9]+(\\.[0-9]+)?[smh]$", examples=["20m"])] | None = Field(
        default=None,
        description="time that a whole run may take, such as 20m: its proof gets as many seeds as fit",
    )
    loss_margin: float = Field(
        default=0.02,
        gt=0,
        description="of a language model: nats per completion token that the held-out loss may rise",
    )
    bootstrap: int = Field(default=1000, ge=100, le=1_000_000)


class SweepConfig(_Section):
    """The selections that a sweep compares with full data and random rows."""

    scores: tuple[str, ...] = Field(
        default=(), description="scores, or columns of scores.parquet; default: every score of the run"
    )
    ends: tuple[Literal["easy", "random", "hard"], ...] = Field(
        default=("easy", "random", "hard"), description="ends that are pruned; random rows are always tried"
    )
    fractions: tuple[float, ...] = Field(
        default=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), description="shares of the rows to drop"
    )
    seeds: int = Field(default=5, ge=2, le=TRAININGS)
    strategies: tuple[str, ...] = Field(
        default=("cutoff",), description="how rows are chosen by a score, e.g. softmax:temperature=0.5"
    )
    same_steps: bool = Field(
        default=False, description="as many steps as full data takes, instead of as many epochs"
    )
    models: tuple[str, ...] = Field(
        default=(),
        description="other models that train on the same choices of rows: frozen, frozen-N, all, or a number of layers",
    )
    workers: int | None = Field(
        default=None, ge=1, le=PROCESSES, description="trainings at a time; default: one per core"
    )
    engine: str = Field(default="local", description="local, or ray: on machines that all see the run folder")
    address: str | None = Field(default=None, description="HOST:PORT of the Ray cluster")

    @field_validator("models")
    @classmethod
    def _sizes(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        for name in models:
            if not re.fullmatch(rf"all|frozen|(frozen-)?{_LAYERS}", name):
                raise ValueError(f"models are frozen, frozen-N, all, or a number of layers (got '{name}')")
        return tuple(dict.fromkeys(models))

    @field_validator("fractions")
    @classmethod
    def _shares(cls, fractions: tuple[float, ...]) -> tuple[float, ...]:
        return _between(fractions, "fractions")


class HowMuchConfig(_Section):
    """The search for the largest share of rows that can be dropped."""

    margin: float = Field(default=0.5, gt=0, description="points of accuracy that may be lost")
    validation: float = Field(
        default=0.2,
        gt=0,
        lt=1,
        description="share of the training rows held out to decide on, in turn where heads decide",
    )
    step: float = Field(default=0.05, gt=0, lt=1, description="spacing of the shares that are tried")
    first_seeds: int = Field(
        default=3, ge=2, le=TRAININGS, description="trainings of a share before the first look"
    )
    most_seeds: int = Field(
        default=10,
        ge=2,
        le=TRAININGS,
        description="most trainings of a share, if the looks before are undecided",
    )


class NoiseConfig(_Section):
    """Experiments with planted label noise."""

    kinds: tuple[Literal["isotropic", "class", "group"], ...] = ("isotropic",)
    levels: tuple[float, ...] = Field(
        default=(0.05, 0.1, 0.15, 0.2, 0.25, 0.3), description="shares of the rows whose label is redrawn"
    )
    fractions: tuple[float, ...] = Field(
        default=(0.3, 0.5, 0.7), description="shares to prune by VoG and at random"
    )
    hard_fractions: tuple[float, ...] = Field(
        default=(0.05, 0.1), description="shares to prune from the hard end of TracIn and PVI"
    )
    seeds: int = Field(default=3, ge=2, le=TRAININGS)
    group: str | None = Field(
        default=None, description="group column of kind 'group'; default: the run's first"
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="of the noise")
    workers: int | None = Field(
        default=None, ge=1, le=PROCESSES, description="trainings at a time; default: one per core"
    )

    @field_validator("levels", "fractions", "hard_fractions")
    @classmethod
    def _shares(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        return _between(shares, "levels and fractions")


def _between(shares: tuple[float, ...], what: str) -> tuple[float, ...]:
    for share in shares:
        if not 0 < share < 1:
            raise ValueError(f"{what} lie between 0 and 1 (got {share:g})")
    return tuple(sorted(set(shares)))


class RunConfig(_Section):
    """The whole run."""

    data: DataConfig
    preset: Preset = Field(
        default="recommended",
        description="what `run` does where nothing else is asked for: recommended, or paper",
    )
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    proxy: ProxyConfig = ProxyConfig()
    measure: MeasureConfig = MeasureConfig()
    score: ScoreConfig = ScoreConfig()
    select: SelectConfig = SelectConfig()
    generate: GenerateConfig = GenerateConfig()
    compare: CompareConfig = CompareConfig()
    how_much: HowMuchConfig = HowMuchConfig()
    sweep: SweepConfig = SweepConfig()
    noise: NoiseConfig = NoiseConfig()

    @field_validator("data")
    @classmethod
    def _columns_differ(cls, data: DataConfig) -> DataConfig:
        if data.label in data.text:
            raise ValueError(f"column '{data.label}' is given as text and as label")
        return data
