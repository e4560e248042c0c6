"""Selection from a table of scores in parquet files of any size."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal

import polars as pl
import pyarrow.parquet as pq

from thresher.arrow import filtered
from thresher.errors import UserError
from thresher.run.files import write
from thresher.run.outputs import as_place, check_output
from thresher.selection.decide import decide
from thresher.selection.read import read
from thresher.selection.request import check
from thresher.selection.shards import KEPT, Shards, batches, open_shards
from thresher.selection.top_k import Mask


def select_from_table(
    path: str | Path,
    *,
    by: str | Sequence[str] | None,
    prune: float,
    out: str | Path,
    end: Literal["easy", "hard"] = "easy",
    hard: Literal["high", "low"] | Sequence[Literal["high", "low"]] = "high",
    strategy: str = "cutoff",
    options: Mapping[str, object] | None = None,
    stratify: str | None = None,
    floor: int = 0,
    floor_group: Sequence[str] = (),
    protect: Sequence[str] = (),
    seed: int = 0,
    id: str = "id",
) -> dict[str, int]:
    """Select like `select` from a parquet file, a folder or a glob of shards, and write the kept rows to a parquet file.

    The rows kept are those that `select` keeps of the same table, whatever their order and their division into shards. The
    table is read in batches, twice. Memory holds one record per row: 8 bytes for the hash of the id, 8 for each score
    column, 8 for the key and 4 for each group column, and while keys are sorted as much again; it does not depend on the
    other columns or on the length of ids.

    Parameters: `path` the table; `id` the column of unique ids, text or whole numbers; `out` the file to write, with all
    columns of the kept rows in the order of the input, shards by name. The others are those of `select`.

    Returns the counts: n_rows, n_target = round((1 - prune) n_rows), n_kept, n_raised (protected or kept by a floor).

    Raises UserError: no parquet file there, an unreadable one, shards with different columns; `out` is the table itself, is not
    a .parquet or cannot be written; or what `select` refuses. Nothing is written then.

    >>> table = pl.DataFrame({"id": [1, 2, 3, 4], "vog": [0.3, 0.1, 0.9, 0.5], "text": ["a", "b", "c", "d"]})
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     table.write_parquet(f"{folder}/all.parquet")
    ...     counts = select_from_table(
    ...         f"{folder}/all.parquet", by="vog", prune=0.5, out=f"{folder}/kept.parquet"
    ...     )
    ...     pl.read_parquet(f"{folder}/kept.parquet")["text"].to_list()
    ['c', 'd']
    >>> counts
    {'n_rows': 4, 'n_target': 2, 'n_kept': 2, 'n_raised': 0}
    """
    out = as_place(out)
    shards = open_shards(path, but=out)
    if out.suffix.lower() != ".parquet":
        raise UserError(
            f"{out}: the kept rows of a scores table are written as .parquet; choose another --out"
        )
    if out.resolve() in {shard.resolve() for shard in shards.paths}:
        raise UserError(f"{out} is the table itself and would be overwritten; choose another --out")
    check_output(out)
    request = check(
        shards.polars_schema,
        where=str(path),
        id=id,
        by=by,
        prune=prune,
        end=end,
        hard=hard,
        strategy=strategy,
        options=options or {},
        stratify=stratify,
        floor=floor,
        floor_group=floor_group,
        protect=protect,
        seed=seed,
    )

    def source(columns: list[str]) -> Iterator[pl.DataFrame]:
        return (pl.DataFrame(batch) for batch in batches(shards, columns))

    decision = decide(read(source, request), request)
    write(out, lambda temporary: _write_kept(temporary, shards, decision.kept))
    return {
        "n_rows": len(decision.kept),
        "n_target": decision.n_target,
        "n_kept": int(decision.kept.sum()),
        "n_raised": decision.n_raised,
    }


def _write_kept(temporary: Path, shards: Shards, kept: Mask) -> None:
    done = 0
    schema = shards.schema.with_metadata({**(shards.schema.metadata or {}), KEPT: b""})
    with pq.ParquetWriter(temporary, schema) as writer:
        for batch in batches(shards, shards.schema.names):
            keep = kept[done : done + batch.num_rows]
            done += batch.num_rows
            if done > len(kept):
                break
            writer.write_table(filtered(batch, keep))
    if done != len(kept):
        raise UserError(f"{shards.paths[0].parent}: the shards changed while they were read; run it again")
