"""The input and output of a strategy: arrays over the rows, in any order."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from thresher.row_hash import uniform
from thresher.selection.top_k import Counts, Groups, Mask, Numbers, Words, largest_of_groups, members

__all__ = ["Candidates", "Keys", "Mask", "Numbers", "exact_mean"]


@dataclass(frozen=True)
class Candidates:
    """The N rows to select from.

    `scores` (M, N): the score columns, each multiplied by its entry in `signs` (M,), +1 or -1, so that large means "keep".
    `tie` (N,): XXH64 of (seed, id), which orders rows of equal key. `group` (N,): the number of the row's group in the
    column to stratify by, 0 to `n_groups` - 1; all 0 without one. `protected` (N,): rows that are kept in any case. `prune`:
    the share of the rows to drop, and `n_target` the number to keep.
    """

    scores: NDArray[np.float64]
    signs: tuple[float, ...]
    tie: Words
    group: Groups
    n_groups: int
    protected: Mask
    prune: float
    n_target: int

    @classmethod
    def of(cls, scores: NDArray[np.float64], u: Sequence[float] | None = None, prune: float = 0.5) -> Self:
        """Rows of one group with these scores, (N,) or (M, N), to try a strategy on; `u` (N,) gives their uniform numbers.

        >>> Candidates.of(np.array([0.1, 0.9]), u=[0.7, 0.2]).u.round(6).tolist()
        [0.7, 0.2]
        """
        scores = np.atleast_2d(scores)
        n = scores.shape[1]
        draws = (np.arange(n) + 0.5) / n if u is None else np.array(u)
        tie = (draws * 2.0**64).astype(np.uint64)
        nothing = np.zeros(n, dtype=np.int32)
        return cls(scores, (1.0,) * len(scores), tie, nothing, 1, nothing > 0, prune, round((1 - prune) * n))

    @property
    def score(self) -> Numbers:
        """The first score column, (N,)."""
        return self.scores[0]

    @property
    def u(self) -> Numbers:
        """The uniform number of each row, from its id and the seed; in (0, 1), (N,)."""
        return uniform(self.tie)

    @property
    def sizes(self) -> Counts:
        return np.bincount(self.group, minlength=self.n_groups)

    def by_group(self) -> Iterator[NDArray[np.intp]]:
        """The places of the rows of each group."""
        return members(self.group, self.n_groups)

    def top(self, share: float) -> Mask:
        """The round(share n) rows of each group of n that have the largest scores, (N,)."""
        counts = np.array([round(share * size) for size in self.sizes.tolist()], dtype=np.int64)
        return largest_of_groups(self.score, self.tie, self.group, counts)


class Keys(NamedTuple):
    """The keys of a strategy (N,), and optional layers or rows to keep in any case.

    `layer` (N,): the kept rows of a group are shared evenly among its layers, smallest first, and keys are compared within a
    layer; rows of layer -1 are kept only if the layers do not suffice. `keep` (N,): rows that are kept like those of a
    floor. `shared`: whether each group keeps its share of the rows; if not, keys are compared over the whole table. `note`: a
    warning that the user should see.
    """

    key: Numbers
    layer: NDArray[np.int32] | None = None
    keep: Mask | None = None
    shared: bool = True
    note: str | None = None


def exact_mean(values: Numbers) -> float:
    """The mean of finite numbers (n,), rounded once, so that the order of the rows changes no bit.

    >>> exact_mean(np.array([1e300, 1.0, -1e300, 1.0]))
    0.5
    """
    # A power of two, so that nothing is rounded: sums of numbers as large as a float64 holds would overflow.
    scale = 2.0**-64 if np.abs(values).max(initial=0.0) > 2.0**900 else 1.0

    def numbers() -> Iterator[float]:
        blocks = (values[start : start + 4096] for start in range(0, len(values), 4096))
        return chain.from_iterable((block * scale).tolist() for block in blocks)

    total = math.fsum(numbers())
    rest = math.fsum(chain(numbers(), [-total]))  # what rounding the sum took away
    return float((Fraction(total) + Fraction(rest)) / len(values) / Fraction(scale))
