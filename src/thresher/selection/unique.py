"""Refuse a table in which an id stands twice, such as shards that overlap."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl
from numpy.typing import NDArray

from thresher.errors import UserError
from thresher.selection.keys import Source
from thresher.selection.ranks import Passes
from thresher.selection.request import Request
from thresher.selection.row_hash import hash_ids

# Hashes sorted at a time (256 MiB); longer tables are looked at in several passes, by the range of the hash.
_AT_ONCE = 1 << 25
# Equal hashes looked up at most; of different ids there are far fewer, so one of these is a repeated id.
_LOOKED_UP = 1000


def refuse_repeated_ids(source: Source, passes: Passes, request: Request, n_rows: int) -> None:
    """Raise `UserError` naming an id that stands in more than one row.

    Rows with equal hashes are found by sorting the hashes in ranges, so memory does not grow with the number
    of rows; only those rows' ids are compared.
    """
    suspects = _repeated_hashes(passes, n_rows)[:_LOOKED_UP]
    if not len(suspects):
        return
    found: Counter[str] = Counter()
    for frame in source([request.id]):
        ids = frame[request.id]
        found.update(ids.filter(np.isin(hash_ids(ids, request.seed), suspects)).cast(pl.String).to_list())
    repeated = [row_id for row_id, count in found.items() if count > 1]
    if repeated:
        raise UserError(
            f"{request.where}: id {repeated[0]!r} stands in {found[repeated[0]]} rows;"
            f" the ids in column '{request.id}' must be unique"
        )


def _repeated_hashes(passes: Passes, n_rows: int) -> NDArray[np.uint64]:
    ranges = -(-n_rows // _AT_ONCE)
    edges = [(1 << 64) * i // ranges for i in range(ranges)]
    repeated = []
    for low, high in zip(edges, [*edges[1:], 1 << 64], strict=True):
        ties = [
            piece["tie"][(piece["tie"] >= np.uint64(low)) & (piece["tie"] <= np.uint64(high - 1))]
            for piece in passes()
        ]
        ordered = np.sort(np.concatenate(ties))
        repeated.append(np.unique(ordered[1:][ordered[1:] == ordered[:-1]]))
    return np.concatenate(repeated)
