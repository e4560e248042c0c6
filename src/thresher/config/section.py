"""What all sections share: unknown settings are refused, a single value stands for a list, numbers have limits."""

from __future__ import annotations

from typing import get_origin

from pydantic import BaseModel, ConfigDict, model_validator

LAYERS = "[1-9][0-9]*"
# What is larger is a slip of the keyboard, and would run for days or end in an allocator without a word.
MOST, MANY, TRAININGS, PROCESSES, WIDEST = 1_000_000_000, 10_000, 1_000, 4_096, 16_384


class Section(BaseModel):
    """One section of `run.yaml`."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    @model_validator(mode="before")
    @classmethod
    def _lists(cls, given: object) -> object:
        if not isinstance(given, dict):
            return given
        lists = {name for name, field in cls.model_fields.items() if get_origin(field.annotation) is tuple}
        alone = {name for name in lists & set(given) if isinstance(given[name], str | int | float)}
        return {name: [value] if name in alone else value for name, value in given.items()}


def between(shares: tuple[float, ...], what: str) -> tuple[float, ...]:
    """The shares in order, each once; those of 0, of 1 or beyond are refused in the name of `what`."""
    for share in shares:
        if not 0 < share < 1:
            raise ValueError(f"{what} lie between 0 and 1 (got {share:g})")
    return tuple(sorted(set(shares)))
