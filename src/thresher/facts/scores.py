"""What is said of scores, selections and suspects."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict


class SelectionFacts(TypedDict, total=False):
    """The file of a selection, as far as the report reads it."""

    key: str
    by: str | list[str] | None
    column: str | None
    end: str
    strategy: str
    prune: float
    n_kept: int
    n_rows: int


class ScoreFacts(TypedDict, total=False):
    """How a score was computed."""

    hard: Literal["high", "low"]
    normalise: str
    runs_used: int
    options: dict[str, object]
    source: str
    cost: str


class Agreement(TypedDict):
    """Rank correlation of a score between trainings, and how many to average."""

    runs: int
    correlation: float
    low: float
    high: float
    runs_needed: int | None


class StabilityFacts(TypedDict):
    """The agreement of the trainings on each score; why other scores have none."""

    scores: dict[str, Agreement]
    left_out: dict[str, str]


class ScoresFacts(TypedDict):
    """The scores of a run, why others were left out, and how stable they are."""

    scores: dict[str, ScoreFacts]
    skipped: dict[str, str]
    stability: StabilityFacts | None


class Similarity(TypedDict):
    """How similar the rows at one end of two scores are."""

    score_a: str
    score_b: str
    end: str
    fraction: float
    similarity: float
    chance: float


class Suspects(TypedDict):
    """The list of suspects: by which score, how many, and how many of them are expected to be wrong."""

    score: str
    task: NotRequired[str]  # "text" for completions
    by: str
    listed: int
    expected: float | None  # None where the model has learned too little to say
    total: float
    accuracy: float
    largest: float
