"""UER, PDR and PDR-tail as sums per user."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from thresher.nlu.ab.logs import KEY
from thresher.selection import hash_ids

Numbers = npt.NDArray[np.float64]
TAIL = 0.4


def unrecoverable(threshold: float) -> pl.Expr:
    """Whether a request is an unrecoverable error: no domain was confident enough, or the user did not recover.

    Source: Anand et al., EMNLP 2023, section 5.
    """
    unsure = pl.col("domain_confidence").fill_null(-1.0) < threshold
    return (unsure | pl.col("domain_confidence").is_null() | ~pl.col("recovered")).cast(pl.Float64)


def tail_of(arms: list[pl.DataFrame], share: float = TAIL) -> pl.Series:
    """The utterances that make up the rarest `share` of the traffic of both arms together.

    Utterances are sorted by number of requests, the most frequent first (ties by a hash); the tail are those that start after
    the first 1 - share of all requests.

    >>> log = pl.DataFrame({"utterance": ["a"] * 6 + ["b", "c", "d", "e"]})
    >>> tail_of([log]).sort().to_list()
    ['b', 'c', 'd', 'e']
    """
    asked = pl.concat([arm.select(pl.col(KEY).str.to_lowercase()) for arm in arms])
    counted = (
        asked.group_by(KEY)
        .agg(n=pl.len())
        .with_columns(tie=pl.col(KEY).map_batches(lambda names: pl.Series(hash_ids(names, 0))))
        .sort("n", "tie", descending=[True, False])
        .with_columns(before=pl.col("n").cum_sum() - pl.col("n"))
    )
    return counted.filter(pl.col("before") >= (1 - share) * asked.height)[KEY]


def per_user(log: pl.DataFrame, value: pl.Expr, chosen: pl.Expr | None = None) -> Numbers:
    """The sum of `value` and the number of requests, per user with any such request; (users, 2)."""
    part = log if chosen is None else log.filter(chosen)
    found = part.group_by("user", maintain_order=True).agg(value.sum().alias("counted"), pl.len().alias("of"))
    return found.select(pl.col("counted", "of").cast(pl.Float64)).to_numpy()


def rates(a: pl.DataFrame, b: pl.DataFrame, threshold: float) -> dict[str, tuple[Numbers, Numbers]]:
    """Per metric, the sums per user of both arms; PDR-tail only if the logs have utterances."""
    defect = pl.col("defect")
    found = {
        "UER": (per_user(a, unrecoverable(threshold)), per_user(b, unrecoverable(threshold))),
        "PDR": (per_user(a, defect), per_user(b, defect)),
    }
    if KEY in a.columns and KEY in b.columns:
        rare = pl.col(KEY).str.to_lowercase().is_in(tail_of([a, b]).implode())
        found["PDR-tail"] = (per_user(a, defect, rare), per_user(b, defect, rare))
    return found
