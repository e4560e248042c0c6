"""The proof of a language model on the page: held-out loss, token accuracy and exact completions of each training arm."""

from __future__ import annotations

import math

from thresher.facts.comparison import ComparisonFacts, ComparisonSettings, GroupFacts, TextMetric
from thresher.facts.figures import Bounds, Spread
from thresher.report.arms import ARMS, DIFFERENCES, axis, place
from thresher.report.format import count, percent

METRICS: dict[TextMetric, str] = {
    "loss": "Loss, nats per token",
    "token_accuracy": "Tokens right, %",
    "exact": "Exactly right, %",
}


def is_text(entry: ComparisonFacts | None) -> bool:
    """Whether a comparison is of completions."""
    return entry is not None and entry["settings"].get("task") == "text"


def text_proof(entry: ComparisonFacts | None) -> dict[str, object] | None:
    """What the page shows of a comparison of completions; None for others.

    `sentence`, `loss`, `change`, `random` and `fixed` are texts, `arms` the lines of the table, `changes` the differences of the
    loss as bars, and `groups` the loss in each group.
    """
    if entry is None or not is_text(entry):
        return None
    facts = entry["settings"]
    return {
        "sentence": entry["verdict"],
        "loss": f"{entry['arms']['kept']['loss']['mean']:.3f}",
        "change": change("loss", entry["differences"]["kept-full"]["loss"]),
        "random": change("loss", entry["differences"]["random-full"]["loss"]),
        "fixed": fixed(facts),
        "tested": f"{count(facts['n_test'], 'row')} with {count(facts['n_tokens'], 'completion token')}",
        "seeds": count(len(facts["seeds"]), "training"),
        "metrics": list(METRICS.values()),
        "arms": [
            {
                "arm": arm,
                "name": name,
                "n_train": count(entry["arms"][arm]["n_train"]),
                "cells": [cell(metric, entry["arms"][arm][metric]) for metric in METRICS],
                "perplexity": f"{math.exp(entry['arms'][arm]['loss']['mean']):.3g}",
            }
            for arm, name in ARMS.items()
        ],
        "changes": changes(entry),
        "groups": [
            group(column, value, found)
            for column, values in entry["groups"].items()
            for value, found in values.items()
        ],
    }


def fixed(facts: ComparisonSettings) -> str:
    """What the arms have in common."""
    steps = (
        f"{count(facts['steps_full'])} on all rows, {count(facts['steps_pruned'])} on the kept or random ones"
    )
    if facts["same_steps"]:
        return f"Held fixed: model, recipe, seeds and the number of steps ({steps})."
    epochs = f"the number of epochs ({facts['epochs']:g}); fewer rows take fewer steps ({steps})"
    return f"Held fixed: model, recipe, seeds and {epochs}."


def cell(metric: TextMetric, found: Spread) -> str:
    """Mean and standard deviation over the seeds.

    >>> cell("loss", {"mean": 0.51234, "std": 0.01, "values": []}), cell("exact", {"mean": 0.5, "std": 0.01, "values": []})
    ('0.512 ± 0.010', '50.0 ± 1.0')
    """
    if metric == "loss":
        return f"{found['mean']:.3f} ± {found['std']:.3f}"
    return f"{100 * found['mean']:.1f} ± {100 * found['std']:.1f}"


def change(metric: TextMetric, found: Bounds) -> str:
    """A difference with its interval: nats, or percentage points.

    >>> change("loss", {"mean": 0.01, "low": -0.002, "high": 0.022})
    '+0.010 [-0.002, +0.022]'
    """
    scale, digits = (1, 3) if metric == "loss" else (100, 1)
    mean, low, high = (f"{scale * one:+.{digits}f}" for one in (found["mean"], found["low"], found["high"]))
    return f"{mean} [{low}, {high}]"


def changes(entry: ComparisonFacts) -> list[dict[str, object]]:
    """The differences between the arms: bars of the loss on a common axis, and the texts of all metrics."""
    found = {name: entry["differences"][name] for name in DIFFERENCES}
    low, high, _ = axis(
        [0.0, *(end for one in found.values() for end in (one["loss"]["low"], one["loss"]["high"]))]
    )
    return [
        {
            "name": DIFFERENCES[name],
            "arm": name.split("-")[0],
            "cells": [change(metric, one[metric]) for metric in METRICS],
            "mean": f"{one['loss']['mean']:+.3f}",
            "zero": place(0.0, low, high),
            "from": place(one["loss"]["low"], low, high),
            "to": place(one["loss"]["high"], low, high),
            "at": place(one["loss"]["mean"], low, high),
            "tone": "bad" if one["loss"]["low"] > 0 else "good" if one["loss"]["high"] < 0 else "open",
        }
        for name, one in found.items()
    ]


def group(column: str, value: str, found: GroupFacts) -> dict[str, str]:
    measured = "kept-full" in found
    return {
        "column": column,
        "value": value[:200],
        "n_train": count(found["n_train"]),
        "n_test": count(found["n_test"]),
        "removed": percent(found["removed"], 0) if found["removed"] is not None else "",
        "full": f"{found['full']:.3f}" if measured else "",
        "kept": f"{found['kept']:.3f}" if measured else "",
        "random": f"{found['random']:.3f}" if measured else "",
        "change": change("loss", found["kept-full"]) if measured else "no test row",
    }
