"""What was asked for, checked against the columns that are there, before anything is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Any

import polars as pl

from thresher.errors import UserError
from thresher.selection.registry import Strategy, check_options, find
from thresher.wording import did_you_mean, listed

_MOST_LAYERS = 10_000


@dataclass(frozen=True)
class Request:
    """A checked selection; `where` names the table, and sign * score is large where rows are to be kept.

    `by` and `signs` have one entry per score column: none, one, or several. Every group of the column `least_group` keeps
    at least the share `least` of an even share of all that are kept.
    """

    where: str
    id: str
    by: tuple[str, ...]
    prune: float
    signs: tuple[float, ...]
    strategy: Strategy
    options: Mapping[str, float]
    stratify: str | None
    floor: int
    floor_group: tuple[str, ...]
    protect: tuple[tuple[str, str], ...]
    seed: int
    least: float = 0.0
    least_group: str | None = None

    @property
    def columns(self) -> list[str]:
        """The columns that the selection reads, each once."""
        stratify = [self.stratify] if self.stratify is not None else []
        pairs = [column for column, _ in self.protect]
        return list(dict.fromkeys([*self.scored, *stratify, *self.floored, *pairs]))

    @property
    def floored(self) -> list[str]:
        """The columns of whose values a number of rows is kept, each once."""
        least = [self.least_group] if self.least_group is not None else []
        return list(dict.fromkeys([*self.floor_group, *least]))

    @property
    def scored(self) -> list[str]:
        """The id and the score columns."""
        return list(dict.fromkeys([self.id, *self.by]))


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
        raise UserError(f"hard names the ends of {len(hards)} columns, by names {len(named)}; give one each")
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
            f"strategy '{strategy}' goes by one column, not by {', '.join(named)}; strategy 'mixed' takes several"
        )
    if entry.drop is not None and not 0 <= settings[entry.drop] < 1:
        raise UserError(
            f"strategy '{strategy}': option '{entry.drop}' is {settings[entry.drop]:g};"
            " it must be at least 0 and below 1"
        )
    if entry.least is not None and not 0 <= settings[entry.least] <= 1:
        raise UserError(
            f"strategy '{strategy}': option '{entry.least}' is {settings[entry.least]:g}; it must be from 0 to 1"
        )
    if entry.layers is not None and not (
        settings[entry.layers].is_integer() and 1 <= settings[entry.layers] <= _MOST_LAYERS
    ):
        raise UserError(
            f"strategy '{strategy}': option '{entry.layers}' is {settings[entry.layers]:g};"
            f" it must be a whole number from 1 to {_MOST_LAYERS:,}"
        )
    if entry.reach is not None and len(named) != 2:
        which = " and ".join(entry.by).replace("|", " or ")
        raise UserError(
            f"strategy '{strategy}' goes by two columns, a score and what is learned of a row; give {which}"
        )
    for column in (id, *named, stratify, *groups, *(column for column, _ in pairs)):
        if column is not None and column not in schema:
            raise UserError(
                f"{where}: no column '{column}'; it has {listed(schema, 20)}{did_you_mean(column, schema)}"
            )
    if not (schema[id] in (pl.String, pl.Categorical, pl.Enum) or schema[id].is_integer()):
        raise UserError(
            f"{where}: ids are text or whole numbers, column '{id}' is {schema[id]}; cast it or name another"
        )
    for column in (stratify, *groups, *(column for column, _ in pairs)):
        if column is not None and (
            schema[column].is_nested() or schema[column] in (pl.Binary, pl.Object, pl.Duration)
        ):
            raise UserError(
                f"{where}: column '{column}' is {schema[column]}; groups are text, numbers or truth values"
            )
    read = named if entry.reads_score else ()
    for column in read:
        if not schema[column].is_numeric():
            raise UserError(
                f"{where}: column '{column}' is {schema[column]}, not a number; give by a numeric column"
            )
    # The end that is pruned is turned to be the small one.
    signs = tuple(1.0 if (end == "easy") == (one == "high") else -1.0 for one in hards[: len(read)])
    least = settings[entry.least] if entry.least is not None else 0.0
    shared, least_group = (stratify, None) if entry.least is None else (None, stratify)
    return Request(
        where,
        id,
        read,
        float(prune),
        signs,
        entry,
        settings,
        shared,
        floor,
        groups,
        pairs,
        int(seed),
        least,
        least_group,
    )


def check_share(prune: float) -> None:
    """Refuse a share to prune that leaves every row, or none.

    Raises
    ------
    UserError
        it does not lie between 0 and 1.
    """
    if not (isinstance(prune, Real) and 0 < prune < 1):
        raise UserError(f"prune is {prune}; it must lie between 0 and 1, for example 0.45")


def target(n_rows: int, prune: float) -> int:
    """How many of `n_rows` rows pruning keeps: round((1 - prune) n_rows), halves to the even number.

    >>> target(1000, 0.45), target(5, 0.5)
    (550, 2)
    """
    return round((1 - prune) * n_rows)


def removed(fraction: float, n_kept: int, n_rows: int) -> float:
    """The share of the rows that went: what was asked for, unless floors and protected rows kept more.

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
