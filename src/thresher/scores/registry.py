"""The table of scores: what each is called, what it needs and which end of it is hard."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from thresher.registry import Entry, Registry, assigned

ScoreFunction = Callable[..., pl.Series]
SUFFIXES = ("class", "dataset", "rank")
FORMS = tuple(f"_{suffix}" for suffix in SUFFIXES)
# Signals of the rows and the pretrained encoder, which do not depend on a training.
OF_NO_RUN = frozenset({"id", "label", "features", "word_margin", "n_tokens", "truncated"})
# Signals that rows have whose target is a text.
OF_TEXTS = frozenset({"entropy", "accuracy", "n_completion", "loss_alone", "loss_prompted", "end_loss"})


@dataclass(frozen=True, kw_only=True)
class Score(Entry[ScoreFunction]):
    """A score and the facts that `@score` declares.

    The function is `(signals, checkpoints, *, options...) -> pl.Series`, from the signals and the checkpoints of one run to
    a column. With `reads="scores"` it is `(table, signals, *, options...)`: the table of the other scores, averaged over the
    runs, and the signals of run 0 in the same order.

    `needs`: the columns of the signals that it reads with default options. `hard`: the end of the score where the hard rows
    are. `runs`: 1 if one training run is enough (run 0 is used), "all" if the score is averaged over the runs.
    `normalise`: the form that selection uses by default; only scores with "rank" have a column of ranks. `reads`: "row" if
    the score of a row depends on that row alone, "rows" if it depends on other rows too, "scores" if it is computed from
    other scores. `cost`, `source`: sentences for people.

    A score of single rows is computed block by block and gets every column; `features` only if it is in `needs`. The others
    hold whole columns in memory: `columns` names those of the signals, by default `id`, `label` and `needs`. `made_of`: from
    the options to the scores or columns that a score with `reads="scores"` reads; without it, it gets the whole table.
    `pairs`: which pairs of rows it compares, "all" or those of a "class". `by_blocks`: `(source, *, options...)` to the
    values, (N,), for a score of other rows that does without whole columns.
    """

    needs: tuple[str, ...]
    hard: Literal["high", "low"]
    runs: Literal[1, "all"]
    cost: str
    source: str
    normalise: Literal["class", "dataset", "rank", "raw"] = "raw"
    reads: Literal["row", "rows", "scores"] = "row"
    columns: tuple[str, ...] | None = None
    made_of: Callable[..., Iterable[str]] | None = None
    pairs: Literal["all", "class"] | None = None
    by_blocks: Callable[..., npt.NDArray[np.float64]] | None = None

    @property
    def whole_columns(self) -> tuple[str, ...]:
        """The columns of the signals that a score of other rows gets."""
        return ("id", "label", *self.needs) if self.columns is None else self.columns

    @property
    def of_no_run(self) -> bool:
        """Whether it is the same whatever the training."""
        return bool(self.needs) and OF_NO_RUN.issuperset(self.needs)

    def __post_init__(self) -> None:
        if self.name.endswith(FORMS) or self.name in ("id", "label"):
            raise ValueError(f"score {self.name!r}: the name is taken by a column of the score table")


SCORES = Registry("score", "scores", Score)
score = SCORES.register
scores = SCORES.all
find = SCORES.find


def check_options(options: Mapping[str, Mapping[str, object]] | None = None) -> dict[str, dict[str, Any]]:
    """The options of every score: the defaults, overridden by what is given, as the annotated types.

    Raises UserError: an unknown score or option, or a value that the option does not accept.

    >>> check_options({"el2n": {"epoch": "3"}})["el2n"]
    {'checkpoint': None, 'epoch': 3.0}
    """
    given = options or {}
    return {
        name: SCORES.check_options(name, given.get(name)) for name in {**dict.fromkeys(given), **scores()}
    }


def parse_options(texts: Iterable[str]) -> dict[str, dict[str, str]]:
    """Parse `SCORE.OPTION=VALUE` texts of the command line into a dictionary for `check_options`.

    Raises UserError: a text of another form, or what `check_options` refuses.

    >>> parse_options(["vog.window=late", "vog.reduce=mean"])
    {'vog': {'window': 'late', 'reduce': 'mean'}}
    """
    options: dict[str, dict[str, str]] = {}
    form = "SCORE.OPTION=VALUE, for example vog.window=late"
    for place, value in assigned(texts, "score", form).items():
        name, _, option = place.partition(".")
        options.setdefault(name, {})[option] = value
    check_options(options)
    return options
