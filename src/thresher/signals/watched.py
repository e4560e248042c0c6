"""The signals table of a watched training: from visits, in the order they came, to a line per row."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from thresher.logits import error_norm, log_probability, margin
from thresher.run import FIRST
from thresher.run.files import digest
from thresher.run.integrity import write_table
from thresher.run.layout import Layout
from thresher.signals.plan import Plan, write_part, write_plan
from thresher.training.watch import store
from thresher.training.watch.sketch import RunningMoments

CHUNK_ROWS = 8192
PER_VISIT = ("logits", "loss", "margin", "error_norm", "classifier_sq_norm")


def write_signals(run: Layout, ids: pl.Series, hidden: int, label_of: Callable[[int], int]) -> dict[str, Any]:
    """Write RUN/signals/run-0 from the visits that a watched training recorded in RUN/watch.

    Every epoch in which anything was visited is one checkpoint. A row that an epoch did not visit keeps what its last visit
    told, and before its first visit what the first one told; one that was never visited counts as one of which the model
    knows nothing (equal logits), and `label_of` is asked for its label.

    Returns
    -------
    {"rows", "checkpoints", "visits", "unvisited", "per_token", and without that "label" (N,)}
    """
    visits, ranks = store.scan_visits(run.home)
    table = checkpoint_table(visits, hidden)
    made_with = digest({"rows": len(ids), "epochs": table.to_dicts()})
    plan = Plan(run, FIRST, len(ids), CHUNK_ROWS, 0, "float32", (), made_with)
    epochs = table["epoch_number"].to_list()
    per_token = "label" not in visits.collect_schema().names()
    sums = moments(run.home, ranks, len(ids))
    labels, seen, unvisited = [], 0, 0
    for chunk, first in enumerate(range(0, len(ids), CHUNK_ROWS)):
        count = min(CHUNK_ROWS, len(ids) - first)
        found = (
            visits.filter(pl.col("row").is_between(first, first + count - 1))
            .sort("row", "step", "rank")
            .collect()
        )
        missing = np.setdiff1d(np.arange(first, first + count), found["row"].to_numpy())
        unvisited += len(missing)
        columns = chunk_columns(
            found, first, count, epochs, {int(row): label_of(int(row)) for row in missing}
        )
        for name, values in sums.items():
            columns[name] = values[first : first + count]
        labels.append(columns["label"])
        seen += found.height
        write_part(plan, chunk, pl.DataFrame({"id": ids[first : first + count], **columns}))
    write_table(plan.folder / "checkpoints.parquet", table.drop("epoch_number"))
    write_plan(plan, None)
    return {
        "rows": len(ids),
        "checkpoints": len(epochs),
        "visits": seen,
        "unvisited": unvisited,
        "per_token": per_token,
        **({} if per_token else {"label": np.concatenate(labels)}),
    }


def checkpoint_table(visits: pl.LazyFrame, hidden: int) -> pl.DataFrame:
    """A line per epoch: its last step, the mean age of the model at its visits in epochs, and the mean learning rates."""
    table = (
        visits.group_by("epoch")
        .agg(
            step=pl.col("step").max() + 1,
            age=pl.col("age").cast(pl.Float64).mean(),
            encoder_lr=pl.col("encoder_lr").cast(pl.Float64).mean(),
            head_lr=pl.col("head_lr").cast(pl.Float64).mean(),
        )
        .sort("epoch")
        .collect()
    )
    return table.select(
        pl.int_range(pl.len(), dtype=pl.Int32).alias("index"),
        pl.col("step").cast(pl.Int64),
        pl.col("age").alias("epoch"),
        "encoder_lr",
        "head_lr",
        pl.lit(hidden, pl.Int32).alias("hidden"),
        pl.col("epoch").alias("epoch_number"),
    )


def moments(run: Path, ranks: int, rows: int) -> dict[str, np.ndarray]:
    """The two means that online VoG is the difference of, over the visits of all processes; nothing where it was not watched.

    A row that was never visited gets the largest there is, as one of which the model knows nothing.
    """
    found = [store.rank_folder(run, rank) / "sums-00000000.npz" for rank in range(ranks)]
    if not all(path.is_file() for path in found):
        return {}
    arrays = [store.read_sums(path.parent, 0) for path in found]
    total = RunningMoments(rows, arrays[0]["sums"].shape[1])
    for one in arrays:
        total.merge(one)
    squares, of_mean = total.means()
    unknown = np.isnan(squares)
    return {
        "gradient_sq_mean": np.where(unknown, np.nanmax(squares), squares),
        "gradient_mean_sq": np.where(unknown, 0.0, of_mean),
    }


def chunk_columns(
    found: pl.DataFrame, first: int, count: int, epochs: list[int], unvisited: dict[int, int]
) -> dict[str, Any]:
    """The columns of `count` rows from `first` on: from their visits, sorted by row and time, and the labels of the others."""
    row, epoch = found["row"].to_numpy() - first, found["epoch"].to_numpy()
    place = np.searchsorted(epochs, epoch)
    # The first visit of a row in an epoch: padding of the last batch may bring it a second time.
    opens = np.ones(len(row), bool)
    opens[1:] = (row[1:] != row[:-1]) | (place[1:] != place[:-1])
    source = np.full((count, len(epochs)), -1)
    source[row[opens], place[opens]] = np.flatnonzero(opens)
    source = carried(source)

    def told(name: str) -> np.ndarray:
        """By row and epoch, 0 where there was no visit."""
        values = found[name].rechunk().to_numpy()
        return np.concatenate([values, np.zeros((1, *values.shape[1:]), values.dtype)])[source]

    per_token = "label" not in found.columns
    label = np.zeros(count, np.int32) if per_token else told("label")[:, 0].astype(np.int32)
    if not per_token:
        for at, known in unvisited.items():
            label[at - first] = known
    columns: dict[str, Any] = {"label": label}
    if "n_tokens" in found.columns:
        columns["n_tokens"] = told("n_tokens")[:, 0].astype(np.int32)
    columns["truncated"] = np.zeros(count, bool)
    columns |= {name: told(name).astype(np.float32) for name in PER_VISIT if name in found.columns}
    if per_token:
        columns["right"] = told("correct")
        right = found["correct"].to_numpy()
    else:
        columns |= from_logits(columns["logits"], label)
        right = found["logits"].to_numpy().argmax(1) == found["label"].to_numpy()
    starts = np.searchsorted(row, np.arange(count + 1))
    columns["correct"] = [right[a:b].tolist() for a, b in pairwise(starts)]
    return columns


def carried(source: np.ndarray) -> np.ndarray:
    """Fill -1 along each line with what stands before it, and at the start with what stands first; lines of -1 stay.

    >>> carried(np.array([[-1, 4, -1, 5], [-1, -1, -1, -1]])).tolist()
    [[4, 4, 4, 5], [-1, -1, -1, -1]]
    """
    at = np.where(source >= 0, np.arange(source.shape[1]), -1)
    last = np.maximum.accumulate(at, axis=1)
    first = (source >= 0).argmax(1)
    return np.take_along_axis(source, np.where(last >= 0, last, first[:, None]), axis=1)


def from_logits(logits: np.ndarray, label: np.ndarray) -> dict[str, np.ndarray]:
    """Cross-entropy, margin and length of softmax - onehot at each visit, (N, E), from logits (N, E, K) and labels (N,)."""
    labels = np.broadcast_to(label[:, None].astype(np.int64), logits.shape[:2])
    return {
        "loss": -log_probability(logits, labels).astype(np.float32),
        "margin": margin(logits, labels).astype(np.float32),
        "error_norm": error_norm(logits, labels).astype(np.float32),
    }
