"""What was asked for, checked against the columns that are there, before anything is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import polars as pl

from thresher.errors import UserError
from thresher.selection.registry import Strategy, check_options, find


@dataclass(frozen=True)
class Request:
    """A checked selection; `where` names the table, and sign * score is large where rows are to be kept."""

    where: str
    id: str
    by: str | None
    prune: float
    sign: float
    strategy: Strategy
    options: Mapping[str, float]
    stratify: str | None
    floor: int
    floor_group: tuple[str, ...]
    protect: tuple[tuple[str, str], ...]
    seed: int

    @property
    def columns(self) -> list[str]:
        """The columns that the selection reads, each once."""
        score = [self.by] if self.by is not None and self.strategy.reads_score else []
        stratify = [self.stratify] if self.stratify is not None else []
        pairs = [column for column, _ in self.protect]
        return list(dict.fromkeys([self.id, *score, *stratify, *self.floor_group, *pairs]))


def check(
    schema: Mapping[str, pl.DataType],
    *,
    where: str,
    id: str,
    by: str | None,
    prune: float,
    end: str,
    hard: str,
    strategy: str,
    options: Mapping[str, Any],
    stratify: str | None,
    floor: int,
    floor_group: Sequence[str],
    protect: Sequence[str],
    seed: int,
) -> Request:
    """A `Request`, or the one line that says what is wrong with it.

    Raises
    ------
    UserError
        an unknown strategy, option or column, or a value outside its range.

    >>> check({"id": pl.String(), "vog": pl.Float64()}, where="scores", id="id", by="vgo", prune=0.5,
    ...     end="easy", hard="high", strategy="cutoff", options={}, stratify=None, floor=0, floor_group=(),
    ...     protect=(), seed=0)
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: scores: no column 'vgo'; it has id, vog
    """
    entry = find(strategy)
    settings = check_options(strategy, options)
    _among("end", end, ("easy", "hard"))
    _among("hard", hard, ("high", "low"))
    if not (isinstance(prune, Real) and 0 < prune < 1):
        raise UserError(f"prune is {prune}; it must lie between 0 and 1, for example 0.45")
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
    if entry.reads_score and by is None:
        raise UserError(f"strategy '{strategy}' needs a score column; give by")
    for column in (id, by, stratify, *groups, *(column for column, _ in pairs)):
        if column is not None and column not in schema:
            raise UserError(f"{where}: no column '{column}'; it has {', '.join(schema)}")
    if not (schema[id] in (pl.String, pl.Categorical, pl.Enum) or schema[id].is_integer()):
        raise UserError(
            f"{where}: ids are text or whole numbers, column '{id}' is {schema[id]}; cast it or name another"
        )
    for column in (stratify, *groups, *(column for column, _ in pairs)):
        if column is not None and (schema[column].is_nested() or schema[column] in (pl.Binary, pl.Object)):
            raise UserError(
                f"{where}: column '{column}' is {schema[column]}; groups are text, numbers or truth values"
            )
    if by is not None and entry.reads_score and not schema[by].is_numeric():
        raise UserError(f"{where}: column '{by}' is {schema[by]}, not a number; give by a numeric column")
    # The end that is pruned is turned to be the small one.
    sign = 1.0 if (end == "easy") == (hard == "high") else -1.0
    return Request(
        where, id, by, float(prune), sign, entry, settings, stratify, floor, groups, pairs, int(seed)
    )


def target(n_rows: int, prune: float) -> int:
    """How many of `n_rows` rows pruning keeps: round((1 - prune) n_rows), halves to the even number.

    >>> target(1000, 0.45), target(5, 0.5)
    (550, 2)
    """
    return round((1 - prune) * n_rows)


def _among(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UserError(f"{name} is '{value}'; it is one of {', '.join(known)}")


def _pair(text: str) -> tuple[str, str]:
    column, equals, value = text.partition("=")
    if not equals or not column:
        raise UserError(f"protect '{text}': write COLUMN=VALUE, for example source=synthetic")
    return column, value
