"""The checked parameters of a selection: everything that can be refused before a row is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
import polars as pl

from thresher.errors import UserError
from thresher.selection.candidates import Candidates
from thresher.selection.registry import Strategy, check_options, find
from thresher.wording import did_you_mean, listed


@dataclass(frozen=True)
class Request:
    """A checked selection. `where` names the table; `by` and `signs` have one entry per score column.

    sign * score is large where rows are to be kept. `protect` holds (column, value) pairs.
    """

    where: str
    id: str
    by: tuple[str, ...]
    signs: tuple[float, ...]
    prune: float
    strategy: Strategy
    options: Mapping[str, float]
    stratify: str | None
    floor: int
    floor_group: tuple[str, ...]
    protect: tuple[tuple[str, str], ...]
    seed: int

    @property
    def grouped(self) -> list[str]:
        stratify = () if self.stratify is None else (self.stratify,)
        return list(dict.fromkeys([*stratify, *self.floor_group]))

    @property
    def columns(self) -> list[str]:
        """The columns that the selection reads, each once."""
        pairs = [column for column, _ in self.protect]
        return list(dict.fromkeys([self.id, *self.by, *self.grouped, *pairs]))


def check(
    schema: Mapping[str, pl.DataType],
    *,
    where: str,
    id: str,
    by: str | Sequence[str] | None,
    prune: float,
    end: str,
    hard: str | Sequence[str],
    strategy: str,
    options: Mapping[str, object],
    stratify: str | None,
    floor: int,
    floor_group: Sequence[str],
    protect: Sequence[str],
    seed: int,
) -> Request:
    """A `Request`; the parameters are those of `select`, and `schema` the columns of the table.

    Raises UserError: an unknown strategy, option or column, or a value outside its range.

    >>> check({"id": pl.String(), "vog": pl.Float64()}, where="scores", id="id", by="vgo", prune=0.5,
    ...     end="easy", hard="high", strategy="cutoff", options={}, stratify=None, floor=0, floor_group=(),
    ...     protect=(), seed=0)
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: scores: no column 'vgo'; it has id, vog; did you mean 'vog'?
    """
    entry = find(strategy)
    settings = check_options(strategy, options)
    named = (by,) if isinstance(by, str) else tuple(by or ())
    hards = (hard,) * len(named) if isinstance(hard, str) else tuple(hard)
    _among("end", end, ("easy", "hard"))
    for one in (hard,) if isinstance(hard, str) else hards:
        _among("hard", one, ("high", "low"))
    if len(hards) != len(named):
        raise UserError(
            f"hard gives the ends of {len(hards)} columns and by names {len(named)}; give one end per column"
        )
    check_share(prune)
    if not (isinstance(seed, Integral) and 0 <= seed < 1 << 64):
        raise UserError(f"seed is {seed}; it must be a whole number from 0 to 2**64 - 1")
    if floor < 0:
        raise UserError(f"floor is {floor}; it must be 0 or more rows")
    groups = (floor_group,) if isinstance(floor_group, str) else tuple(floor_group)
    if floor > 0 and not groups:
        raise UserError(
            f"floor is {floor} but no group column is named; give floor_group, for example the label"
        )
    pairs = tuple(_pair(text) for text in ((protect,) if isinstance(protect, str) else protect))
    if entry.needs_stratify and stratify is None:
        raise UserError(
            f"strategy '{strategy}' needs a column to stratify by; give stratify, for example the label"
        )
    if entry.reads_score and not named:
        raise UserError(f"strategy '{strategy}' needs a score column; give by")
    if len(named) > 1 and not entry.several:
        raise UserError(
            f"strategy '{strategy}' takes one score column, not {', '.join(named)}; strategy 'mixed' takes several"
        )
    if entry.scores not in (0, 1, None, len(named)):
        which = " and ".join(entry.by).replace("|", " or ")
        raise UserError(f"strategy '{strategy}' takes {entry.scores} score columns; give {which}")
    # Tried on two rows, so that options outside their range are refused now.
    entry.function(
        Candidates.of(np.tile([0.0, 1.0], (max(1, len(named)), 1)), prune=float(prune)), **settings
    )
    read = named if entry.reads_score else ()
    grouped = [column for column in (stratify, *groups, *dict(pairs)) if column is not None]
    _check_columns(schema, where, id, named, read, grouped)
    # The end that is pruned becomes the small one.
    signs = tuple(1.0 if (end == "easy") == (one == "high") else -1.0 for one in hards[: len(read)])
    return Request(
        where=where,
        id=id,
        by=read,
        signs=signs,
        prune=float(prune),
        strategy=entry,
        options=settings,
        stratify=stratify,
        floor=floor,
        floor_group=groups,
        protect=pairs,
        seed=int(seed),
    )


def _check_columns(
    schema: Mapping[str, pl.DataType],
    where: str,
    id: str,
    named: Sequence[str],
    read: Sequence[str],
    grouped: Sequence[str],
) -> None:
    """Refuse missing columns and columns of the wrong type; of the score columns `named` those in `read` must be numbers."""
    for column in (id, *named, *grouped):
        if column not in schema:
            raise UserError(
                f"{where}: no column '{column}'; it has {listed(schema, 20)}{did_you_mean(column, schema)}"
            )
    if not (schema[id] in (pl.String, pl.Categorical, pl.Enum) or schema[id].is_integer()):
        raise UserError(
            f"{where}: ids are text or whole numbers, column '{id}' is {schema[id]}; cast it or name another"
        )
    for column in grouped:
        if schema[column].is_nested() or schema[column] in (pl.Binary, pl.Object, pl.Duration):
            raise UserError(
                f"{where}: column '{column}' is {schema[column]}; groups are text, numbers or truth values"
            )
    for column in read:
        if not schema[column].is_numeric():
            raise UserError(
                f"{where}: column '{column}' is {schema[column]}, not a number; give by a numeric column"
            )


def check_share(prune: float) -> None:
    """Refuse a share to prune that is not between 0 and 1."""
    if not (isinstance(prune, Real) and 0 < prune < 1):
        raise UserError(f"prune is {prune}; it must lie between 0 and 1, for example 0.45")


def target(n_rows: int, prune: float) -> int:
    """How many of `n_rows` rows are kept: round((1 - prune) n_rows), halves to the even number.

    >>> target(1000, 0.45), target(5, 0.5)
    (550, 2)
    """
    return round((1 - prune) * n_rows)


def removed(fraction: float, n_kept: int, n_rows: int) -> float:
    """The share of the rows that was dropped: `fraction`, unless floors and protected rows kept more.

    >>> removed(0.45, 6, 10), removed(0.45, 7, 10), removed(0.9, 5, 10)
    (0.45, 0.30000000000000004, 0.5)
    """
    share = 1 - n_kept / n_rows
    return fraction if n_kept == target(n_rows, fraction) else share


def _among(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UserError(f"{name} is '{value}'; it is one of {', '.join(known)}")


def _pair(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not equals or not column:
        raise UserError(f"protect '{text}': write COLUMN=VALUE, for example source=synthetic")
    return column, value
