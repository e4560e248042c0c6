"""How long the list of suspects is, and what it is told to hold."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from thresher.experiments.label_errors import Skill, list_length
from thresher.experiments.suspects_order import auto_names

# A model that has learned too little lists at most this share of the rows.
MOST = 0.05


def length(every: pl.DataFrame, n_rows: int, chances: NDArray[np.float64] | None) -> int:
    """How many of all suspects to list: where the list is expected to be best, or few where a model has learned too little.

    >>> length(pl.DataFrame({"p_wrong": [0.9, 0.8, 0.1]}), 40, np.array([0.9, 0.8, 0.1]))
    2
    >>> length(pl.DataFrame({"p_wrong": [None, None, None]}), 40, None)
    2
    """
    if chances is None:
        return max(1, int(MOST * n_rows))
    return list_length(every["p_wrong"].to_numpy(), float(chances.sum()))


def list_facts(
    found: pl.DataFrame,
    table: pl.DataFrame,
    by: str,
    learned: Skill,
    chances: NDArray[np.float64] | None,
) -> dict[str, object]:
    """What a list holds: its order, the numbers of rows, and how many labels are expected to be wrong, in it and in all.

    The expected numbers are None where the model has learned too little.
    """
    names = auto_names(table) if by == "auto" else [by]
    return {
        "by": names[0] if len(names) == 1 else f"the mean of the ranks by {' and '.join(names)}",
        "rows": table.height,
        "listed": found.height,
        "expected": None if chances is None else float(found["p_wrong"].sum()),
        "total": None if chances is None else float(chances.sum()),
        "accuracy": learned.accuracy,
        "largest": learned.largest,
    }


def lines(facts: dict[str, Any]) -> list[str]:
    """The list in words; that the model has learned too little comes first.

    >>> found = {"by": "aum", "rows": 2734, "listed": 85, "expected": 60.2, "total": 70.4, "accuracy": 0.9, "largest": 0.1}
    >>> lines(found)
    ['85 of 2,734 rows, by aum; about 60 of these 85 are expected to be wrong, of about 70 in all']
    >>> print(lines({**found, "expected": None, "accuracy": 0.08, "largest": 0.05})[0])
    the model has learned too little to say which labels are wrong: it predicts 8.0% of them, the largest class alone 5.0%
    """
    found = f"{facts['listed']:,} of {facts['rows']:,} rows, by {facts['by']}"
    if facts["expected"] is None:
        little = "the model has learned too little to say which labels are wrong: it predicts"
        return [
            f"{little} {facts['accuracy']:.1%} of them, the largest class alone {facts['largest']:.1%}",
            f"{found}; train longer before reading it",
        ]
    if not facts["listed"]:
        return [f"{found}; about {facts['total']:,.0f} labels are expected to be wrong"]
    expected = f"about {facts['expected']:,.0f}" if round(facts["expected"]) else "fewer than 1"
    of_these = f"{expected} of these {facts['listed']:,} are expected to be wrong"
    return [f"{found}; {of_these}, of about {facts['total']:,.0f} in all"]
