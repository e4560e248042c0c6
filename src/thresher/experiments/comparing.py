"""What the comparisons of classes and of completions have in common: trainings by arm, their settings, parts of the rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from thresher.config import CompareConfig
from thresher.experiments.cell import Cell, Result
from thresher.experiments.cells import run_cells
from thresher.experiments.wording import ARMS
from thresher.facts.comparison import ComparisonSettings, GroupFacts, Groups
from thresher.rows import Rows, normalised
from thresher.run import Run

DIFFERENCES = (("kept", "full"), ("kept", "random"), ("random", "full"))


def trained(
    run: Run, cells: Mapping[str, Sequence[Cell]], seeds: int, workers: int | None
) -> dict[str, list[Result]]:
    results = run_cells(run, [cell for arm in ARMS for cell in cells[arm][:seeds]], workers)
    return {arm: [result for result in results if result["arm"] == arm] for arm in ARMS}


def settings_of(
    run: Run, settings: CompareConfig, by_arm: Mapping[str, Sequence[Result]], n_kept: int, n_test: int
) -> ComparisonSettings:
    full, kept = by_arm["full"], by_arm["kept"]
    return {
        "seeds": [result["seed"] for result in full],
        "same_steps": settings.same_steps,
        "epochs": run.config.train.epochs,
        "steps_full": full[0]["steps"],
        "steps_pruned": kept[0]["steps"],
        "epochs_pruned": kept[0]["epochs"],
        "n_full": run.manifest.n_rows,
        "n_kept": n_kept,
        "proof_rows": full[0]["n_train"],
        "n_test": n_test,
        "held_out": run.tests_held_out,
        "confidence": 0.95,
        "seconds": round(sum(one["seconds"] for arm in ARMS for one in by_arm[arm]), 1),
    }


def unseen_rows(rows: Rows, test: Rows) -> NDArray[np.bool_] | None:
    """The test rows whose text, or prompt, is not in the training rows, (n,); None if that is all of them or none."""
    known = set(wordings(rows))
    unseen = np.array([text not in known for text in wordings(test)])
    return None if unseen.all() or not unseen.any() else unseen


def wordings(rows: Rows) -> list[tuple[str, ...]]:
    """The normalised text, or pair of texts, of every row; of a completion the prompt."""
    texts = rows.text[:1] if rows.task == "text" else rows.text
    columns = [[normalised(text) for text in rows.table[column]] for column in texts]
    return list(zip(*columns, strict=True))


def by_group(
    rows: Rows,
    test: Rows,
    kept: NDArray[np.bool_],
    columns: Iterable[tuple[str, str]],
    measured: Callable[[NDArray[np.bool_]], GroupFacts],
) -> Groups:
    """Per value of columns of given names: share removed, and what is measured on its test rows."""
    result: Groups = {}
    for name, column in columns:
        train_values, test_values = rows.table[column].to_numpy(), test.table[column].to_numpy()
        result[name] = {}
        for value in sorted(set(train_values) | set(test_values)):
            in_train, in_test = train_values == value, test_values == value
            result[name][str(value)] = {
                "n_train": int(in_train.sum()),
                "n_test": int(in_test.sum()),
                "removed": float(1 - kept[in_train].mean()) if in_train.any() else None,
                **(measured(in_test) if in_test.any() else GroupFacts()),
            }
    return result
