"""A column of a table beside the signals, read along with the rows of the signals."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from thresher.run import parquet

BATCH_ROWS = 1 << 14
BUFFER = 1 << 20


class Cursor:
    """The rows of a Parquet file from one place on; never the whole file in memory."""

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        file = pq.ParquetFile(path, buffer_size=BUFFER)
        self.batches = file.iter_batches(BATCH_ROWS, columns=list(columns), use_threads=False)
        self.left = pl.DataFrame(
            schema=pl.Schema({name: parquet.scan(path).collect_schema()[name] for name in columns})
        )

    def peek(self, count: int) -> pl.DataFrame:
        """The next `count` rows, or as many as there are."""
        while self.left.height < count:
            batch = next(self.batches, None)
            if batch is None:
                break
            self.left = pl.concat([self.left, pl.DataFrame(batch)], how="vertical_relaxed")
        return self.left.head(count)

    def skip(self, count: int) -> None:
        """Go on by so many rows."""
        self.left = self.left.slice(count)


class Follower:
    """Columns of a table `id, ...` for the ids of the signals, which come in blocks.

    The table may be spread over several files, of some of the rows each. As a rule each file has its rows in the order of
    the signals; where one has not, the whole table is read and joined by id.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     pl.DataFrame({"id": ["a", "c", "b"], "z": [1, 3, 2]}).write_parquet(f"{folder}/a.parquet")
    ...     follower = Follower([Path(folder, "a.parquet")], ("z",))
    ...     [follower.at(pl.Series("id", ids))["z"].to_list() for ids in (["a"], ["b", "c"])]
    [[1], [2, 3]]
    """

    def __init__(self, paths: Sequence[Path], columns: Sequence[str]) -> None:
        self.paths, self.columns = list(paths), list(columns)
        self.cursors = [Cursor(path, ("id", *columns)) for path in paths]
        self.whole: pl.DataFrame | None = None

    def at(self, ids: pl.Series) -> pl.DataFrame:
        """The columns for these ids, in their order; null for an id that the table does not have."""
        if self.whole is None:
            found = self._next(ids)
            if found is not None:
                return found
            self.whole = pl.concat([parquet.read(path, ["id", *self.columns]) for path in self.paths])
            self.cursors.clear()
        return self._joined(ids, self.whole)

    def _next(self, ids: pl.Series) -> pl.DataFrame | None:
        """The columns if the next rows of the files are those of these ids, else None."""
        if len(self.cursors) == 1:
            rows = self.cursors[0].peek(len(ids))
            if not rows["id"].equals(ids):
                return None
            self.cursors[0].skip(len(ids))
            return rows.select(self.columns)
        parts = []
        for cursor in self.cursors:
            rows = cursor.peek(len(ids))
            among = rows["id"].is_in(ids.implode())
            count = rows.height if among.all() else int((~among).arg_max() or 0)
            parts.append(rows.head(count))
            cursor.skip(count)
        rows = pl.concat(parts)
        return (
            self._joined(ids, rows) if rows.height == len(ids) and rows["id"].n_unique() == len(ids) else None
        )

    def _joined(self, ids: pl.Series, rows: pl.DataFrame) -> pl.DataFrame:
        joined = ids.alias("id").to_frame().join(rows, on="id", how="left", maintain_order="left")
        return joined.select(self.columns)
