"""The file of a sweep."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from thresher.facts.figures import Bounds, Spread


class SweepGroup(TypedDict):
    """Accuracy, or loss per token, and share kept of each group, in the order of the group counts."""

    accuracy: NotRequired[list[float | None]]
    loss: NotRequired[list[float | None]]
    kept: list[float | None]


class MeanStd(TypedDict):
    """Mean and standard deviation over seeds."""

    mean: float
    std: float


class SweepFigures(TypedDict):
    """Some trainings on as many rows: accuracy and macro-F1, or of completions the other three."""

    n: int
    steps: int
    seeds: int
    accuracy: NotRequired[Spread]
    macro_f1: NotRequired[MeanStd]
    loss: NotRequired[Spread]
    token_accuracy: NotRequired[MeanStd]
    exact: NotRequired[MeanStd]


class SweepFull(SweepFigures):
    """The trainings on all rows."""

    groups: dict[str, SweepGroup]


class ArmLine(TypedDict):
    """How the rows of a line are selected."""

    score: str | None
    normalise: str
    end: str | None
    strategy: str
    options: dict[str, float] | None


class SweepLine(SweepFull, ArmLine):
    """One arm at one fraction; differences are from 0 to 1, of completions in nats per token, above 0 where the loss rises."""

    fraction: float
    same_steps: bool
    to_full: NotRequired[Bounds]
    to_random: NotRequired[Bounds]


class GroupCounts(TypedDict):
    """The values of a group column, and rows of each."""

    value: list[str]
    n_train: list[int]
    n_test: list[int]


class SweepArms(TypedDict):
    """Every arm at every fraction, trained with one model."""

    metric: Literal["accuracy", "loss"]
    full: SweepFull
    groups: dict[str, GroupCounts]
    table: list[SweepLine]
    trainings: int
    seconds: float


class SweepFacts(SweepArms):
    """The file of a sweep; `models`: the same rows, trained with other models."""

    made_of: str
    models: NotRequired[dict[str, SweepArms]]
