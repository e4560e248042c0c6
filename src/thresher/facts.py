"""The types of what a step writes and the report or another step reads: audit, scores, selections, comparisons, sweeps."""

from __future__ import annotations

from typing import Literal, NotRequired, TypedDict

Metric = Literal["accuracy", "macro_f1"]
TextMetric = Literal["loss", "token_accuracy", "exact"]


class Bounds(TypedDict):
    """A difference and the ends of its interval."""

    mean: float
    low: float
    high: float


class Spread(TypedDict):
    """Mean and standard deviation over seeds, and the value of each."""

    mean: float
    std: float
    values: list[float]


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


class ShareLook(Bounds):
    """What trainings at one share show about a margin."""

    fraction: float
    n_kept: int
    n_full: int
    removed: float
    seeds: int
    confidence: float
    shown: str


class Bisection(TypedDict):
    """The largest share that is shown to be free, the largest that may be, and every look."""

    fraction: float
    removed: float
    candidate: float
    candidate_removed: float
    looks: list[ShareLook]
    trainings: int


class ShareSearch(Bisection):
    """A search with the share at which the loss passes the margin; None for beyond the largest that was tried."""

    estimate: float | None
    low: float | None
    high: float | None
    n_validation: int


class ConfirmedShare(ShareLook):
    """What test rows that took no part in a search say of its share."""

    n_test: int


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


class Example(TypedDict):
    """Rows of one text: their text(s), rows per label, number of rows, and the first ids."""

    texts: list[str]
    labels: dict[str, int]
    rows: int
    ids: list[str]


class Duplicates(TypedDict):
    """Rows that repeat the text and the label of an earlier row."""

    rows: int
    examples: list[Example]


class Conflicting(TypedDict):
    """Texts that carry more than one label, and the rows of these texts."""

    texts: int
    rows: int
    examples: list[Example]


class Empty(TypedDict):
    """Rows with an empty text."""

    rows: int
    ids: list[str]


class NearEqual(TypedDict):
    """Rows that are nearly equal to an earlier one, of `among` rows that were compared; examples (earlier id, id)."""

    rows: int
    among: int
    examples: list[tuple[str, str]]


class Overlap(TypedDict):
    """Rows whose text occurs in both sets."""

    test_rows_in_train: int
    train_rows_in_test: int
    test_ids: list[str]
    train_ids: list[str]


class HeldOut(TypedDict):
    """The test set; `absent` names the classes without a test row."""

    n: int
    classes: dict[str, int]
    absent: list[str]


class Audit(TypedDict):
    """The findings of `audit`, JSON-able."""

    n: int
    label: str  # the label column
    classes: dict[str, int]  # rows per class
    groups: dict[str, dict[str, int]]  # column -> value -> rows
    duplicates: Duplicates
    conflicting: Conflicting
    empty: Empty
    singletons: list[str]  # classes of one row
    alike: list[list[str]]  # classes whose normalised names are equal
    unlabelled: dict[str, int]  # classes whose name may mean "no label" -> rows
    overlap: Overlap | None  # None without test rows
    test: HeldOut | None
    near_equal: NotRequired[NearEqual]  # of rows whose target is a text
    task: NotRequired[str]  # "text" for rows whose target is a text


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
