"""The score table: one line per row, one column per score and per normalised score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from thresher.errors import UserError
from thresher.scores.normalise import class_norm, class_rank, dataset_norm
from thresher.scores.read import MissingSignal, labels
from thresher.scores.registry import FORMS, Score, check_options, scores

Run = tuple[pl.DataFrame, pl.DataFrame]
Options = Mapping[str, Mapping[str, Any]]
BLOCK_ROWS = 1 << 16


def score_table(runs: Sequence[Run], options: Options | None = None) -> pl.DataFrame:
    """Every score that the runs can give, as columns `id, label, NAME, NAME_class, NAME_dataset, ...`.

    `runs` holds the signals table and the checkpoints table of each run. A score of one run is computed from run 0; a score
    of all runs is the mean over the runs that have its signals, matched by id. The rows are in the order of run 0. Scores
    whose signals are missing, or not finite for some row, are skipped; `score_runs` also reports which and why.

    Raises
    ------
    UserError
        an unknown score, option or value; runs of different rows; no score at all can be computed.

    >>> signals = pl.DataFrame({"id": ["a", "b"], "label": [0, 0], "correct": [[True, False], [True, True]]})
    >>> score_table([(signals, pl.DataFrame())]).rows()
    [('a', 0, 1.0, 1.0, 1.0), ('b', 0, 0.0, -1.0, -1.0)]
    """
    return score_runs(runs, options)[0]


def score_runs(runs: Sequence[Run], options: Options | None = None) -> tuple[pl.DataFrame, dict[str, Any]]:
    """`score_table`, and the content of `scores.json`.

    The second value is `{"scores": {NAME: {hard, normalise, runs_used, options, source, needs, cost}},
    "skipped": {NAME: reason}}`, where `runs_used` counts the runs that were averaged.

    Raises
    ------
    UserError
        as `score_table`.

    >>> signals = pl.DataFrame({"id": ["a", "b"], "label": [0, 0], "correct": [[True, False], [True, True]]})
    >>> _, about = score_runs([(signals, pl.DataFrame())])
    >>> about["scores"]["forgetting"]["runs_used"], about["skipped"]["vog"]
    (1, "'gradient_gram' was not measured")
    """
    chosen = check_options(options)
    check_runs(runs)
    label = labels(runs[0][0])
    table = runs[0][0].select("id", "label")
    about: dict[str, dict[str, Any]] = {}
    skipped: dict[str, str] = {}
    # Scores that are made from other scores come last. One of them may need another, so skipped ones are tried again as
    # long as a pass adds a score.
    waiting = sorted(scores().values(), key=lambda entry: entry.reads == "scores")
    while waiting:
        for entry in waiting:
            name = entry.name
            try:
                if entry.reads == "scores":
                    made = entry.function(table, runs[0][0], **chosen[name])
                    values, used = _finite(entry, table, made), len(runs)
                else:
                    values, used = _mean(entry, runs, chosen[name])
            except MissingSignal as missing:
                skipped[name] = str(missing)
                continue
            skipped.pop(name, None)
            table = table.with_columns(_forms(entry, values, label))
            about[name] = {
                "hard": entry.hard,
                "normalise": entry.normalise,
                "runs_used": used,
                "options": chosen[name],
                "source": entry.source,
                "needs": list(entry.needs),
                "cost": entry.cost,
            }
        from_scores = [entry for entry in waiting if entry.reads == "scores"]
        left = [entry for entry in from_scores if entry.name in skipped]
        waiting = left if len(left) < len(from_scores) else []
    if not about:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in skipped.items())
        raise UserError(f"no score can be computed from these signals ({reasons})")
    names = sorted(about)
    columns = (f"{name}{form}" for name in names for form in ("", *FORMS))
    table = table.select("id", "label", *(one for one in columns if one in table.columns))
    return table, {"scores": {name: about[name] for name in names}, "skipped": dict(sorted(skipped.items()))}


def _forms(entry: Score, values: pl.Series, label: npt.NDArray[np.int64]) -> list[pl.Series]:
    """The score and its normalised forms, each named as its column."""
    name, raw = entry.name, values.to_numpy()
    forms = {"": raw, "_class": class_norm(raw, label), "_dataset": dataset_norm(raw)}
    if entry.normalise == "rank":
        forms["_rank"] = class_rank(raw, label)
    return [pl.Series(f"{name}{form}", column) for form, column in forms.items()]


def by_run(entry: Score, runs: Sequence[Run], options: Mapping[str, Any]) -> list[npt.NDArray[np.float64]]:
    """The score of each run that has its signals, (N,), in the row order of run 0.

    Raises
    ------
    MissingSignal
        no run has its signals.
    """
    ids = runs[0][0].select("id")
    found = []
    reason = MissingSignal("there are no runs")
    for signals, checkpoints in runs:
        try:
            values = _values(entry, signals, checkpoints, options)
        except MissingSignal as missing:
            reason = missing
            continue
        aligned = ids.join(
            signals.select("id", value=values), on="id", how="left", maintain_order="left", validate="1:1"
        )
        found.append(aligned["value"].cast(pl.Float64).to_numpy())
    if not found:
        raise reason
    return found


def _mean(entry: Score, runs: Sequence[Run], options: Mapping[str, Any]) -> tuple[pl.Series, int]:
    """The score averaged over the runs that have its signals, in the row order of run 0, and the number of those runs."""
    found = by_run(entry, runs if entry.runs == "all" else runs[:1], options)
    values = pl.Series(sum(found, np.zeros(runs[0][0].height)) / len(found))
    return _finite(entry, runs[0][0], values), len(found)


def _finite(entry: Score, ids: pl.DataFrame, values: pl.Series) -> pl.Series:
    bad = ~np.isfinite(values.to_numpy())
    if bad.any():
        first = ids["id"][int(bad.argmax())]
        raise MissingSignal(
            f"not a finite number for {bad.sum()} rows, first '{first}'; did the training diverge?"
        )
    return values.cast(pl.Float64).alias(entry.name)


def _values(
    entry: Score, signals: pl.DataFrame, checkpoints: pl.DataFrame, options: Mapping[str, Any]
) -> pl.Series:
    """The score of every row; by blocks if rows are independent, so that no whole column of signals is copied."""
    size = BLOCK_ROWS if entry.reads == "row" else max(1, signals.height)
    blocks = (signals.slice(start, size) for start in range(0, max(1, signals.height), size))
    return pl.concat([entry.function(block, checkpoints, **options) for block in blocks])


def check_runs(runs: Sequence[Run]) -> None:
    """Check that there are runs and that all of them measured the same rows.

    Raises
    ------
    UserError
        no runs, a repeated id, or rows that differ from those of run 0.
    """
    if not runs:
        raise UserError("no signals to score; run `thresher measure` first")
    first = runs[0][0].select("id", "label").sort("id")
    if first["id"].n_unique() < first.height:
        raise UserError("signals of run 0: an id is repeated; measure again with --force")
    for index, (signals, _) in enumerate(runs[1:], start=1):
        if not signals.select("id", "label").sort("id").equals(first):
            raise UserError(
                f"signals of run {index} have other rows than those of run 0; measure again with --force"
            )
