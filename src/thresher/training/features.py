"""Compute the features of a run: the vectors that a frozen encoder gives for its rows, saved in the run folder."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from thresher.config import ModelConfig
from thresher.execution.engines import LOCAL, Place, place_of, run_tasks
from thresher.models.encode import LoadedEncoder, encode, loaded_encoder
from thresher.models.feature_cache import add_vectors, cached_vectors, text_keys
from thresher.models.frozen import Features, Vectors, head_input
from thresher.progress import track
from thresher.rows import check_rows
from thresher.run import Run, parquet
from thresher.run.files import digest, write_folder
from thresher.run.integrity import ROWS_HASH, made_of
from thresher.run.layout import FeaturesOf
from thresher.training.feature_files import features_made_of, fill_features, forget_pages, read_features

SEGMENT = 2048
BLOCK_ROWS = 1 << 16


@dataclass(frozen=True)
class Distinct:
    """The M different texts among N, in the order in which they first occur.

    `keys` (M, 2); `first` (M,): where each text first occurs; `rows` (N,) holds the places of the first text, then those of the
    second, and so on, and `start` (M + 1,) where in it those of each text begin.
    """

    keys: NDArray[np.uint64]
    first: NDArray[np.int64]
    rows: NDArray[np.int64]
    start: NDArray[np.int64]

    @classmethod
    def of(cls, keys: NDArray[np.uint64]) -> Distinct:
        """The different texts among those with these keys, (N, 2).

        >>> found = Distinct.of(np.array([[7, 0], [3, 0], [7, 0], [5, 0]], np.uint64))
        >>> found.first.tolist(), found.rows_of([0, 2])[0].tolist()
        ([0, 1, 3], [0, 2, 3])
        """
        rows = np.lexsort(keys.T[::-1])  # stable: equal texts in the order of their rows
        new = np.ones(len(rows), np.bool_)
        new[1:] = (keys[rows[1:]] != keys[rows[:-1]]).any(1)
        start = np.flatnonzero(new)
        count = np.diff(start, append=len(rows))
        by_first = np.argsort(rows[start])
        moved = np.repeat(start[by_first], count[by_first]) + _within(count[by_first])
        first = rows[start][by_first]
        return cls(keys[first], first, rows[moved], np.append(0, np.cumsum(count[by_first])))

    def __len__(self) -> int:
        return len(self.first)

    def rows_of(
        self, texts: Sequence[int] | NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The places of some of the texts, (n,), and which of the texts given each of them is."""
        at = np.asarray(texts, np.int64)
        count = self.start[at + 1] - self.start[at]
        return self.rows[np.repeat(self.start[at], count) + _within(count)], np.repeat(
            np.arange(len(at)), count
        )


def _within(count: NDArray[np.int64]) -> NDArray[np.int64]:
    """0, 1, ... within each group of so many."""
    end = np.cumsum(count)
    return np.arange(end[-1] if len(end) else 0) - np.repeat(end - count, count)


@dataclass(frozen=True)
class Segments(Sequence[tuple[ModelConfig, str, list[str]]]):
    """The tasks of encoding some texts; the texts of a task are looked up when it is taken."""

    config: ModelConfig
    key: str
    texts: pl.Series
    at: NDArray[np.int64]  # where the texts to encode stand

    def __len__(self) -> int:
        return -(-len(self.at) // SEGMENT)

    def __getitem__(self, segment: int) -> tuple[ModelConfig, str, list[str]]:  # type: ignore[override]
        at = self.at[segment * SEGMENT : (segment + 1) * SEGMENT]
        if not len(at):
            raise IndexError(segment)
        return self.config, self.key, self.texts.gather(at).to_list()


def fill_vectors(
    config: ModelConfig,
    texts: Sequence[pl.Series],
    values: Vectors,
    truncated: NDArray[np.bool_],
    workers: int | None = None,
    place: Place = LOCAL,
) -> None:
    """Fill in the vectors of the texts of N rows, (N, T, H), and whether a text of the row was truncated, (N,).

    `texts`: the T columns of texts.

    Equal texts are encoded once. Texts that are not in the cache are encoded in segments of `SEGMENT` texts by single-threaded
    processes, here or at `place`. Every finished segment is cached at once, so an interrupted call resumes from there.
    """
    n = len(values)
    joined = pl.concat(texts)
    found = Distinct.of(np.concatenate([text_keys(block) for block in _blocks(joined)]))
    encoder = LoadedEncoder(config)
    left = np.ones(len(found), np.bool_)

    def put(known: NDArray[np.int64], vectors: Vectors, cut: NDArray[np.bool_]) -> None:
        rows, which = found.rows_of(known)
        values[rows % n, rows // n] = vectors[which]
        truncated[rows[cut[which]] % n] = True
        left[known] = False
        forget_pages(values)

    for segment in cached_vectors(encoder.key, found.keys, encoder.width):
        put(*segment)
    missing = np.flatnonzero(left)
    tasks = Segments(config, encoder.key, joined, found.first[missing])
    with track("encode", len(missing), "texts") as advance:
        for task, (vectors, cut) in run_tasks(encode_segment, tasks, workers, place=place):
            mine = missing[task * SEGMENT : (task + 1) * SEGMENT]
            add_vectors(encoder.key, found.keys[mine], vectors, cut)
            put(mine, vectors, cut)
            advance(len(mine))


def _blocks(texts: pl.Series) -> Iterator[pl.Series]:
    for start in range(0, max(1, len(texts)), BLOCK_ROWS):
        yield texts[start : start + BLOCK_ROWS]


def encode_segment(config: ModelConfig, key: str, texts: list[str]) -> tuple[Vectors, NDArray[np.bool_]]:
    """The vectors of some texts in the precision in which they are kept, (n, H), and whether each was truncated, (n,)."""
    values, truncated = encode(loaded_encoder(config, key), texts)
    kept: Vectors = values.clip(*limits(config))
    return (kept.astype(np.float16) if precision(config) is np.float16 else kept), truncated


def precision(config: ModelConfig) -> type[np.float32] | type[np.float16]:
    """The precision in which vectors are kept: half where the encoder computes them in bfloat16, which is coarser."""
    return np.float16 if config.encode == "bfloat16" else np.float32


def text_vectors(config: ModelConfig, texts: Sequence[str]) -> NDArray[np.float32]:
    """The vectors of a few texts, in memory, (N, H)."""
    values = np.empty((len(texts), 1, LoadedEncoder(config).width), np.float32)
    fill_vectors(config, [pl.Series(texts, dtype=pl.String)], values, np.zeros(len(texts), np.bool_))
    return values[:, 0]


def write_features(run: Run, which: FeaturesOf = "rows") -> Path:
    """Write the features of the rows unless they are up to date; returns their folder.

    The features are the pooled last hidden state of the pretrained encoder; for pairs of texts, see `head_input`.
    """
    config, folder, columns = run.config.model, run.features_folder(which), run.config.data.text
    measure = run.config.measure
    encoder = config.model_dump(mode="json", include={"name", "layers", "max_length", "pooling", "encode"})
    if which == "empty":
        rows, source = pl.DataFrame({"id": ["empty"], **dict.fromkeys(columns, "")}), "empty"
    else:
        path = run.rows_file if which == "rows" else run.test_file
        check_rows(path)
        source = str(made_of(path, ROWS_HASH))
    made_with = digest({"encoder": encoder, "rows": source, "text": columns})
    if features_made_of(folder) == made_with:
        return folder
    if which != "empty":
        rows = parquet.read(path, ["id", *columns])
    texts = rows[list(columns)].get_columns()
    parts = 1 if len(texts) == 1 else 4

    def fill(values: Vectors, truncated: NDArray[np.bool_]) -> None:
        by_text = values.reshape(len(rows), parts, -1)
        fill_vectors(config, texts, by_text[:, : len(texts)], truncated, measure.workers, place_of(measure))
        if len(texts) > 1:
            for start in range(0, len(rows), BLOCK_ROWS):
                block = by_text[start : start + BLOCK_ROWS, : len(texts)].astype(np.float32)
                made = head_input([block[:, at] for at in range(len(texts))])
                values[start : start + BLOCK_ROWS] = made.clip(*limits(config))
            forget_pages(values)

    width = parts * LoadedEncoder(config).width
    write_folder(
        folder, lambda there: fill_features(there, rows["id"], made_with, width, precision(config), fill)
    )
    return folder


def limits(config: ModelConfig) -> tuple[float, float]:
    """The smallest and the largest number that a vector may hold."""
    about = np.finfo(precision(config))
    return float(about.min), float(about.max)


def run_features(run: Run, which: FeaturesOf = "rows") -> Features:
    """The features of a run, computed if they are missing."""
    return read_features(write_features(run, which))
