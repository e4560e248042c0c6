"""Typed results of the public functions: named fields, a short text form, and a notebook view."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import polars as pl

from thresher.facts.comparison import ArmFacts, ComparisonSettings, DecisionFacts, Groups, Unseen
from thresher.facts.figures import Bounds
from thresher.facts.search import ConfirmedShare, ShareLook
from thresher.run import Run

Facts = dict[str, Any]


@dataclass(frozen=True)
class Result:
    """A result; its fields can be read as attributes or by name, `result["verdict"]`."""

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def to_dict(self) -> Facts:
        """Plain values, for JSON."""
        return {name: value for name, value in asdict(self).items() if not name.startswith("_")}

    def _repr_html_(self) -> str:
        from thresher.results_html import result_html

        return result_html(self)


@dataclass(frozen=True)
class Comparison(Result):
    """The comparison of a selection with full data and random rows, by retraining.

    `arms`: per training arm (full, kept, random) accuracy and macro-F1 {mean, std, values} and n_train. `differences`: per
    pair of arms ("kept-full", "kept-random", "random-full") and metric {mean, low, high, ...}, paired by seed, with 95%
    intervals, from 0 to 1. `groups`: per group column and value. `unseen`: the same on test rows whose text is not in the
    training rows. `verdict`: the result in a sentence. `decision`: what to do, {word, sentence, margin, looks, planned, needs},
    where the word is "drop", "do not drop", "probably safe" or "undecided".
    """

    selection: str
    settings: ComparisonSettings
    arms: dict[str, ArmFacts] = field(repr=False)
    differences: dict[str, dict[str, Bounds]] = field(repr=False)
    groups: Groups = field(repr=False)
    unseen: Unseen | None = field(repr=False)
    select: str = field(repr=False)
    test: str | None = field(repr=False)
    caution: str
    verdict: str
    decision: DecisionFacts = field(repr=False)

    def __str__(self) -> str:
        return f"{self.decision['sentence']}\n{self.verdict}"


@dataclass(frozen=True)
class LargestShare(Result):
    """The largest share of the rows that can be dropped.

    `fraction` as `select` takes it for `prune`, 0 if none is shown; `removed` the share of the rows that it drops; `candidate`,
    `candidate_removed`: the largest whose estimated loss lies within the margin, which is no proof; `estimate`, `low`, `high`:
    where the loss reaches the margin, with a 95% interval; `looks`: the result at each share that was tried; `folds` of the
    training rows that decided, 0 for one part of them. `metric`: what the margin is in, "accuracy" (points) or of completions
    "loss" (nats per token). The `mean`, `low` and `high` of a look are gains, negative where accuracy falls or the loss rises.
    """

    fraction: float
    removed: float
    candidate: float
    candidate_removed: float
    estimate: float | None
    low: float | None
    high: float | None
    looks: list[ShareLook] = field(repr=False)
    trainings: int
    n_validation: int
    margin: float
    validation: float
    folds: int
    same_steps: bool
    arm: Facts = field(repr=False)
    confirmed: ConfirmedShare | None = field(repr=False)
    test: str | None = field(repr=False)
    sentence: str
    metric: str

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True)
class Sweep(Result):
    """The training arms of a sweep at every fraction: `table` has a line for each, `full` the trainings on all rows.

    A line has score, normalise, end, strategy, options, fraction, same_steps, n, steps, seeds, accuracy {mean, std, values},
    macro_f1 {mean, std}, and the differences to_full and to_random {mean, low, high}, from 0 to 1. `models`: the same for
    other models, trained on the same rows. `metric`: "accuracy", or of completions "loss": a line has loss, token_accuracy and
    exact instead, and differences of the loss in nats per token, above 0 where it rises.
    """

    full: Facts
    groups: Facts = field(repr=False)
    table: list[Facts] = field(repr=False)
    trainings: int
    seconds: float
    made_of: str = field(repr=False)
    models: dict[str, Facts] = field(default_factory=dict, repr=False)
    metric: str = "accuracy"

    def frame(self) -> pl.DataFrame:
        """The lines as a frame: one per arm and fraction, differences in points of accuracy or nats per token."""
        scale = 1 if self.metric == "loss" else 100
        lines = [
            {
                **{
                    name: line[name]
                    for name in ("score", "normalise", "end", "strategy", "fraction", "n", "steps", "seeds")
                },
                self.metric: scale * line[self.metric]["mean"],
                **{
                    f"{to}_{name}": scale * line[to][name]
                    for to in ("to_full", "to_random")
                    for name in line[to]
                },
            }
            for line in self.table
        ]
        return pl.DataFrame(lines)

    def __str__(self) -> str:
        return str(self.frame())


@dataclass(frozen=True)
class NoiseStudy(Result):
    """The effect of planted label noise, per level: `levels` has kind, level, share_changed, full, table, found, chance."""

    levels: list[Facts] = field(repr=False)
    n: int
    n_classes: int
    n_test: int

    def __str__(self) -> str:
        return f"{len(self.levels)} levels of label noise on {self.n:,} rows"


@dataclass(frozen=True)
class Measured(Result):
    """Counts of the measuring pass; `refused`: signals that the architecture does not support, with the reason."""

    rows: int
    checkpoints: int
    truncated: int
    measured_chunks: int
    refused: dict[str, str]


@dataclass(frozen=True)
class WholeRun(Result):
    """The whole job: the run, the rows of the input and the kept ones, the files, the decision, and the comparison behind it.

    `decision`: {"word": "drop", "do not drop", "probably safe", "undecided" or "not proved", "sentence", "prune": the share whose
    rows are selected, 0 where all rows are kept, "margin", "tried": the shares that were proved, "search"}. `compare` is the
    last proof, None where there was none. `n_held_out` of the kept rows were held out to prove on: no model was trained on
    them, and no score decided about them.
    """

    run: Run
    n_rows: int
    n_kept: int
    selection: str
    kept: str
    dropped: str
    suspects: str
    report: str
    decision: Facts
    compare: Comparison | None
    n_held_out: int = 0

    def to_dict(self) -> Facts:
        """Plain values, for JSON."""
        own = {
            name: getattr(self, name)
            for name in (
                "decision",
                "n_rows",
                "n_kept",
                "n_held_out",
                "selection",
                "kept",
                "dropped",
                "suspects",
                "report",
            )
        }
        compare = self.compare.to_dict() if self.compare else None
        return {"run": str(self.run), **own, "compare": compare}

    def __str__(self) -> str:
        verdict = f"\n{self.compare.verdict}" if self.compare else ""
        return (
            f"{self.decision['sentence']}{verdict}\nkept {self.n_kept:,} of {self.n_rows:,} rows: {self.kept}"
        )
