"""The signals table of a recorded training: from records in the order they came to one line per row."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl

from thresher.logits import error_norm, log_probability, margin
from thresher.recording import store
from thresher.recording.completion_signals import forgotten
from thresher.recording.gradient_sums import GradientSums
from thresher.rows.table import Task

CHUNK_ROWS = 8192
PER_EPOCH = ("logits", "loss", "margin", "error_norm", "classifier_sq_norm", "entropy", "accuracy")


@dataclass(frozen=True)
class Recording:
    """The records of a training: every epoch in which anything was recorded is one checkpoint.

    `epochs` has a line per epoch: `index`, its last `step`, `epoch` (the mean age of the model at its records, in epochs), the
    mean learning rates, `hidden`, and `epoch_number`.
    """

    folder: Path
    records: pl.LazyFrame
    ranks: int
    epochs: pl.DataFrame

    @property
    def task(self) -> Task:
        """What the target of a row is: records of tokens and of texts hold means over tokens."""
        names = self.records.collect_schema().names()
        if "label" in names:
            return "label"
        return "text" if "n_completion" in names else "tokens"

    @property
    def row_count(self) -> int:
        """One more than the largest number of a row."""
        return int(self.records.select(pl.col("row").max()).collect()["row"][0]) + 1

    @property
    def steps(self) -> int:
        return int(self.epochs["step"][-1])

    @property
    def checkpoints(self) -> pl.DataFrame:
        """The table of checkpoints, as a measurement writes it."""
        return self.epochs.drop("epoch_number")

    @property
    def has_vog(self) -> bool:
        """Whether the running sums of online VoG were kept to the end in every process."""
        return all(path.is_file() for path in self.sums)

    @property
    def sums(self) -> list[Path]:
        """The files of the running sums after the training."""
        return [store.sums_file(store.rank_folder(self.folder, rank), 0) for rank in range(self.ranks)]

    def labelled_rows(self, count: int, label_of: Callable[[int], int]) -> tuple[np.ndarray, np.ndarray]:
        """The numbers of the rows that can be scored, of `count` in the dataset, and the labels of those without a record.

        A row without a record and without a class (`label_of` gives no number of one) is left out. Rows with a label per token
        are all scored, rows whose target is a text if they have a record. Both arrays are (N,); the labels are -1 for rows with
        a record.
        """
        labels = np.full(count, -1)
        if self.task == "tokens":
            return np.arange(count), labels
        recorded = np.zeros(count, bool)
        recorded[self.records.select(pl.col("row").unique()).collect()["row"].to_numpy()] = True
        if self.task == "text":
            return np.flatnonzero(recorded), labels[recorded]
        logits = self.records.collect_schema()["logits"]
        assert isinstance(logits, pl.Array)
        for row in np.flatnonzero(~recorded):
            label = label_of(int(row))
            labels[row] = label if label < logits.shape[0] else -1
        numbers = np.flatnonzero(recorded | (labels >= 0))
        return numbers, labels[numbers]

    def parts(self, ids: pl.Series, rows: np.ndarray, labels: np.ndarray) -> Iterator[pl.DataFrame]:
        """The signals of the rows with these numbers, sorted (N,), `CHUNK_ROWS` at a time; `ids` are those of the dataset.

        A row without a record in an epoch keeps its last one, and before its first one that. A row without any counts as one
        of which the model knows nothing (equal logits), and has its label from `labels` (N,).
        """
        sums = gradient_means(self.sums, len(ids)) if self.has_vog else {}
        numbers = self.epochs["epoch_number"].to_list()
        for start in range(0, len(rows), CHUNK_ROWS):
            chunk = rows[start : start + CHUNK_ROWS]
            among = pl.col("row").is_between(chunk[0], chunk[-1])
            found = self.records.filter(among).sort("row", "step", "rank").collect()
            columns = chunk_columns(found, chunk, labels[start : start + CHUNK_ROWS], numbers)
            columns |= {name: values[chunk] for name, values in sums.items()}
            yield pl.DataFrame({"id": ids[chunk], **columns})


def read_recording(folder: Path, hidden: int) -> Recording:
    """The records that a training left in a folder; `hidden` is the width of its embeddings.

    Raises UserError: nothing was recorded.
    """
    records, ranks = store.scan_records(folder)
    return Recording(folder, records, ranks, epoch_table(records, hidden))


def epoch_table(records: pl.LazyFrame, hidden: int) -> pl.DataFrame:
    """One line per epoch; see `Recording`."""
    table = (
        records.group_by("epoch")
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


def gradient_means(files: list[Path], rows: int) -> dict[str, np.ndarray]:
    """The two means that online VoG is the difference of, over the steps of all processes, from their running sums.

    A row without a record gets the largest of all, as one of which the model knows nothing.
    """
    arrays = [store.read_sums(file) for file in files]
    total = GradientSums(rows, arrays[0]["sums"].shape[1])
    for one in arrays:
        total.merge(one)
    squares, of_mean = total.means()
    unknown = np.isnan(squares)
    return {
        "gradient_sq_mean": np.where(unknown, np.nanmax(squares), squares),
        "gradient_mean_sq": np.where(unknown, 0.0, of_mean),
    }


def chunk_columns(
    found: pl.DataFrame, rows: np.ndarray, labels: np.ndarray, epochs: list[int]
) -> dict[str, np.ndarray | list[list[bool]]]:
    """The columns of some rows, sorted by number, from their records by row and time; `labels` of those without a record."""
    count, epoch = len(rows), found["epoch"].to_numpy()
    row = np.searchsorted(rows, found["row"].to_numpy())
    place = np.searchsorted(epochs, epoch)
    # The first record of a row in an epoch: a last batch that is filled up may bring it a second time.
    opens = np.ones(len(row), bool)
    opens[1:] = (row[1:] != row[:-1]) | (place[1:] != place[:-1])
    source = np.full((count, len(epochs)), -1)
    source[row[opens], place[opens]] = np.flatnonzero(opens)
    source = filled(source)

    def by_epoch(name: str) -> np.ndarray:
        """(count, E, ...), 0 for a row without a record."""
        values = found[name].rechunk().to_numpy()
        return np.concatenate([values, np.zeros((1, *values.shape[1:]), values.dtype)])[source]

    of_labels = "label" in found.columns
    label = np.zeros(count, np.int32)
    if of_labels:
        label = np.where((source >= 0).any(1), by_epoch("label")[:, 0], labels).astype(np.int32)
    columns: dict[str, np.ndarray | list[list[bool]]] = {"label": label}
    if "n_tokens" in found.columns:
        columns["n_tokens"] = by_epoch("n_tokens")[:, 0].astype(np.int32)
    columns["truncated"] = np.zeros(count, bool)
    signals = {name: by_epoch(name).astype(np.float32) for name in PER_EPOCH if name in found.columns}
    columns |= signals
    if of_labels:
        columns |= from_logits(signals["logits"], label)
        right = found["logits"].to_numpy().argmax(1) == found["label"].to_numpy()
    else:
        columns["right"] = by_epoch("correct")
        right = found["correct"].to_numpy()
    starts = np.searchsorted(row, np.arange(count + 1))
    columns["correct"] = [right[a:b].tolist() for a, b in pairwise(starts)]
    if "n_completion" in found.columns:
        columns |= of_tokens(found, row, by_epoch("n_completion")[:, -1])
    return columns


def of_tokens(found: pl.DataFrame, row: np.ndarray, number: np.ndarray) -> dict[str, np.ndarray]:
    """The number of completion tokens of each row (count,), how often one was forgotten, and how many were never right."""
    bits = found["token_right"].to_list()
    events, never = forgotten(bits, found["n_completion"].to_numpy(), row)
    return {
        "n_completion": number.astype(np.int32),
        "tokens_forgotten": np.bincount(row, events, len(number)).astype(np.int32),
        "tokens_never_right": np.bincount(row, never, len(number)).astype(np.int32),
    }


def filled(source: np.ndarray) -> np.ndarray:
    """Replace -1 in each line by the value before it, and at the start by the first value; lines of -1 stay.

    >>> filled(np.array([[-1, 4, -1, 5], [-1, -1, -1, -1]])).tolist()
    [[4, 4, 4, 5], [-1, -1, -1, -1]]
    """
    at = np.where(source >= 0, np.arange(source.shape[1]), -1)
    last = np.maximum.accumulate(at, axis=1)
    first = (source >= 0).argmax(1)
    return np.take_along_axis(source, np.where(last >= 0, last, first[:, None]), axis=1)


def from_logits(logits: np.ndarray, label: np.ndarray) -> dict[str, np.ndarray]:
    """Cross-entropy, margin and length of softmax - onehot, (N, E) each, from logits (N, E, K) and labels (N,)."""
    labels = np.broadcast_to(label[:, None].astype(np.int64), logits.shape[:2])
    return {
        "loss": -log_probability(logits, labels).astype(np.float32),
        "margin": margin(logits, labels).astype(np.float32),
        "error_norm": error_norm(logits, labels).astype(np.float32),
    }
