"""Compute the features of a run: the vectors that a frozen encoder gives for its rows, saved in the run folder."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from thresher.config import ModelConfig
from thresher.execution.engines import run_tasks
from thresher.models.encode import LoadedEncoder, encode, loaded_encoder
from thresher.models.feature_cache import add_vectors, read_vectors, text_key
from thresher.models.frozen import Features, head_input
from thresher.progress import track
from thresher.rows import read_rows
from thresher.run import Run
from thresher.run.files import digest
from thresher.run.integrity import metadata, table_problem, write_table
from thresher.run.layout import FeaturesOf

SEGMENT = 2048
_KEY = b"thresher.features"


def text_vectors(
    config: ModelConfig, texts: Sequence[str], workers: int | None = None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """The vector of every text (N, H), and whether the text was truncated (N,).

    Texts that are not in the cache are encoded in segments of `SEGMENT` texts by single-threaded processes. Every finished
    segment is cached at once, so an interrupted call resumes from there.
    """
    distinct = list(dict.fromkeys(texts))
    keys = [text_key(text) for text in distinct]
    encoder = LoadedEncoder(config)
    found = read_vectors(encoder.key, keys, encoder.width)
    missing = np.flatnonzero(~found.known)
    segments = [missing[start : start + SEGMENT] for start in range(0, len(missing), SEGMENT)]
    jobs = [(config, encoder.key, [distinct[at] for at in segment]) for segment in segments]
    with track("encode", len(missing), "texts") as advance:
        for segment, (values, truncated) in run_tasks(encode_segment, jobs, workers):
            found.values[segments[segment]] = values
            found.truncated[segments[segment]] = truncated
            advance(len(segments[segment]))
    place = {text: at for at, text in enumerate(distinct)}
    rows = np.array([place[text] for text in texts], np.int64)
    return found.values[rows], found.truncated[rows]


def encode_segment(
    config: ModelConfig, key: str, texts: list[str]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Encode some texts and add them to the cache."""
    values, truncated = encode(loaded_encoder(config, key), texts)
    add_vectors(key, [text_key(text) for text in texts], values, truncated)
    return values, truncated


def write_features(run: Run, which: FeaturesOf = "rows") -> Path:
    """Write the features of the rows unless they are up to date; returns their file.

    The file is a table `id, features Array(Float32, H), truncated`. The features are the pooled last hidden state of the
    pretrained encoder; for pairs of texts, see `head_input`.
    """
    config, path = run.config.model, run.features_file(which)
    if which == "empty":
        ids, columns = ["empty"], [[""] for _ in run.config.data.text]
    else:
        rows = read_rows(run.rows_file if which == "rows" else run.test_file)
        ids, columns = rows.table["id"].to_list(), [rows.table[name].to_list() for name in rows.text]
    encoder = config.model_dump(mode="json", include={"name", "layers", "max_length", "pooling", "encode"})
    made_with = digest({"encoder": encoder, "ids": ids, "texts": columns}).encode()
    if table_problem(path) is None and metadata(path).get(_KEY) == made_with:
        return path
    workers = run.config.measure.workers
    values, truncated = text_vectors(config, [text for column in columns for text in column], workers)
    parts = values.reshape(len(columns), len(ids), -1)  # (texts per row, N, H)
    table = pl.DataFrame(
        {
            "id": ids,
            "features": head_input(list(parts)),
            "truncated": truncated.reshape(len(columns), -1).any(0),
        },
        schema_overrides={"id": pl.String},
    )
    write_table(path, table, {_KEY: made_with})
    return path


def read_features(path: Path) -> Features:
    """Features that `write_features` wrote; cached per process."""
    about = path.stat()
    return _read(path, about.st_mtime_ns, about.st_size)


def run_features(run: Run, which: FeaturesOf = "rows") -> Features:
    """The features of a run, computed if they are missing."""
    return read_features(write_features(run, which))


@lru_cache(maxsize=3)
def _read(path: Path, changed: int, size: int) -> Features:
    frame = pl.from_arrow(pq.read_table(path, columns=["features", "truncated"]))
    assert isinstance(frame, pl.DataFrame)
    # Copied because torch does not accept read-only memory.
    return Features(frame["features"].rechunk().to_numpy().copy(), frame["truncated"].to_numpy())
