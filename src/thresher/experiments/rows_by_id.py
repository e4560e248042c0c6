"""Some training or test rows of a run, by id."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from thresher.errors import UserError
from thresher.run import Run, parquet
from thresher.run.integrity import check_table
from thresher.run.run import TRAIN_AGAIN
from thresher.wording import did_you_mean, listed, shown


def file_of(run: Run, of: str) -> Path:
    return run.test_file if of == "test" else run.rows_file


def rows_where(run: Run, of: str, which: pl.Expr) -> list[dict[str, Any]]:
    """Some training or test rows, without reading the others into memory: place, of, id, label and text(s)."""
    data, path = run.config.data, file_of(run, of)
    # A column of the user's may be called `place`, too.
    found = parquet.scan(path).with_row_index("place:").filter(which)
    columns = found.select("place:", "id", data.label, *data.text).collect().iter_rows()
    return [
        {"place": place, "of": of, "id": id, "label": label, "text": texts}
        for place, id, label, *texts in columns
    ]


def rows_by_id(run: Run, of: str, ids: Any) -> list[dict[str, Any]]:
    """The rows with these ids, one or a sequence or a column of them, in the order given.

    Raises UserError: an unknown id, no test rows, or a damaged file.
    """
    ids = [str(id) for id in ([ids] if isinstance(ids, str | int) else ids)]
    if not ids:
        return []
    path = file_of(run, of)
    if not path.is_file():
        raise UserError(
            f"{run}: it has no test rows; run `thresher train` with --test FILE, or give --row or --text"
        )
    check_table(path, TRAIN_AGAIN)
    found = {row["id"]: row for row in rows_where(run, of, pl.col("id").is_in(ids))}
    missing = [id for id in ids if id not in found]
    if missing:
        first = parquet.scan(path).select("id").head(10_000).collect()["id"].to_list()
        near = did_you_mean(missing[0], first) or f"; ids are like {listed(first[:3])}"
        raise UserError(f"{path}: no row of id '{shown(missing[0])}'{near}")
    return [found[id] for id in dict.fromkeys(ids)]
