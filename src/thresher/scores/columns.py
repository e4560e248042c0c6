"""Which column to select by, and which of its ends is hard."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from thresher.errors import UserError
from thresher.scores.read import MissingSignal
from thresher.scores.registry import SUFFIXES, scores
from thresher.wording import did_you_mean

Normalise = Literal["auto", "raw", "class", "dataset"]


def column(by: str, normalise: Normalise, columns: Sequence[str]) -> tuple[str, Literal["high", "low"]]:
    """The column of the score table that `by` and `normalise` mean, and the end at which its hard rows are.

    `by` is a score ("vog": the column its `normalise` names, by default the one its registration gives) or a
    column ("vog_class"). A column of no known score (one that the user added) is hard at its high end. Of several with |
    between them it is the first that the table has.

    Raises
    ------
    UserError
        no such score or column, a score that this table does not have, or a column of another normalisation.

    >>> columns = ["id", "label", "vog", "vog_class", "vog_dataset"]
    >>> column("vog", "auto", columns), column("vog", "raw", columns)
    (('vog_class', 'high'), ('vog', 'high'))
    """
    known = scores()
    available = [name for name in columns if name not in ("id", "label")]
    by = first_of(by, available)
    base, _, suffix = by.rpartition("_")
    if by in known:
        form = known[by].normalise if normalise == "auto" else normalise
        name, score = by if form == "raw" else f"{by}_{form}", by
    elif suffix in SUFFIXES and base in known:
        if normalise not in ("auto", suffix):
            raise UserError(
                f"column '{by}' is {suffix}-normalised; leave normalise at auto or select by '{base}'"
            )
        name, score = by, base
    elif by in available and normalise in SUFFIXES:
        raise UserError(f"column '{by}' has no {normalise}-normalised form; leave normalise at auto")
    else:
        name, score = by, ""
    if name not in available:
        problem = "was not computed in this run" if score else "is not a score or a column"
        # Normalised forms go without saying.
        plain = [one for one in available if one.rpartition("_")[0] not in available]
        near = "" if score else did_you_mean(name, available)
        raise UserError(f"'{name}' {problem}; there are {', '.join(plain) or 'none'}{near}")
    return name, hard_end(name)


def first_of(by: str, columns: Sequence[str]) -> str:
    """Of names with | between them the first that is a column, or else the last.

    >>> first_of("held_out_margin|aum", ["id", "aum"]), first_of("pvi", ["id"])
    ('aum', 'pvi')
    """
    *others, last = by.split("|")
    return next((name for name in others if name in columns), last)


def hard_end(name: str) -> Literal["high", "low"]:
    """The end at which the hard rows of a column are, a score's or one normalised; of a column of no known score the high one.

    >>> hard_end("pvi"), hard_end("pvi_class"), hard_end("trail_entropy"), hard_end("pvi_mine")
    ('low', 'low', 'high', 'high')
    """
    known = scores()
    base, _, suffix = name.rpartition("_")
    score = known.get(name) or (known.get(base) if suffix in SUFFIXES else None)
    return score.hard if score else "high"


def columns_of(
    by: str, normalise: Normalise, columns: Sequence[str], several: bool
) -> tuple[list[str], list[Literal["high", "low"]]]:
    """`column` for each of the names in `by`, separated by commas where a strategy takes several.

    Raises
    ------
    UserError
        as `column`.

    >>> columns_of("vog,pvi", "auto", ["vog", "vog_class", "pvi"], several=True)
    (['vog_class', 'pvi'], ['high', 'low'])
    """
    names = [name.strip() for name in by.split(",")] if several else [by]
    found = [column(name, normalise, columns) for name in names]
    return [where for where, _ in found], [hard for _, hard in found]


def hard_is_high(table: pl.DataFrame, name: str) -> npt.NDArray[np.float64]:
    """The values of a score or a column, turned so that the hard rows have the large ones; (N,).

    Raises
    ------
    MissingSignal
        a known score that this table does not have.
    UserError
        no such score or column.

    >>> hard_is_high(pl.DataFrame({"pvi": [3.0, -1.0]}), "pvi").tolist()
    [-3.0, 1.0]
    """
    base, _, suffix = name.rpartition("_")
    score = base if suffix in SUFFIXES and base in scores() else name
    if score in scores() and score not in table.columns:
        raise MissingSignal(f"it needs {score}, which was not computed")
    where, hard = column(name, "auto", table.columns)
    values = table[where].to_numpy()
    return values if hard == "high" else -values
