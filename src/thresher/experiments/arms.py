"""Training arms: each is a way to select rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from thresher.facts.sweep import ArmLine
from thresher.run import Run, parquet
from thresher.selection import check_options, find, parse_options, select

End = Literal["easy", "random", "hard"]
Hard = Literal["high", "low"]


@dataclass(frozen=True)
class Arm:
    """One way to select rows: the column (or several), which of its ends is hard, the end that is pruned, the strategy.

    `request` holds what else `select` takes: floors, protected rows, strata.
    """

    by: str | tuple[str, ...] | None
    hard: Hard | tuple[Hard, ...]
    end: End
    strategy: str
    options: Mapping[str, float] = field(default_factory=dict)
    request: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """A readable name: `vog_class easy cutoff`."""
        chosen = ":".join([self.strategy, *(f"{name}={value:g}" for name, value in self.options.items())])
        return chosen if self.by is None else f"{self.column} {self.end} {chosen}"

    @property
    def column(self) -> str:
        """The column, several with + between them; empty if no score is read."""
        return self.by or "" if not isinstance(self.by, tuple) else "+".join(self.by)

    def facts(self) -> ArmLine:
        # Imported here: the scores import SciPy, which finished steps need not wait for.
        from thresher.scores import scores
        from thresher.scores.registry import SUFFIXES

        base, _, suffix = self.column.rpartition("_")
        normalised = suffix in SUFFIXES and base in scores()
        return {
            "score": base if normalised else self.column or None,
            "normalise": suffix if normalised else "raw",
            "end": self.end,
            "strategy": self.strategy,
            "options": dict(self.options),
        }


RANDOM = Arm(None, "high", "random", "random")
# Ties and samplers of a selection are drawn by the hash of an id under its own seed. Random rows that were drawn by the same hash
# would be much the same rows.
APART = 1 << 32


def scores_of(run: Run, ids: pl.Series) -> pl.DataFrame:
    """`id` and the scores of a run, in the order of `ids`; null for a row that was not scored."""
    run.check_scores()
    scored = parquet.read(run.scores_file)
    return pl.DataFrame({"id": ids}).join(scored, on="id", how="left", maintain_order="left")


def arms_of(
    columns: Sequence[str],
    names: Sequence[str],
    ends: Sequence[End],
    strategies: Sequence[str],
    request: Mapping[str, Any],
) -> list[Arm]:
    """Every strategy on every end of every score; strategies that read no score once, random rows first of all.

    `columns`: those of the score table. `names`: scores or columns; by default every score of the table. `strategies`:
    `NAME` or `NAME:OPTION=X`, several options with more colons.

    Raises UserError: an unknown score, strategy or option, or a value that is not a finite number.

    >>> arms = arms_of(["id", "label", "el2n"], [], ["easy", "hard"], ["cutoff", "softmax:temperature=2"], {})
    >>> [arm.name for arm in arms]
    ['random', 'el2n easy cutoff', 'el2n hard cutoff', 'el2n easy softmax:temperature=2', 'el2n hard softmax:temperature=2']
    """
    from thresher.scores import column, scores

    chosen = list(names) or [name for name in scores() if name in columns]
    found = [RANDOM]
    for text in strategies:
        strategy, *given = text.split(":")
        wanted = parse_options(given)
        checked = check_options(strategy, wanted)
        options = {name: checked[name] for name in wanted}  # no defaults: an arm is named by what was asked
        asked = dict(request)
        if find(strategy).needs_stratify and asked.get("stratify") is None:
            asked["stratify"] = "label"
        if not find(strategy).reads_score:
            if strategy != "random":
                found.append(Arm(None, "high", "random", strategy, options, asked))
            continue
        cut = [end for end in ends if end != "random"]
        if own := find(strategy).by:
            by, hard = zip(*(column(name, "auto", columns) for name in own), strict=True)
            found += [Arm(by, hard, end, strategy, options, asked) for end in cut]
            continue
        for name in chosen:
            where, side = column(name, "auto", columns)
            found += [Arm(where, side, end, strategy, options, asked) for end in cut]
    return list({arm.name: arm for arm in found}.values())


def kept_by(arm: Arm, table: pl.DataFrame, prune: float, seed: int) -> NDArray[np.bool_]:
    """Which rows of the score table the arm keeps, (N,); `seed` draws samplers and ties, and, apart from these, random rows."""
    keep: NDArray[np.bool_] = select(
        table,
        by=arm.by,
        hard=arm.hard,
        prune=prune,
        end="easy" if arm.end == "random" else arm.end,
        strategy=arm.strategy,
        options=arm.options,
        seed=seed + APART if arm is RANDOM else seed,
        **arm.request,
    )["kept"].to_numpy()
    return keep
