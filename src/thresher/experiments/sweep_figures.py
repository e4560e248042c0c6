"""What a line of a sweep says of its trainings: their means over the test rows and per group, and differences of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import polars as pl

from thresher.experiments.cell import Cell, Tested
from thresher.experiments.outcomes import Outcomes, gain
from thresher.facts.comparison import Metric, TextMetric
from thresher.facts.figures import Bounds
from thresher.facts.sweep import GroupCounts, MeanStd, SweepFigures, SweepGroup
from thresher.rows import Rows
from thresher.wording import rise

DIGITS = 5
# The first is the one that trainings are compared by.
OF_LABELS: tuple[Metric, ...] = ("accuracy", "macro_f1")
OF_TEXTS: tuple[TextMetric, ...] = ("loss", "token_accuracy", "exact")


def figures(results: Sequence[Tested]) -> SweepFigures:
    """Mean and standard deviation over the seeds of some trainings on as many rows."""
    first, *others = OF_TEXTS if "loss" in results[0] else OF_LABELS
    values = [result[first] for result in results]
    found: dict[str, object] = {
        "n": results[0]["n_train"],
        "steps": results[0]["steps"],
        "seeds": len(results),
        first: {**spread(values), "values": [round(value, DIGITS) for value in values]},
        **{metric: spread([result[metric] for result in results]) for metric in others},
    }
    return cast(SweepFigures, found)


def spread(values: Sequence[float]) -> MeanStd:
    """Mean and standard deviation.

    >>> spread([0.5, 0.7])
    {'mean': 0.6, 'std': 0.14142}
    """
    return {
        "mean": round(float(np.mean(values)), DIGITS),
        "std": round(float(np.std(values, ddof=1)), DIGITS),
    }


def difference(one: Outcomes, other: Outcomes) -> Bounds:
    """The accuracy of `one` minus that of `other`, or of completions the loss per token, with its 95% interval."""
    if one is other:
        return {"mean": 0.0, "low": 0.0, "high": 0.0}
    better = gain(one, other)
    ends: Bounds = {"mean": better["mean"], "low": better["low"], "high": better["high"]}
    told = rise(ends) if one.of_texts else ends
    return {
        "mean": round(told["mean"], DIGITS),
        "low": round(told["low"], DIGITS),
        "high": round(told["high"], DIGITS),
    }


def group_columns(rows: Rows, test: Rows) -> list[tuple[str, str]]:
    """Name and column of the label, if rows have any, and of every group that the test rows have too."""
    label = [("label", rows.label)] if rows.task != "text" else []
    return [*label, *((name, name) for name in rows.groups if name in test.groups)]


def counts(rows: Rows, test: Rows, column: str) -> GroupCounts:
    """The values of a group column, and the rows of each."""
    values = values_of(rows, test, column)
    return {
        "value": values,
        "n_train": [int((rows.table[column] == value).sum()) for value in values],
        "n_test": [int((test.table[column] == value).sum()) for value in values],
    }


def values_of(rows: Rows, test: Rows, column: str) -> list[str]:
    """The values of a group column in training and test rows, in order."""
    return sorted(set(rows.table[column]) | set(test.table[column]))


def by_group(rows: Rows, test: Rows, outcomes: Outcomes, cells: Sequence[Cell]) -> dict[str, SweepGroup]:
    """Per group column: accuracy or loss per token, and share of the rows kept, means over seeds, in the order of `counts`."""
    n = len(rows)
    kept = np.mean(
        [np.ones(n) if cell["rows"] is None else np.isin(np.arange(n), cell["rows"]) for cell in cells],
        axis=0,
    )
    values = outcomes.values.mean(0)
    found: dict[str, SweepGroup] = {}
    for name, column in group_columns(rows, test):
        groups = values_of(rows, test, column)
        found[name] = {"kept": means(rows.table[column], kept, np.ones(n), groups)}
        if outcomes.of_texts:
            found[name]["loss"] = means(test.table[column], -values, outcomes.size, groups)
        else:
            found[name]["accuracy"] = means(test.table[column], values, outcomes.size, groups)
    return found


def means(groups: pl.Series, sums: np.ndarray, size: np.ndarray, values: Sequence[str]) -> list[float | None]:
    """`sum(sums) / sum(size)` of the rows of each group; None for a group without rows.

    >>> means(pl.Series(["a", "b", "a"]), np.array([1.0, 4.0, 2.0]), np.array([2.0, 4.0, 1.0]), ["a", "b", "c"])
    [1.0, 1.0, None]
    """
    table = pl.DataFrame({"value": groups, "sums": sums, "size": size}).group_by("value").sum()
    found = {value: total / number for value, total, number in table.select("value", "sums", "size").rows()}
    return [round(found[value], 4) if value in found else None for value in values]
