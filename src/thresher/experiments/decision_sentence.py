"""A decision as a sentence, and what it would take to decide."""

from __future__ import annotations

from thresher.facts.comparison import Look, MeasuredComparison, Needs
from thresher.facts.figures import Bounds
from thresher.wording import interval_text

MOST_SEEDS = 100  # that anyone is advised to train
MOST_ROWS = 10**9


def to_reach(found: Bounds, margin: float) -> tuple[float, str]:
    """Half the width of an interval that would decide, and the change in accuracy that this takes for granted.

    >>> to_reach({"mean": -0.001, "low": -0.009, "high": 0.007}, 0.005)
    (0.005, 'there is no loss')
    >>> to_reach({"mean": -0.02, "low": -0.05, "high": 0.01}, 0.005)
    (0.02, 'the loss is as measured')
    """
    if found["mean"] <= -margin:
        return -found["mean"], "the loss is as measured"
    if found["high"] - found["mean"] > margin:
        return margin, "there is no loss"
    return margin + found["mean"], "the loss is as measured"  # narrow enough, were it not for the loss


def sentence(entry: MeasuredComparison, last: Look, margin: float, needs: Needs | None) -> str:
    """The decision in words: the rows, the change in accuracy with its interval, and what that means."""
    facts = entry["settings"]
    dropped = facts["n_full"] - facts["n_kept"]
    rows = f"{dropped:,} rows ({100 * dropped / facts['n_full']:.3g}%)"
    if entry["caution"]:
        return f"Nothing is decided about these {rows}. {entry['caution']}"
    change = f"accuracy changes by {interval_text(last, ' points')}"
    if last["word"] == "drop":
        return f"Drop these {rows}: {change}, within the margin of {margin:g}."
    if last["word"] == "do not drop":
        shown = f"Do not drop these {rows}: {change}, a loss that may exceed the margin of {margin:g}."
        return f"{shown} {reason(entry)}".rstrip()
    to_know = takes(needs, facts["n_test"]) if needs else ""
    if last["word"] == "probably safe":
        seen = f"no loss is shown, but one of {margin:g} or more is not ruled out"
        return f"These {rows} are probably safe to drop: {change}; {seen}; {to_know}."
    return (
        f"Whether to drop these {rows} is undecided: {change}, which may be chance or a loss above the margin of {margin:g};"
        f" {to_know}. {reason(entry)}"
    ).rstrip()


def takes(needs: Needs, n_test: int) -> str:
    """How many seeds or test rows would decide."""
    if needs["test_rows"] == n_test:
        return f"if {needs['assuming']}, about {needs['seeds']:,} seeds on these {n_test:,} test rows would show it"
    no = f"{MOST_SEEDS} seeds do not decide it" if needs["any_seeds"] else "no number of seeds decides it"
    rows = (
        f"about {needs['test_rows']:,} with {needs['seeds']:,} seeds"
        if needs["test_rows"] < MOST_ROWS
        else "none"
    )
    return f"on these {n_test:,} test rows {no}; if {needs['assuming']}, {rows} would show it"


def reason(entry: MeasuredComparison) -> str:
    """Why accuracy is lost, as far as random rows tell; nothing where they do not."""
    facts, differences = entry["settings"], entry["differences"]
    lost = differences["kept-full"]["accuracy"]["mean"]
    random, against = differences["random-full"]["accuracy"], differences["kept-random"]["accuracy"]
    told = []
    if against["high"] < 0:
        told.append(
            f"The kept rows do worse than as many random ones, {interval_text(against, ' points')}: choose by another score or"
            " strategy."
        )
    if random["high"] < 0 or random["mean"] <= lost / 2 < 0:
        also = f"As many random rows lose, too, {interval_text(random, ' points')}"
        if facts["same_steps"] or facts["steps_pruned"] >= facts["steps_full"]:
            told.append(f"{also}: drop fewer.")
        else:
            told.append(
                f"{also}, which fewer steps can explain ({facts['steps_pruned']:,} instead of {facts['steps_full']:,}):"
                " `--same-steps` gives the kept rows as many as all rows."
            )
    return " ".join(told)
