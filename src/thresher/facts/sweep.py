"""The file of a sweep."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from thresher.facts.figures import Bounds, Spread


class SweepGroup(TypedDict):
    """Accuracy, or loss per token, and share kept of each group, in the order of the group counts."""

    accuracy: NotRequired[list[float | None]]
    loss: NotRequired[list[float | None]]
    kept: list[float | None]


class SweepFull(TypedDict):
    """The trainings on all rows."""

    n: int
    steps: int
    seeds: int
    accuracy: NotRequired[Spread]
    loss: NotRequired[Spread]
    groups: dict[str, SweepGroup]


class SweepLine(SweepFull):
    """One arm at one fraction."""

    score: str | None
    normalise: str
    end: str | None
    strategy: str
    options: dict[str, float] | None
    fraction: float
    same_steps: bool
    to_full: NotRequired[Bounds]
    to_random: NotRequired[Bounds]


class GroupCounts(TypedDict):
    """The values of a group column, and rows of each."""

    value: list[str]
    n_train: list[int]
    n_test: list[int]


class SweepFacts(TypedDict):
    """The file of a sweep."""

    metric: Literal["accuracy", "loss"]
    full: SweepFull
    groups: dict[str, GroupCounts]
    table: list[SweepLine]
    models: NotRequired[dict[str, SweepFacts]]
