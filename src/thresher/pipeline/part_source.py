"""The signals of a training as scores read them: some parts at a time, with what stands beside the parts."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from thresher.pipeline.follow import Follower
from thresher.run import Run, Training, parquet
from thresher.run.integrity import check_table, read_table
from thresher.run.run import TRAIN_AGAIN
from thresher.signals.plan import part_problem, read_part, read_plan
from thresher.training.feature_files import ROWS, check_features, forget_pages, mapped_vectors, vectors_column
from thresher.training.finished import finished
from thresher.training.folds import fold_trainings, folds_of

BLOCK_ROWS = 1 << 16


class PartSource:
    """What `thresher.signals.measure.read_signals` reads, block by block (`thresher.scores.source.Source`).

    Raises UserError: a file is missing, damaged or of another plan.
    """

    def __init__(self, run: Run, training: Training) -> None:
        self.plan, self.null_logits = read_plan(run, training)
        for chunk in range(self.plan.chunks):
            if part_problem(self.plan, chunk):
                read_part(self.plan, chunk)  # says what is wrong
        again = f"`thresher measure {run}` makes it again"
        self.checkpoints = read_table(self.plan.folder / "checkpoints.parquet", run.again("measure"))
        self.evaluations = sorted(run.evaluations(training).glob("step-*.parquet"))
        self.beside = {
            name: paths
            for name, paths in {
                "held_out_logits": _held_out(run, training),
                "word_margin": [run.words_file],
            }.items()
            if paths and all(path.is_file() for path in paths)
        }
        for name, paths in {**self.beside, "correct": self.evaluations}.items():
            for path in paths:
                check_table(path, again if name == "word_margin" else TRAIN_AGAIN)
        folder = run.features_folder()
        self.features = folder if folder.is_dir() else None
        if self.features:
            check_features(self.features, again)

    @property
    def rows(self) -> int:
        return self.plan.n_rows

    @cached_property
    def schema(self) -> Mapping[str, pl.DataType]:
        schema = dict(parquet.scan(self.plan.part(0)).collect_schema()) if self.plan.chunks else {}
        if self.null_logits is not None:
            schema["null_logits"] = pl.Array(pl.Float32, len(self.null_logits))
        if self.evaluations:
            schema["correct"] = pl.List(pl.Boolean)
        if self.features:
            schema["features"] = pl.Array(pl.Float32, mapped_vectors(self.features).shape[1])
        for name, paths in self.beside.items():
            schema[name] = parquet.scan(paths[0]).collect_schema()[name]
        return schema

    def blocks(self, columns: Collection[str], size: int) -> Iterator[pl.DataFrame]:
        """These columns of `size` rows at a time; see `Source`."""
        beside = {name: Follower(paths, (name,)) for name, paths in self.beside.items() if name in columns}
        correct = [Follower([path], ("correct",)) for path in self.evaluations if "correct" in columns]
        places = None
        if self.features and "features" in columns:
            places = Follower([self.features / ROWS], ("place",))
        made = {"correct", "null_logits", "features", *self.beside}
        own = [name for name in columns if name not in made or (name == "correct" and not correct)]
        for block in sized(self._parts(list(dict.fromkeys(["id", *own])), size), size):
            found = {name: follower.at(block["id"])[name] for name, follower in beside.items()}
            if correct:
                table = pl.DataFrame(
                    [one.at(block["id"])["correct"].alias(str(at)) for at, one in enumerate(correct)]
                )
                found["correct"] = table.select(pl.concat_list(pl.all())).to_series()
            if self.features and places:
                found["features"] = vectors_column(self.features, places.at(block["id"])["place"])
            if self.null_logits is not None and "null_logits" in columns:
                one = pl.Series([self.null_logits], dtype=self.schema["null_logits"])
                found["null_logits"] = one.new_from_index(0, block.height)
            yield block.with_columns(**found).select(columns)

    def vectors(self, rows: NDArray[np.int64]) -> NDArray[np.float32]:
        assert self.features
        values = mapped_vectors(self.features)
        found = values[self.places[rows]].astype(np.float32, copy=False)
        forget_pages(values)
        return found

    @cached_property
    def places(self) -> NDArray[np.uint32]:
        """Where the vector of each row stands in the file of features, (N,)."""
        assert self.features
        beside = Follower([self.features / ROWS], ("place",))
        ids = (block["id"] for block in self.blocks(("id",), BLOCK_ROWS))
        return np.concatenate([beside.at(one)["place"].to_numpy() for one in ids])

    def _parts(self, columns: list[str], size: int) -> Iterator[pl.DataFrame]:
        """The parts one after another, several at a time where they are small."""
        step = max(1, size // self.plan.chunk_rows)
        for first in range(0, self.plan.chunks, step):
            paths = [self.plan.part(chunk) for chunk in range(first, min(first + step, self.plan.chunks))]
            yield parquet.read(paths, columns)


def _held_out(run: Run, training: Training) -> list[Path]:
    """The files of the held-out logits of a training; none if a fold is missing."""
    folds = folds_of(run.config.model, run.config.train)
    own = fold_trainings(training.index, folds)
    if not all(finished(run, one) for one in own):
        return []
    return [path for one in own for path in sorted(run.evaluations(one).glob("step-*.parquet"))]


def sized(tables: Iterator[pl.DataFrame], size: int) -> Iterator[pl.DataFrame]:
    """The rows of some tables in blocks of `size`, the last one smaller.

    >>> tables = [pl.DataFrame({"row": [0, 1]}), pl.DataFrame({"row": [2, 3, 4]})]
    >>> [block["row"].to_list() for block in sized(iter(tables), 3)]
    [[0, 1, 2], [3, 4]]
    """
    waiting: pl.DataFrame | None = None
    for table in tables:
        waiting = table if waiting is None or waiting.is_empty() else pl.concat([waiting, table])
        while waiting.height >= size:
            yield waiting.head(size).rechunk()
            waiting = waiting.slice(size)
    if waiting is not None and waiting.height:
        yield waiting.rechunk()
