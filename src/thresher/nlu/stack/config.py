"""The settings of a stack, with their defaults."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from thresher.config import ModelConfig, TrainConfig
from thresher.errors import UserError
from thresher.settings import read_config


class StackConfig(BaseModel):
    """The settings of a stack: a recipe for the domain classifier, one for the joint models, and thresholds of the answers."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    model: ModelConfig = ModelConfig()
    domain: TrainConfig = TrainConfig(epochs=4)
    joint: TrainConfig = TrainConfig(epochs=8, batch_size=16, encoder_lr=2e-4)
    joint_least_steps: int = Field(
        default=100, ge=1, description="least number of training steps, for small domains"
    )
    joint_frozen_layers: int = Field(
        default=0,
        ge=0,
        description="layers of the joint models that are not trained, with the token table; 0 trains all",
    )
    domain_threshold: float = Field(
        default=0.0, ge=0, le=1, description="confidence below which no domain answers"
    )
    intent_threshold: float = Field(
        default=0.0, ge=0, le=1, description="confidence below which no intent is given"
    )
    seed: int = Field(default=0, ge=0)

    def untrained(self) -> dict[str, object]:
        """The settings that do not change the weights."""
        return self.model_dump(include={"domain_threshold", "intent_threshold"})


def stack_config(settings: dict[str, Any] | None = None, file: Path | None = None) -> StackConfig:
    """The defaults, overridden by a YAML file and then by settings (`joint.epochs`, `seed`, ...).

    Raises
    ------
    UserError
        an unknown setting, or a value that it does not take.

    >>> stack_config({"joint.epochs": 2}).joint.epochs
    2.0
    """
    merged = StackConfig().model_dump()
    given = read_config(file) if file else {}
    flat = {**flattened(given), **(settings or {})}
    for place, value in flat.items():
        *path, last = place.split(".")
        section: object = merged
        for name in path:
            section = section.get(name) if isinstance(section, dict) else None
        if not isinstance(section, dict) or last not in section:
            raise UserError(
                f"unknown setting '{place}' of a stack; the settings are {', '.join(StackConfig.model_fields)}"
            )
        section[last] = value
    return checked(merged)


def checked(settings: dict[str, Any]) -> StackConfig:
    """A checked configuration from plain values.

    Raises UserError: a value that a setting does not take.
    """
    try:
        return StackConfig.model_validate(settings)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"setting '{place}': {first['msg'].lower()} (got {first['input']!r})") from error


def flattened(settings: dict[str, object]) -> dict[str, object]:
    """Settings by their dotted names, two levels deep.

    >>> flattened({"seed": 1, "domain": {"diet_options": {"r": 0.7}}})
    {'seed': 1, 'domain.diet_options': {'r': 0.7}}
    """
    found: dict[str, object] = {}
    for name, value in settings.items():
        if isinstance(value, dict):
            found |= {f"{name}.{key}": inner for key, inner in value.items()}
        else:
            found[str(name)] = value
    return found
