"""Every setting of a run, with its default, in one place. `run.yaml` is this, written out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from thresher.errors import UserError


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


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

    name: str = Field(
        default="minilm", description="'minilm' (bundled), a Hugging Face name, or a local folder"
    )
    layers: int | Literal["auto", "all"] = Field(
        default="auto",
        description="keep the first n encoder layers; auto is 3 for the bundled encoder, else all",
    )
    max_length: int = Field(default=128, ge=2, description="tokens per row; longer rows are cut and counted")
    pooling: Literal["auto", "mean", "first", "last"] = Field(
        default="auto", description="auto: mean for encoders, last token for decoder-only models"
    )
    head_hidden: tuple[int, ...] = Field(
        default=(256, 256), description="hidden widths; two make a 3-layer MLP"
    )
    dropout: float = Field(default=0.1, ge=0, lt=1)
    trust_remote_code: bool = False


class TrainConfig(_Section):
    """The recipe. The same recipe trains the scored model and every model of `compare`."""

    epochs: float = Field(default=3, gt=0)
    max_steps: int | None = Field(default=None, ge=1, description="overrides epochs")
    batch_size: int = Field(default=32, ge=1)
    encoder_lr: float = Field(default=1e-4, ge=0)
    head_lr: float = Field(default=1e-3, ge=0)
    weight_decay: float = Field(default=0.0, ge=0)
    schedule: str = Field(default="linear", description="a transformers scheduler name")
    warmup: float = Field(default=0.1, ge=0, lt=1, description="share of the steps")
    seed: int = Field(default=0, ge=0)
    runs: int = Field(default=1, ge=1, description="trainings with other seeds for the averaged scores")
    checkpoints: int = Field(default=10, ge=2, description="evenly spaced over the run")
    checkpoint_every: int | None = Field(default=None, ge=1, description="steps; overrides checkpoints")
    forgetting_evaluations: int = Field(
        default=10, ge=0, description="whole-set evaluations, evenly spaced over forgetting_epochs"
    )
    forgetting_every: int | None = Field(
        default=None, ge=1, description="steps (the paper: 50); overrides the count"
    )
    forgetting_epochs: float = Field(default=2, gt=0)
    null_epochs: float = Field(default=2, gt=0, description="epochs of PVI's model on empty input")
    bf16: bool | Literal["auto"] = Field(
        default="auto",
        description="bfloat16 autocast in training; auto: where the processor or GPU computes in it",
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
        default=None, ge=1, description="CPU threads of one training process; default: all"
    )
    workers: int | None = Field(
        default=None, ge=1, description="trainings at a time, which changes no result; default: one per core"
    )


Signal = Literal["gradient_gram", "gradient_std", "encoder_sq_norm", "classifier_sq_norm"]
SIGNALS: tuple[Signal, ...] = get_args(Signal)


class MeasureConfig(_Section):
    """The one pass over the rows. None of these may change a score, but for rounding (`dtype`); `signals` leaves some out."""

    signals: tuple[Signal, ...] = Field(
        default=SIGNALS, description="what is measured beside the logits; scores that need more are left out"
    )

    chunk_rows: int = Field(
        default=1024, ge=1, description="rows per part file: the unit of work and of resume"
    )
    batch_tokens: int = Field(default=1024, ge=1, description="padded tokens per batch")
    dtype: Literal["float32", "float64", "bfloat16"] = Field(
        default="float32",
        description="bfloat16: products of the model in bfloat16, for a GPU; it moves the scores by some percent",
    )
    workers: int | None = Field(
        default=None, ge=1, description="processes; default: one per core, or per GPU of a cluster"
    )
    engine: str = Field(default="local", description="local, or ray: the same on many machines")
    address: str | None = Field(
        default=None,
        description="HOST:PORT of a Ray cluster; default: the one that runs on this machine, or a new one",
    )
    store: str | None = Field(
        default=None,
        description="s3://, gs:// or file:// address that rows and weights reach the nodes by; default: the run folder, shared",
    )
    cores: int = Field(default=1, ge=1, description="cores that Ray sets aside for each worker")


class SelectConfig(_Section):
    """What to prune."""

    by: str = Field(default="vog", description="a score, or a column of scores.parquet")
    normalise: Literal["auto", "raw", "class", "dataset"] = Field(
        default="auto", description="auto: class for VoG, raw for the others"
    )
    prune: float = Field(default=0.45, gt=0, lt=1)
    end: Literal["easy", "hard"] = "easy"
    strategy: str = "cutoff"
    options: dict[str, float] = Field(default_factory=dict, description="strategy options, e.g. temperature")
    stratify: str | None = Field(
        default=None, description="column whose proportions stratified strategies keep"
    )
    floor: int = Field(default=1, ge=0, description="rows kept of every class, whatever the score")
    floor_group: tuple[str, ...] = Field(default=(), description="columns whose values keep the floor too")
    protect: tuple[str, ...] = Field(default=(), description="COLUMN=VALUE rows that are never dropped")
    seed: int = Field(default=0, ge=0)


class CompareConfig(_Section):
    """The proof by retraining."""

    seeds: int = Field(default=3, ge=2)
    same_steps: bool = Field(
        default=False, description="as many steps as full data takes, instead of as many epochs"
    )
    workers: int | None = Field(default=None, ge=1, description="trainings at a time; default: one per core")
    bootstrap: int = Field(default=1000, ge=100)


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


_SECTIONS: dict[str, type[_Section]] = {
    "train": TrainConfig,
    "model": ModelConfig,
    "measure": MeasureConfig,
    "select": SelectConfig,
    "compare": CompareConfig,
}
# The sections that have a setting of this name.
SETTINGS: dict[str, tuple[str, ...]] = {
    name: tuple(section for section, model in _SECTIONS.items() if name in model.model_fields)
    for kind in _SECTIONS.values()
    for name in kind.model_fields
}


def with_settings(config: RunConfig, **settings: Any) -> RunConfig:
    """A configuration with some settings changed by name; `model` stands for the encoder's name.

    A name that several sections share (`seed`, `workers`) is set in all of them.

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
        sections, field = (("model",), "name") if name == "model" else (SETTINGS.get(name), name)
        if sections is None:
            raise UserError(f"unknown setting '{name}'; there are model, {', '.join(sorted(SETTINGS))}")
        for section in sections:
            changed[section][field] = value
    return checked(changed)


def checked(settings: dict[str, Any], name: Callable[[str], str] = str) -> RunConfig:
    """A whole configuration from plain values; `name` gives the name of a setting (`select.prune`) in messages.

    Raises
    ------
    UserError
        one line that names the setting and what it takes.

    >>> data = {"train": "train.jsonl", "text": ["text"], "label": "label"}
    >>> checked({"data": data, "select": {"prune": 1.5}})
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: select.prune must lie between 0 and 1 (got 1.5)
    """
    try:
        return RunConfig.model_validate(settings)
    except ValidationError as error:
        raise UserError(_problem(error.errors()[0], name)) from error


def setting(place: str) -> FieldInfo | None:
    """The field of a setting by its place, None where there is no such setting.

    >>> setting("select.prune").default
    0.45
    """
    section, _, field = place.partition(".")
    found = RunConfig.model_fields.get(section)
    kind = found.annotation if found else None
    if field and isinstance(kind, type) and issubclass(kind, BaseModel):
        return kind.model_fields.get(field.partition(".")[0])
    return found


def _problem(error: ErrorDetails, name: Callable[[str], str]) -> str:
    """One line for what pydantic found: which setting, what it takes, what it got."""
    place = ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return f"{name(place)} is missing"
    if error["type"] == "extra_forbidden":
        section, _, field = place.rpartition(".")
        known = _SECTIONS[section].model_fields if section in _SECTIONS else DataConfig.model_fields
        names = known if section else RunConfig.model_fields
        return f"{name(place)}: no setting is called '{field}'; there are {', '.join(names)}"
    if error["type"] == "value_error":
        return error["msg"].removeprefix("Value error, ")
    field_info = setting(place)
    wanted = _takes(field_info) if field_info else error["msg"].lower()
    short = ".".join(place.split(".")[:2])
    return f"{name(short)} must {wanted} (got {error['input']!r})"


def _takes(field: FieldInfo) -> str:
    """What a setting takes, in words."""
    bounds = {
        kind: getattr(one, kind)
        for one in field.metadata
        for kind in ("gt", "ge", "lt", "le", "min_length", "max_length")
        if getattr(one, kind, None) is not None
    }
    if "min_length" in bounds:
        return f"hold {bounds['min_length']} to {bounds['max_length']} names"
    low, high = bounds.get("gt", bounds.get("ge")), bounds.get("lt")
    kind = "be " + " or ".join(_kinds(field.annotation))
    if high is not None:
        return f"lie between {low} and {high}" + (f", {high} not included" if "ge" in bounds else "")
    if low is not None:
        return f"{kind} {'above' if 'gt' in bounds else 'of at least'} {low}"
    return kind


def _kinds(annotation: Any) -> list[str]:
    """The types of an annotation, in words.

    >>> _kinds(int | Literal["auto", "all"])
    ['a whole number', "'auto'", "'all'"]
    >>> _kinds(tuple[Literal["gram", "std"], ...])
    ['a list out of gram, std']
    """
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Literal:
        return [repr(choice) for choice in inner]
    if origin is tuple:
        choices = get_args(inner[0]) if get_origin(inner[0]) is Literal else ()
        return [f"a list out of {', '.join(choices)}" if choices else "a list"]
    if origin is dict:
        return ["a mapping of names to numbers"]
    if inner:
        return [words for part in inner if part is not NoneType for words in _kinds(part)]
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    return [words.get(annotation, "a section of settings")]


def read_config(path: Path) -> dict[str, Any]:
    """A run.yaml, by a user (any part of `RunConfig`) or of a run folder, as plain values.

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
        raise UserError(
            f"{path}: needs sections such as data, model, train; it holds {type(content).__name__}"
        )
    written_by_run = "format" in content and isinstance(content.get("config"), dict)
    return dict(content["config"]) if written_by_run else content
