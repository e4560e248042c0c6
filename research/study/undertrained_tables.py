"""The table of models that are under-trained on purpose: the rule less as many random rows."""

from __future__ import annotations

from typing import Any

from research.benchmarks.render import table
from thresher.experiments.wording import interval_text

SCORERS = {"proxy": "frozen encoder and words", "own": "the model"}


def by_scorer(cell: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The scorers of a cell; one line for both where neither counts, because they keep the same rows.

    >>> nothing = {"trust": 0.0, "to_random": {}}
    >>> [name for name, _ in by_scorer({"scorers": {"proxy": nothing, "own": nothing}})]
    ['either']
    """
    found: dict[str, dict[str, Any]] = cell["scorers"]
    if not any(one["trust"] for one in found.values()):
        return [("either", found["proxy"])]
    return [(SCORERS[name], one) for name, one in found.items()]


def undertrained_table(results: dict[str, Any]) -> str:
    """Per data set, epochs, share and what is held equal: both accuracies, and the rule less random rows."""
    head = ["rows", "epochs", "dropped", "same", "all rows %", "random rows %", "scores of", "their weight"]
    lines = []
    for name, by_epochs in results.items():
        for epochs, by_rule in by_epochs.items():
            for rule, by_share in by_rule.items():
                for share, cell in by_share.items():
                    accuracy = [f"{100 * cell['accuracy'][arm]:.1f}" for arm in ("full", "random")]
                    for scorer, one in by_scorer(cell):
                        last = [scorer, f"{one['trust']:.0%}", interval_text(one["to_random"])]
                        lines.append([name, epochs, f"{float(share):.0%}", rule, *accuracy, *last])
    return table([*head, "kept less random [95%]"], lines)
