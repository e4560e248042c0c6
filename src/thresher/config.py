"""Every setting of a run, with its default, in one place. `run.yaml` is this, written out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from thresher.errors import UserError


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class DataConfig(_Section):
    """Where the rows come from and which columns matter."""

    train: str
    test: str | None = None
    text: tuple[str, ...] = Field(min_length=1, max_length=2)
    label: str
    id: str | None = None
    groups: tuple[str, ...] = ()


class ModelConfig(_Section):
    """Encoder and classification head."""

    name: str = Field("minilm", description="'minilm' (bundled), a Hugging Face name, or a local folder")
    layers: int | Literal["auto", "all"] = Field(
        "auto", description="keep the first n encoder layers; auto is 3 for the bundled encoder, else all"
    )
    max_length: int = Field(128, ge=2, description="tokens per row; longer rows are cut and counted")
    pooling: Literal["auto", "mean", "first", "last"] = Field(
        "auto", description="auto: mean for encoders, last token for decoder-only models"
    )
    head_hidden: tuple[int, ...] = Field((256, 256), description="hidden widths; two make a 3-layer MLP")
    dropout: float = Field(0.1, ge=0, lt=1)
    trust_remote_code: bool = False


class TrainConfig(_Section):
    """The recipe. The same recipe trains the scored model and every model of `compare`."""

    epochs: float = Field(3, gt=0)
    max_steps: int | None = Field(None, ge=1, description="overrides epochs")
    batch_size: int = Field(32, ge=1)
    encoder_lr: float = Field(1e-4, ge=0)
    head_lr: float = Field(1e-3, ge=0)
    weight_decay: float = Field(0.0, ge=0)
    schedule: str = Field("linear", description="a transformers scheduler name")
    warmup: float = Field(0.1, ge=0, lt=1, description="share of the steps")
    seed: int = Field(0, ge=0)
    runs: int = Field(1, ge=1, description="trainings with other seeds for the averaged scores")
    checkpoints: int = Field(10, ge=2, description="evenly spaced over the run")
    checkpoint_every: int | None = Field(None, ge=1, description="steps; overrides checkpoints")
    forgetting_evaluations: int = Field(
        10, ge=0, description="whole-set evaluations, evenly spaced over forgetting_epochs"
    )
    forgetting_every: int | None = Field(None, ge=1, description="steps (the paper: 50); overrides the count")
    forgetting_epochs: float = Field(2, gt=0)
    null_epochs: float = Field(2, gt=0, description="epochs of PVI's model on empty input")
    bf16: bool = False
    report_to: tuple[str, ...] = Field((), description="loggers of transformers: tensorboard, wandb, mlflow, ...")
    threads: int | None = Field(None, ge=1, description="CPU threads of one training process; default: all")


class MeasureConfig(_Section):
    """The one pass over the rows. None of these may change a score."""

    chunk_rows: int = Field(1024, ge=1, description="rows per part file: the unit of work and of resume")
    batch_tokens: int = Field(2048, ge=1, description="padded tokens per batch")
    dtype: Literal["float32", "float64"] = "float32"
    workers: int | None = Field(None, ge=1, description="processes; default: one per core")


class SelectConfig(_Section):
    """What to prune."""

    by: str = Field("vog", description="a score, or a column of scores.parquet")
    normalise: Literal["auto", "raw", "class", "dataset"] = Field(
        "auto", description="auto: class for VoG, raw for the others"
    )
    prune: float = Field(0.45, gt=0, lt=1)
    end: Literal["easy", "hard"] = "easy"
    strategy: str = "cutoff"
    options: dict[str, float] = Field(default_factory=dict, description="strategy options, e.g. temperature")
    stratify: str | None = Field(None, description="column whose proportions stratified strategies keep")
    floor: int = Field(1, ge=0, description="rows kept of every class, whatever the score")
    floor_group: tuple[str, ...] = Field((), description="columns whose values keep the floor too")
    protect: tuple[str, ...] = Field((), description="COLUMN=VALUE rows that are never dropped")
    seed: int = Field(0, ge=0)


class CompareConfig(_Section):
    """The proof by retraining."""

    seeds: int = Field(3, ge=2)
    same_steps: bool = Field(False, description="as many steps as full data takes, instead of as many epochs")
    workers: int | None = Field(None, ge=1, description="trainings at a time; default: one per core")
    bootstrap: int = Field(1000, ge=100)


class RunConfig(_Section):
    """The whole run."""

    data: DataConfig
    model: ModelConfig = ModelConfig()
    train: TrainConfig = TrainConfig()
    measure: MeasureConfig = MeasureConfig()
    scores: dict[str, dict[str, str | int | float | bool]] = Field(
        default_factory=dict, description="options per score, e.g. {vog: {window: late}}"
    )
    select: SelectConfig = SelectConfig()
    compare: CompareConfig = CompareConfig()

    @field_validator("data")
    @classmethod
    def _columns_differ(cls, data: DataConfig) -> DataConfig:
        if data.label in data.text:
            raise ValueError(f"column '{data.label}' is given as text and as label")
        return data


SETTINGS: dict[str, str] = {
    name: section
    for section, model in (("train", TrainConfig), ("model", ModelConfig), ("measure", MeasureConfig))
    for name in model.model_fields
}


def with_settings(config: RunConfig, **settings: Any) -> RunConfig:
    """A configuration with some settings changed by name; `model` stands for the encoder's name.

    Names that two sections share (`seed`, `workers`) mean the training's seed and the measuring workers.

    Raises
    ------
    UserError
        an unknown setting, or a value that it does not take.

    >>> base = RunConfig(data=DataConfig(train="train.jsonl", text=("text",), label="label"))
    >>> with_settings(base, epochs=5, model="bert-base-uncased").train.epochs
    5.0
    """
    changed = config.model_dump()
    for name, value in settings.items():
        section, field = ("model", "name") if name == "model" else (SETTINGS.get(name), name)
        if section is None:
            raise UserError(f"unknown setting '{name}'; there are model, {', '.join(sorted(SETTINGS))}")
        changed[section][field] = value
    return checked(changed)


def checked(settings: dict[str, Any], where: str = "settings") -> RunConfig:
    """A whole configuration from plain values.

    Raises
    ------
    UserError
        one line that names the setting and what it takes.
    """
    try:
        return RunConfig.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{where}: {place}: {first['msg'].lower()} (got {first['input']!r})") from error


def read_config(path: Path) -> dict[str, Any]:
    """A run.yaml written by a user: any part of `RunConfig`, as plain values.

    Raises
    ------
    UserError
        missing file, broken YAML, or not a mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: broken YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: needs sections such as data, model, train; it holds {type(content).__name__}")
    return content
