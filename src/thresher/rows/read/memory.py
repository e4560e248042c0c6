"""Read data in memory (pandas and polars frames, Arrow tables, datasets) and saved dataset folders."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from thresher.arrow import filtered
from thresher.errors import UserError
from thresher.rows.read.arrow import read_table
from thresher.rows.read.sheet import Cells, Sheet, need, with_splits
from thresher.rows.table import Source
from thresher.wording import listed, shown

if TYPE_CHECKING:
    from datasets import Dataset
    from pandas import DataFrame

Kind = Literal["arrow", "polars", "pandas", "dataset", "splits"]


def kind(source: object) -> Kind | None:
    """The kind of an object, or None if it is not a table of rows.

    Decided by the name of its module, so that neither pandas nor datasets is imported.

    >>> kind(pl.DataFrame()), kind("train.jsonl")
    ('polars', None)
    """
    if isinstance(source, pa.Table):
        return "arrow"
    if isinstance(source, (pl.DataFrame, pl.LazyFrame)):
        return "polars"
    names = {(one.__module__.split(".")[0], one.__name__) for one in type(source).__mro__}
    if ("pandas", "DataFrame") in names:
        return "pandas"
    if ("datasets", "Dataset") in names:
        return "dataset"
    return "splits" if names & {("datasets", "DatasetDict"), ("datasets", "IterableDatasetDict")} else None


def read_frame(frame: pl.DataFrame | DataFrame, wanted: Sequence[str]) -> Sheet:
    name = "the frame"
    names = [str(one) for one in frame.columns]
    need(wanted, names, name)
    if isinstance(frame, pl.DataFrame):
        return Sheet(name, {column: _cells(frame[column]) for column in with_splits(wanted, names)})
    # By position: pandas columns may be called 0 and 1 rather than "0" and "1".
    places = {column: names.index(column) for column in with_splits(wanted, names)}
    return Sheet(name, {column: _plain(frame.iloc[:, at].tolist()) for column, at in places.items()})


def _cells(values: pl.Series) -> Cells:
    return values if values.dtype == pl.String and not values.null_count() else values.to_list()


def _plain(values: list[object]) -> Cells:
    """Convert NumPy scalars, which a pandas object column may contain, to Python values."""
    if any(issubclass(one, np.generic) for one in set(map(type, values))):
        return [value.item() if isinstance(value, np.generic) else value for value in values]
    return values


def as_arrow(frame: pl.DataFrame | DataFrame | pa.Table) -> pa.Table:
    """All columns of a frame as an Arrow table that can be written as Parquet later.

    Raises UserError: a column has values of several types, or of a type that Parquet does not support.
    """
    try:
        if isinstance(frame, pa.Table):
            table = frame
        elif isinstance(frame, pl.DataFrame):
            for name, dtype in frame.schema.items():
                if dtype == pl.Object:
                    raise UserError(
                        f"the frame: column '{shown(name)}' contains Python objects, which Parquet cannot store; drop"
                        " the column, or convert it to strings"
                    )
            table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
        else:
            table = pa.Table.from_pandas(frame)
        pq.write_table(table.slice(0, 0), pa.BufferOutputStream())
    except (pa.ArrowException, TypeError, ValueError, OSError) as error:
        cast = (
            "pl.col('column').cast(pl.String)"
            if isinstance(frame, pl.DataFrame)
            else "frame['column'].astype(str)"
        )
        raise UserError(
            f"the frame: cannot be stored as Parquet ({shown(error, 120)}); give the column one type, e.g. {cast}, or drop it"
        ) from error
    return table


def read_dataset(dataset: Dataset, wanted: Sequence[str], name: str = "the dataset") -> Sheet:
    need(wanted, dataset.column_names, name)
    part = dataset.select_columns(with_splits(wanted, dataset.column_names))
    table = part.with_format("arrow")[:]
    return read_table(table.replace_schema_metadata(part.features.arrow_schema.metadata), name, wanted)


def select(source: Source, keep: NDArray[np.bool_]) -> Source:
    """A source reduced to some of its rows: data in memory is filtered, files are remembered with the row numbers."""
    rows = np.flatnonzero(keep)
    if source.memory is None:
        return replace(source, selected=rows)
    reduced = source.memory.select(rows) if source.format == "dataset" else filtered(source.memory, keep)
    return replace(source, memory=reduced)


def write_dataset(dataset: Dataset, folder: Path) -> None:
    """Save a dataset as a folder, without progress bars."""
    import datasets

    bars = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        dataset.save_to_disk(str(folder))
    finally:
        if bars:
            datasets.enable_progress_bars()


def is_dataset_folder(path: Path) -> bool:
    """Whether a folder was written by `save_to_disk`."""
    if (path / "state.json").is_file() or (path / "dataset_dict.json").is_file():
        return True
    return (path / "dataset_info.json").is_file() and any(path.glob("*.arrow"))


def open_dataset(path: Path) -> Dataset:
    """The dataset in a folder written by `Dataset.save_to_disk`.

    Raises UserError: the folder contains several splits, no rows, or is broken.
    """
    import datasets

    # datasets 5.2 saves a dataset without rows in no file, and cannot load that again.
    if (path / "state.json").is_file() and not any(path.glob("*.arrow")):
        raise UserError(f"{path}: no rows (no .arrow file in this folder); give a source with labelled rows")
    try:
        found = datasets.load_from_disk(str(path))
    except (OSError, ValueError, TypeError, AttributeError, LookupError, pa.ArrowException) as error:
        raise UserError(
            f"{path}: not a readable dataset folder ({shown(error, 120)}); save it again"
        ) from error
    if isinstance(found, datasets.DatasetDict):
        splits = list(found)
        raise UserError(
            f"{path}: contains the splits {listed(splits)}; give one of them, e.g. {path / splits[0]}"
        )
    return found
