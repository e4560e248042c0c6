"""What a comparison by retraining finds and decides."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

from thresher.facts.figures import Bounds, Spread

Metric = Literal["accuracy", "macro_f1"]
TextMetric = Literal["loss", "token_accuracy", "exact"]


class ArmFacts(TypedDict, total=False):
    """What an arm of a comparison reached: the first two metrics for rows with labels, the others for completions."""

    n_train: int
    accuracy: Spread
    macro_f1: Spread
    loss: Spread
    token_accuracy: Spread
    exact: Spread


class Contrast(TypedDict):
    """Per arm its metrics, and per pair of arms and metric the difference."""

    arms: dict[str, ArmFacts]
    differences: dict[str, dict[str, Bounds]]


class Unseen(Contrast):
    """The same over the test rows whose text is not in the training rows."""

    n_test: int


class ComparisonSettings(TypedDict):
    """What a comparison was made with."""

    task: NotRequired[str]  # "text" for completions
    seeds: list[int]
    same_steps: bool
    epochs: float
    steps_full: int
    steps_pruned: int
    epochs_pruned: float
    n_full: int
    n_kept: int
    proof_rows: int
    n_test: int
    n_tokens: NotRequired[int]  # of completions
    held_out: bool
    confidence: float
    seconds: float


GroupFacts = TypedDict(
    "GroupFacts",
    {
        "n_train": int,
        "n_test": int,
        "removed": float | None,
        "full": float,
        "kept": float,
        "random": float,
        "kept-full": Bounds,
    },
    total=False,
)
Groups = dict[str, dict[str, GroupFacts]]  # per column and value


class Look(Bounds):
    """One look at a comparison while seeds are added."""

    seeds: int
    confidence: float
    word: str


class Proof(Look):
    """A share that was selected and compared: the last look, and the decision in words."""

    selection: str
    prune: float
    task: str
    n_kept: int
    n_rows: int
    sentence: str


class Enough(TypedDict):
    """Seeds and test rows that would decide; whether some larger number of seeds alone would."""

    seeds: int
    test_rows: int
    any_seeds: bool


class Needs(Enough):
    """What would decide, with the change that it is assuming."""

    assuming: str


class DecisionFacts(TypedDict):
    """What a comparison says to do."""

    word: str
    sentence: str
    margin: float
    looks: list[Look]
    planned: list[int]
    needs: Needs | None


class MeasuredComparison(Contrast):
    """A comparison before it is put into words."""

    selection: str
    settings: ComparisonSettings
    groups: Groups
    unseen: Unseen | None
    select: str
    test: str | None
    caution: str


class ComparisonFacts(MeasuredComparison):
    """The file of a comparison."""

    verdict: str
    decision: DecisionFacts
