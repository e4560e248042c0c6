"""What a comparison says to do: drop the rows, keep them, or what it would take to know."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from thresher.experiments.decision_sentence import MOST_ROWS, MOST_SEEDS, sentence, to_reach
from thresher.experiments.intervals import Interval, paired_interval
from thresher.experiments.looks import confidences
from thresher.experiments.proof_rows import trained_on
from thresher.experiments.wording import caution
from thresher.facts.comparison import DecisionFacts, Enough, Look, MeasuredComparison, Needs
from thresher.facts.figures import Bounds

Word = Literal["drop", "do not drop", "probably safe", "undecided"]
Predicted = Mapping[str, NDArray[np.int32]]  # per arm, classes (S, n)
Labels = NDArray[np.int64]
Z = 1.96  # half of a 95% interval, in standard errors


def word_of(found: Mapping[str, Any], margin: float) -> Word:
    """What an interval of the change in accuracy says about a margin; both from 0 to 1.

    `drop`: a loss of the margin or more is ruled out. `do not drop`: a loss is shown, and one above the margin not ruled out.
    Where neither is shown, `probably safe` if the estimate lies within the margin, and else `undecided`.

    >>> word_of({"mean": -0.001, "low": -0.004, "high": 0.002}, 0.005)
    'drop'
    >>> word_of({"mean": -0.001, "low": -0.009, "high": 0.007}, 0.005)
    'probably safe'
    """
    if found["low"] > -margin:
        return "drop"
    if found["high"] < 0:
        return "do not drop"
    return "probably safe" if found["mean"] > -margin else "undecided"


@dataclass(frozen=True)
class Parts:
    """What makes a difference of two arms vary: between trainings, between test rows, and between both together."""

    seed: float
    row: float
    both: float

    def variance(self, seeds: float, rows: int) -> float:
        """SE^2 of `paired_interval` with so many seeds and test rows.

        V_seed = (seed + both / n) / S
        V_row  = max((row + both / S) / n, 4 / n^2)
        """
        by_rows = max((self.row + self.both / seeds) / rows, min(4 / rows**2, 1.0))
        return (self.seed + self.both / rows) / seeds + by_rows


def parts_of(kept: NDArray[np.int32], full: NDArray[np.int32], truth: Labels) -> Parts:
    """The variance parts of accuracy(kept) - accuracy(full), by analysis of variance; classes (S, n), truth (n,), S of 2 or more.

    A part that comes out negative is 0.
    """
    difference = (kept == truth).astype(np.float64) - (full == truth)  # (S, n)
    seeds, rows = difference.shape
    if rows == 1:
        return Parts(float(difference.mean(1).var(ddof=1)), 1.0, 0.0)
    by_seed, by_row = difference.mean(1, keepdims=True), difference.mean(0)
    rest = difference - by_seed - by_row + difference.mean()
    both = float((rest**2).sum()) / ((seeds - 1) * (rows - 1))
    return Parts(
        seed=max(0.0, float(by_seed.var(ddof=1)) - both / rows),
        row=max(0.0, float(by_row.var(ddof=1)) - both / seeds),
        both=both,
    )


def needed(parts: Parts, half: float, seeds: int, rows: int) -> Enough:
    """Seeds per arm, or else test rows, with which a 95% interval reaches `half` (0 to 1) to either side.

        V(S, n) <= (half / 1.96)^2

    Returns {"seeds", "test_rows", "any_seeds"}: the fewest seeds above `seeds` with the same rows, where 100 or fewer do. Else
    more test rows with as many seeds as their part asks for; `any_seeds` says whether some number above 100 would do instead.
    """
    wanted = (half / Z) ** 2
    more = range(seeds + 1, MOST_SEEDS + 1)
    at = bisect_left(more, True, key=lambda s: parts.variance(s, rows) <= wanted)
    if at < len(more):
        return {"seeds": more[at], "test_rows": rows, "any_seeds": True}
    trained = max(seeds, math.ceil(2 * parts.seed / wanted))
    at = bisect_left(range(rows, MOST_ROWS), True, key=lambda n: parts.variance(trained, n) <= wanted)
    return {
        "seeds": trained,
        "test_rows": rows + at,
        "any_seeds": parts.variance(math.inf, rows) < wanted,
    }


def follow(
    at: Callable[[int], Predicted], truth: Labels, plan: tuple[int, ...], margin: float
) -> tuple[list[Look], Predicted]:
    """Look at a comparison with more and more seeds until it is decided; the looks, and what the last one saw.

    It ends before the plan does where the word is `drop` or `do not drop`, where the model on all rows has not learned the task,
    and where more seeds cannot decide (`within_reach`). This last rule can only leave a comparison undecided.

    Parameters
    ----------
    at
        the classes predicted per arm, (S, n), given S. The trainings of a look are the first of the next.
    truth
        (n,).
    plan
        seeds per arm at each look, as `planned` gives them; their intervals are at the levels of `confidences`.
    margin
        the loss of accuracy that may be, 0 to 1.

    Returns per look {"seeds", "confidence", "mean", "low", "high", "word"}, and the classes of the last one.
    """
    looks: list[Look] = []
    levels = confidences(plan)
    for seeds, confidence in zip(plan, levels, strict=True):
        predicted = at(seeds)
        kept, full = predicted["kept"], predicted["full"]
        found = paired_interval(kept, full, truth, confidence=confidence)
        learned = not caution(truth, full)
        word = word_of(found, margin) if learned else "undecided"
        bounds: Bounds = {"mean": found["mean"], "low": found["low"], "high": found["high"]}
        looks.append({"seeds": seeds, "confidence": confidence, **bounds, "word": word})
        open_ = learned and word in ("probably safe", "undecided")
        if not open_ or not within_reach(parts_of(kept, full, truth), found, plan[-1], margin, levels[-1]):
            break
    return looks, predicted


def within_reach(parts: Parts, found: Interval, most: int, margin: float, confidence: float) -> bool:
    """Whether more seeds could decide: to drop, with any number of them and no loss; or not to, with `most` of them and a loss
    that is a standard error above the one seen.
    """
    from scipy import stats

    z = float(stats.norm.isf((1 - confidence) / 2))
    could_drop = max(found["mean"], 0.0) - z * parts.variance(math.inf, found["rows"]) ** 0.5 > -margin
    return could_drop or found["mean"] - found["se"] + z * parts.variance(most, found["rows"]) ** 0.5 < 0


def decision(
    entry: MeasuredComparison,
    parts: Parts,
    looks: Sequence[Look],
    plan: Sequence[int],
    margin: float,
) -> DecisionFacts:
    """The decision of a comparison, as its file and results hold it.

    Parameters
    ----------
    entry
        what `compare` found: `settings`, `differences`, `caution`.
    parts
        of the difference between kept rows and all.
    looks, plan, margin
        see `follow`; the margin in points.

    Returns {"word", "sentence", "margin": points, "looks", "planned": seeds of the looks, "needs": what would decide, see
    `needed`, with the change that it is `assuming`, or None}.
    """
    last = looks[-1]
    facts = entry["settings"]
    needs: Needs | None = None
    if last["word"] in ("probably safe", "undecided") and not entry["caution"]:
        half, assuming = to_reach(last, margin / 100)
        needs = {"assuming": assuming, **needed(parts, half, last["seeds"], facts["n_test"])}
    return {
        "word": last["word"],
        "sentence": sentence(entry, last, margin, needs) + trained_on(facts),
        "margin": margin,
        "looks": list(looks),
        "planned": list(plan),
        "needs": needs,
    }
