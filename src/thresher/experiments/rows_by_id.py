"""Some training or test rows of a run, by id."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TypedDict

import polars as pl

from thresher.errors import UserError
from thresher.run import Run, parquet
from thresher.run.integrity import check_table
from thresher.run.run import TRAIN_AGAIN
from thresher.wording import did_you_mean, listed, shown


class Row(TypedDict):
    """A row, its place among the training or test rows, and which of these it is `of`."""

    place: int
    of: str
    id: str
    label: str
    text: list[str]


def file_of(run: Run, of: str) -> Path:
    return run.test_file if of == "test" else run.rows_file


def rows_where(run: Run, of: str, which: pl.Expr) -> list[Row]:
    """Some training or test rows, without reading the others into memory: place, of, id, label and text(s)."""
    data, path = run.config.data, file_of(run, of)
    # A column of the user's may be called `place`, too.
    found = parquet.scan(path).with_row_index("place:").filter(which)
    columns = found.select("place:", "id", data.label, *data.text).collect().iter_rows()
    return [
        {"place": place, "of": of, "id": id, "label": label, "text": texts}
        for place, id, label, *texts in columns
    ]


def rows_by_id(run: Run, of: str, ids: str | int | Iterable[object]) -> list[Row]:
    """The rows with these ids, one or a sequence or a column of them, in the order given.

    Raises UserError: an unknown id, no test rows, or a damaged file.
    """
    wanted = [str(id) for id in ([ids] if isinstance(ids, str | int) else ids)]
    if not wanted:
        return []
    path = file_of(run, of)
    if not path.is_file():
        raise UserError(
            f"{run}: it has no test rows; run `thresher train` with --test FILE, or give --row or --text"
        )
    check_table(path, TRAIN_AGAIN)
    found = {row["id"]: row for row in rows_where(run, of, pl.col("id").is_in(wanted))}
    missing = [id for id in wanted if id not in found]
    if missing:
        first = parquet.scan(path).select("id").head(10_000).collect()["id"].to_list()
        near = did_you_mean(missing[0], first) or f"; ids are like {listed(first[:3])}"
        raise UserError(f"{path}: no row of id '{shown(missing[0])}'{near}")
    return [found[id] for id in dict.fromkeys(wanted)]
