"""Filter rows by the values of their columns: conditions such as `split=train` and `label!=-`."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from thresher.errors import UserError
from thresher.rows.find import split_of
from thresher.rows.read.sheet import Sheet, is_split_column
from thresher.rows.validate import INTEGER, WHOLE, group_name
from thresher.wording import listed, shown


@dataclass(frozen=True)
class Condition:
    """A column whose value must, or must not, equal `value`. A missing value equals the empty string."""

    column: str
    value: str
    equal: bool

    def __str__(self) -> str:
        return f"{self.column}{'=' if self.equal else '!='}{self.value}"


def conditions(given: str | Iterable[str]) -> tuple[Condition, ...]:
    """Parse conditions.

    >>> [str(one) for one in conditions(["split=train", "label!=-"])], conditions("split=train")[0].equal
    (['split=train', 'label!=-'], True)
    """
    found = []
    for text in (given,) if isinstance(given, str) else given:
        match = re.fullmatch(r"(.+?)(!?=)(.*)", text, re.DOTALL)
        if match is None:
            raise UserError(f"where: '{shown(text)}' is not a condition; write COLUMN=VALUE or COLUMN!=VALUE")
        found.append(Condition(match[1], match[3], match[2] == "="))
    return tuple(found)


def matching(sheet: Sheet, wanted: Iterable[Condition]) -> NDArray[np.bool_]:
    """Which rows of a sheet meet all conditions, (N,). In a format without types, 1.0 equals 1, as for labels.

    >>> sheet = Sheet("a.csv", {"split": ["train", "test", None]})
    >>> matching(sheet, conditions("split=train")).tolist(), matching(sheet, conditions("split!=")).tolist()
    ([True, False, False], [True, True, False])
    """
    keep = np.ones(len(sheet), np.bool_)
    for one in wanted:
        values = [group_name(value) for value in sheet.columns[one.column]]
        whole = not sheet.typed and INTEGER.fullmatch(one.value) is not None
        same = [value == one.value or (whole and WHOLE.sub(r"\1", value) == one.value) for value in values]
        keep &= np.array(same, np.bool_) == one.equal
    return keep


def refuse_mixed_splits(sheets: Iterable[Sheet], chosen: Iterable[str], name: str, more: str = "") -> None:
    """Refuse rows whose split column has both training and held-out rows, unless the column is among the `chosen` ones.

    `more` is another way to load them, for the message, with the column as {}.

    Raises UserError: names the column, its values, and how to choose one.
    """
    columns = dict.fromkeys(column for sheet in sheets for column in sheet.columns if is_split_column(column))
    for column in (one for one in columns if one not in chosen):
        found = [sheet.columns[column] for sheet in sheets if column in sheet.columns]
        counts = Counter(str(value) for values in found for value in values)
        splits = {split: value for value in reversed(counts) if (split := split_of(value))}
        if len(splits) > 1:
            rows = listed(f"{value} {count:,}" for value, count in counts.most_common())
            condition = shlex.quote(f"{column}={splits['train']}")
            raise UserError(
                f"{name}: column '{column}' has training and held-out rows ({rows}); choose with --where"
                f" {condition}{more.format(column)}"
            )
