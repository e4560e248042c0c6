"""The types of what a study writes: a file per cell, and its results."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from thresher.nlu.metrics.relative import RelativeInterval

Intervals = dict[str, RelativeInterval]  # by metric


class CellFacts(TypedDict):
    """One trained stack."""

    technique: str
    prune: float
    sample: int
    pool: str
    n_train: int
    seconds: float
    key: str


class ErrorRate(TypedDict):
    """An error rate over the samples; of one sample no deviation follows."""

    mean: float
    std: float | None
    values: list[float]


Rates = dict[str, ErrorRate]  # by metric


class FullStack(TypedDict):
    """The stacks on all rows of a pool."""

    n_train: int
    metrics: Rates
    tests: dict[str, Rates]
    domains: dict[str, Rates]


class DomainFacts(TypedDict):
    """The rows of a domain, the share of them that a technique removes, and its errors where there are test rows."""

    n_train: int
    removed: float
    n_test: int
    metrics: NotRequired[Intervals]


Technique = TypedDict(
    "Technique",
    {
        "technique": str,
        "title": str,
        "prune": float,
        "pool": str,
        "n_train": int,
        "removed": float,
        "metrics": Intervals,
        "beside random": Intervals,
        "tests": dict[str, Intervals],
        "domains": dict[str, DomainFacts],
        "sources": list[dict[str, object]],
        "sigma": dict[str, float],
    },
)


class StudyResults(TypedDict):
    """All results of a study, as the page prints them; `full` by pool, `tests` and `domains` by name."""

    samples: int
    n_train: int
    tests: dict[str, int]
    full: dict[str, FullStack]
    techniques: list[Technique]
    scores: list[dict[str, object]]
    entropy: list[dict[str, object]]
    seconds: float


class StudyFacts(TypedDict):
    """What a study was made with, and the settings of its stacks."""

    made_with: str
    same_steps: bool
    config: dict[str, object]
