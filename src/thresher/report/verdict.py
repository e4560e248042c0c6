"""The result in words: the change in accuracy, its uncertainty, and what was held fixed."""

from __future__ import annotations

from thresher.facts.comparison import ComparisonFacts, ComparisonSettings, DecisionFacts, Unseen
from thresher.facts.figures import Bounds
from thresher.report.format import count, digits_for, interval, percent, points
from thresher.report.read import Selection
from thresher.wording import FEW_SEEDS

BLIND = ("random", "stratified")  # strategies that use no score
RULE = "recommended"  # the strategy that leaves rows out at both ends
SAMPLERS = ("softmax", "linear", "mixed")  # strategies that draw rows by weights
TONES = {"drop": "good", "do not drop": "bad"}  # of a decision; of the others "open"
WIDE = 0.02  # an interval that includes zero but also a loss beyond this is inconclusive


def verdict(selection: Selection, entry: ComparisonFacts) -> dict[str, object]:
    """The content of the top of the page: the result of a comparison.

    `removed`, `by` and `manner` name the selection; `loss` and `random` complete the sentence; `against_full` and
    `against_random` are the two differences that matter, each with a `badge`, a `reading` and its figures; `sure` and `fixed`
    are lists of sentences.
    """
    settings, differences = entry["settings"], entry["differences"]
    full, beaten, random = (
        differences[name]["accuracy"] for name in ("kept-full", "kept-random", "random-full")
    )
    digits = digits_for(full)
    return {
        **selection_words(selection, settings["n_kept"], settings["n_full"]),
        "digits": digits,
        "accuracy": percent(entry["arms"]["kept"]["accuracy"]["mean"], digits),
        "loss": _against(full, digits),
        "loss_interval": interval(full, digits),
        "random": f"{_moves(random, digits)} {interval(random, digits)}",
        "against_full": {
            "found": full,
            "badge": _badge(full, "Loses accuracy", _around(full), "Gains accuracy"),
            "tone": _badge(full, "bad", "open", "good"),
            "reading": _reading_full(full, digits),
        },
        "against_random": {
            "found": beaten,
            "badge": _badge(
                beaten, "Worse than random", "Indistinguishable from random", "Better than random"
            ),
            "tone": _badge(beaten, "bad", "open", "good"),
            "reading": _reading_random(beaten, digits),
        },
        "sure": _sure(settings, entry.get("decision")),
        "fixed": [*([entry["caution"]] if entry.get("caution") else []), *_fixed(settings)],
        "unseen": _unseen(entry.get("unseen"), digits),
    }


def decision(word: str, sentence: str) -> dict[str, str]:
    """A decision as the page shows it: `badge`, `tone` and `sentence`."""
    return {"badge": word.capitalize(), "tone": TONES.get(word, "open"), "sentence": sentence}


def selection_words(selection: Selection, n_kept: int, n_rows: int) -> dict[str, object]:
    """Which rows were removed, in words; `by` is empty if no score was used."""
    strategy, end = selection.facts.get("strategy", "cutoff"), selection.facts.get("end", "easy")
    by = "" if strategy in BLIND else str(selection.facts.get("column") or selection.facts.get("by"))
    by = by.replace("+", " and ")
    sampled = "" if strategy == "cutoff" else f", {strategy}{' sampling' if strategy in SAMPLERS else ''}"
    return {
        "removed": percent(1 - n_kept / n_rows),
        "n_removed": count(n_rows - n_kept),
        "n_rows": count(n_rows),
        "by": by,
        "manner": _manner(strategy, end, sampled) if by else f"{strategy} draw",
        "explained": _explained(strategy, end) if by else "No score was used.",
    }


def _manner(strategy: str, end: str, sampled: str) -> str:
    return ", the recommended rule" if strategy == RULE else f", {end} end{sampled}"


def _explained(strategy: str, end: str) -> str:
    if strategy in SAMPLERS:
        return f"Drawn by {strategy} sampling, which removes more of the {end} end."
    other = "hard" if end == "easy" else "easy"
    return {
        "cutoff": f"Cut off at the {end} end.",
        "window": f"Cut off at the {end} end, after the rows at the very {other} end were left out.",
        "coverage": f"Random rows of every layer of the score; those at the very {other} end were left out first.",
        RULE: "Kept: the hardest rows that can be learned, some rows of every class, and a random sample.",
        "moderate": "The rows nearest to the median score are kept.",
    }.get(strategy, f"Chosen by the strategy {strategy}.")


def _badge(found: Bounds, below: str, around: str, above: str) -> str:
    return below if found["high"] < 0 else above if found["low"] > 0 else around


def _around(found: Bounds) -> str:
    return "Inconclusive" if found["low"] < -WIDE else "No loss detected"


def _against(found: Bounds, digits: int) -> str:
    size = points(abs(found["mean"]), digits).lstrip("+")
    if not float(size):
        return "level with full data"
    return f"{size} points {'below' if found['mean'] < 0 else 'above'} full data"


def _moves(found: Bounds, digits: int) -> str:
    size = points(abs(found["mean"]), digits).lstrip("+")
    if not float(size):
        return "lose nothing"
    return f"{'lose' if found['mean'] < 0 else 'gain'} {size} points"


def _reading_full(found: Bounds, digits: int) -> str:
    worst = points(abs(found["low"]), digits).lstrip("+")
    if found["high"] < 0:
        return f"The whole interval is below zero: accuracy is lost, by up to {worst} points."
    if found["low"] > 0:
        return "The whole interval is above zero: the kept rows alone train a better model."
    if found["low"] < -WIDE:
        best = points(found["high"], digits).lstrip("+")
        return (
            f"The interval reaches from a loss of {worst} points to a gain of {best}: the result is inconclusive. "
            "More seeds or test rows would narrow it."
        )
    return f"The interval includes zero: no loss was detected, and a loss of more than {worst} points is unlikely."


def _reading_random(found: Bounds, digits: int) -> str:
    if found["high"] < 0:
        return "The whole interval is below zero: as many random rows do better than the kept rows."
    if found["low"] > 0:
        return "The whole interval is above zero: the kept rows do better than as many random rows."
    return "The interval includes zero: no difference between the kept rows and as many random rows was detected."


def _sure(settings: ComparisonSettings, decision: DecisionFacts | None) -> list[str]:
    seeds, confidence = len(settings["seeds"]), settings.get("confidence", 0.95)
    tested = "held-out row" if settings.get("held_out") else "test row"
    lines = [
        f"Intervals are at {percent(confidence, 0)} confidence, from {count(seeds, 'training')} of each kind and "
        f"{count(settings['n_test'], tested)}: they cover retraining with other seeds and resampled test rows."
    ]
    if decision and len(decision["planned"]) > 1:
        looks = ", ".join(map(str, decision["planned"]))
        lines.append(f"They allow for looking at {looks} seeds, one after the other until it is decided.")
    if settings.get("held_out"):
        lines.append(
            f"The {count(settings['n_test'], tested)} were taken from the input before anything was trained: no model saw them,"
            " and all of them are in the kept file, beside the kept rows."
        )
    if seeds < FEW_SEEDS:
        lines.append(
            f"With {count(seeds, 'seed')} they can be somewhat too narrow; use five or more seeds for a firm result."
        )
    return lines


def _fixed(settings: ComparisonSettings) -> list[str]:
    steps = f"{count(settings['steps_full'])} on full data, {count(settings['steps_pruned'])} on the kept or random rows"
    if settings["same_steps"]:
        epochs = settings.get("epochs_pruned")
        passes = (
            f", so the kept and the random rows were seen more often ({epochs:g} epochs against {settings['epochs']:g})"
            if epochs
            else ""
        )
        return [f"Held fixed: model, recipe, seeds and the number of steps ({steps}){passes}."]
    return [
        f"Held fixed: model, recipe, seeds and the number of epochs ({settings['epochs']:g}).",
        f"Not fixed: fewer rows in as many epochs also means fewer training steps ({steps}).",
    ]


def _unseen(found: Unseen | None, digits: int) -> str | None:
    if not found:
        return None
    full, random = (found["differences"][name]["accuracy"] for name in ("kept-full", "kept-random"))
    rows = f" ({count(found['n_test'], 'row')})" if "n_test" in found else ""
    return (
        f"On the test rows whose text does not occur in the training set{rows}: {points(full['mean'], digits)} points"
        f" against full data {interval(full, digits)}, {points(random['mean'], digits)} against random rows"
        f" {interval(random, digits)}."
    )
