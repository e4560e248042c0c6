"""Which column a score name refers to, and at which end of it the hard rows are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from thresher.errors import UserError
from thresher.scores.read import MissingSignal
from thresher.scores.registry import SUFFIXES, Score, scores
from thresher.wording import did_you_mean

Normalise = Literal["auto", "raw", "class", "dataset"]


# Columns of cleanlab: the quality of a label, which is low where the label is likely to be wrong.
LOW_ELSEWHERE = frozenset(("label_quality", "label_score"))


def column(by: str, normalise: Normalise, columns: Sequence[str]) -> tuple[str, Literal["high", "low"]]:
    """The column of the score table that `by` and `normalise` refer to, and the end where its hard rows are.

    `by` is a score ("vog": the form of it that `normalise` names, by default the one that the score declares) or a column
    ("vog_class"). A column of an unknown score (one that the user added) is hard at its high end. Of several names separated
    by | the first that the table has is taken.

    Raises UserError: no such score or column, a score that is missing from this table, or a column of another normalisation.

    >>> columns = ["id", "label", "vog", "vog_class", "vog_dataset"]
    >>> column("vog", "auto", columns), column("vog", "raw", columns)
    (('vog_class', 'high'), ('vog', 'high'))
    """
    available = [name for name in columns if name not in ("id", "label")]
    name = by = first_of(by, available)
    score, suffix = _score_of(by)
    if score and not suffix:
        form = score.normalise if normalise == "auto" else normalise
        name = by if form == "raw" else f"{by}_{form}"
    elif score and normalise not in ("auto", suffix):
        raise UserError(
            f"column '{by}' is {suffix}-normalised; leave normalise at auto or select by '{score.name}'"
        )
    elif not score and by in available and normalise in SUFFIXES:
        raise UserError(f"column '{by}' has no {normalise}-normalised form; leave normalise at auto")
    if name not in available:
        problem = "was not computed in this run" if score else "is not a score or a column"
        # Normalised forms are not listed.
        plain = [one for one in available if one.rpartition("_")[0] not in available]
        near = "" if score else did_you_mean(name, available)
        raise UserError(f"'{name}' {problem}; there are {', '.join(plain) or 'none'}{near}")
    return name, hard_end(name)


def first_of(by: str, columns: Sequence[str]) -> str:
    """Of several names separated by |, the first that is a column, or else the last.

    >>> first_of("held_out_margin|aum", ["id", "aum"]), first_of("pvi", ["id"])
    ('aum', 'pvi')
    """
    *others, last = by.split("|")
    return next((name for name in others if name in columns), last)


def hard_end(name: str) -> Literal["high", "low"]:
    """The end where the hard rows of a score or a normalised column are; "high" for a column of an unknown score.

    The label qualities of cleanlab are hard at their low end.

    >>> hard_end("pvi"), hard_end("pvi_class"), hard_end("trail_entropy"), hard_end("pvi_mine")
    ('low', 'low', 'high', 'high')
    """
    score, _ = _score_of(name)
    if score is None:
        return "low" if name in LOW_ELSEWHERE else "high"
    return score.hard


def columns_of(
    by: str, normalise: Normalise, columns: Sequence[str], several: bool
) -> tuple[list[str], list[Literal["high", "low"]]]:
    """`column` for each name in `by`; names are separated by commas if the strategy takes several.

    >>> columns_of("vog,pvi", "auto", ["vog", "vog_class", "pvi"], several=True)
    (['vog_class', 'pvi'], ['high', 'low'])
    """
    names = [name.strip() for name in by.split(",")] if several else [by]
    found = [column(name, normalise, columns) for name in names]
    return [where for where, _ in found], [hard for _, hard in found]


def needed_columns(by: Iterable[str], columns: Sequence[str]) -> list[str]:
    """The columns that `hard_is_high` reads for these names, of a table that has `columns`.

    Raises UserError: no such score or column.

    >>> needed_columns(["vog", "pvi"], ["id", "label", "aum", "vog", "vog_class"])
    ['vog', 'vog_class']
    """
    found: dict[str, None] = {}
    for name in by:
        score, _ = _score_of(name)
        if score is None or score.name in columns:
            found |= dict.fromkeys([score.name] if score else [])
            found[column(name, "auto", columns)[0]] = None
    return list(found)


def hard_is_high(table: pl.DataFrame, name: str) -> npt.NDArray[np.float64]:
    """The values of a score or a column, oriented so that hard rows have the large ones; (N,).

    Raises MissingSignal: a known score that is missing from this table.
    Raises UserError: no such score or column.

    >>> hard_is_high(pl.DataFrame({"pvi": [3.0, -1.0]}), "pvi").tolist()
    [-3.0, 1.0]
    """
    score, _ = _score_of(name)
    if score and score.name not in table.columns:
        raise MissingSignal(f"it needs {score.name}, which was not computed")
    where, hard = column(name, "auto", table.columns)
    values = table[where].to_numpy()
    return values if hard == "high" else -values


def _score_of(name: str) -> tuple[Score | None, str]:
    """The score that a column belongs to, None for other columns; and the suffix of its form, "" for the score itself."""
    known = scores()
    base, _, suffix = name.rpartition("_")
    if name not in known and suffix in SUFFIXES and base in known:
        return known[base], suffix
    return known.get(name), ""
