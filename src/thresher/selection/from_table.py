"""Selection on anyone's scores table in parquet files, however large."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import pyarrow.parquet as pq
from numpy.typing import NDArray

from thresher.arrow import filtered
from thresher.errors import UserError
from thresher.run.files import unwritable, write
from thresher.selection.decide import decide, kept, raised
from thresher.selection.groups import Codes
from thresher.selection.keys import Records, record_type, records, survey
from thresher.selection.ranks import find_ranks, keyed
from thresher.selection.request import check
from thresher.selection.shards import KEPT, Shards, batches, open_shards
from thresher.selection.unique import refuse_repeated_ids

_READ = 1 << 18


def select_from_table(
    path: str | Path,
    *,
    by: str | Sequence[str] | None,
    prune: float,
    out: str | Path,
    end: Literal["easy", "hard"] = "easy",
    hard: Literal["high", "low"] | Sequence[Literal["high", "low"]] = "high",
    strategy: str = "cutoff",
    options: Mapping[str, Any] | None = None,
    stratify: str | None = None,
    floor: int = 0,
    floor_group: Sequence[str] = (),
    protect: Sequence[str] = (),
    seed: int = 0,
    id: str = "id",
) -> dict[str, int]:
    """Select like `select` from a parquet file, a folder or a glob of shards, and write the kept rows to a
    parquet file.

    The selection is the one that `select` makes of the same rows, whatever their order and their division
    into shards. Memory does not grow with the number of rows: the table is read in batches; 24 bytes per row
    (4 more for each floor column, in steps of 8) lie in a temporary folder beside `out` meanwhile.

    Parameters: `path` the table; `id` the column of unique ids, text or whole numbers; `out` the file to
    write, with all columns of the kept rows in the order of the input, shards by name. The others as in
    `select`.

    Returns the counts: n_rows, n_target = round((1 - prune) n_rows), n_kept, n_raised (protected or kept by a
    floor).

    Raises
    ------
    UserError
        no parquet file there, an unreadable one, shards with different columns, `out` is the table itself, is no .parquet or
        cannot be written, or what `select` refuses. Nothing is written then.

    >>> table = pl.DataFrame({"id": [1, 2, 3, 4], "vog": [0.3, 0.1, 0.9, 0.5], "text": ["a", "b", "c", "d"]})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     table.write_parquet(f"{folder}/all.parquet")
    ...     counts = select_from_table(
    ...         f"{folder}/all.parquet", by="vog", prune=0.5, out=f"{folder}/kept.parquet"
    ...     )
    ...     pl.read_parquet(f"{folder}/kept.parquet")["text"].to_list()
    ['c', 'd']
    >>> counts
    {'n_rows': 4, 'n_target': 2, 'n_kept': 2, 'n_raised': 0}
    """
    out = Path(out)
    shards = open_shards(path, but=out)
    if out.suffix.lower() != ".parquet":
        raise UserError(
            f"{out}: kept rows of a table of scores are written as .parquet; choose another --out"
        )
    if out.resolve() in {shard.resolve() for shard in shards.paths}:
        raise UserError(f"{out}: is the table itself and would be written over; choose another --out")
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

    n_rows, spreads = survey(source, request)
    codes: dict[str, Codes] = {}
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as folder:
            spill = Path(folder) / "records"
            with spill.open("wb") as handle:
                for piece in records(source, request, spreads, codes):
                    handle.write(piece.tobytes())

            def passes() -> Iterator[Records]:
                return _read(spill, record_type(request))

            refuse_repeated_ids(source, passes, request, n_rows)
            ranks = find_ranks(passes, request, codes)

            def keep(piece: Records) -> NDArray[np.bool_]:
                return kept(raised(keyed(piece, request, spreads, ranks), decision.floors), decision)

            def keyed_passes() -> Iterator[Records]:
                return (keyed(piece, request, spreads, ranks) for piece in passes())

            decision = decide(keyed_passes, request, n_rows, codes, ranks.width)
            write(
                out,
                lambda temporary: _write_kept(temporary, shards, spill, record_type(request), keep, n_rows),
            )
    except OSError as error:
        raise unwritable(out, error) from error
    return {
        "n_rows": n_rows,
        "n_target": decision.n_target,
        "n_kept": decision.n_kept,
        "n_raised": decision.n_raised,
    }


def _read(spill: Path, layout: np.dtype[Any]) -> Iterator[Records]:
    # Read, not mapped: mapped pages would count as memory of the process.
    with spill.open("rb") as handle:
        while len(piece := np.fromfile(handle, dtype=layout, count=_READ)):
            yield piece


def _write_kept(
    temporary: Path,
    shards: Shards,
    spill: Path,
    layout: np.dtype[Any],
    keep: Callable[[Records], NDArray[np.bool_]],
    n_rows: int,
) -> None:
    written = 0
    schema = shards.schema.with_metadata({**(shards.schema.metadata or {}), KEPT: b""})
    with pq.ParquetWriter(temporary, schema) as writer, spill.open("rb") as handle:
        for batch in batches(shards, shards.schema.names):
            piece = np.fromfile(handle, dtype=layout, count=batch.num_rows)
            if len(piece) != batch.num_rows:
                break
            writer.write_table(filtered(batch, keep(piece)))
            written += batch.num_rows
    if written != n_rows:
        raise UserError(f"{shards.paths[0].parent}: the shards changed while they were read; run it again")
