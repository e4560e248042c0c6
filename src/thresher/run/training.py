"""One training of a run: what it is for, and its number."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["run", "full", "null", "fold"]


@dataclass(frozen=True, order=True)
class Training:
    """A training by its kind and number; it trains with the seed of the run plus its number.

    run: all rows, with checkpoints, from which scores are made. full: all rows, of which only the last weights are kept, for
    the proof. null: all labels on empty texts, for PVI. fold: all rows but one part of a cross-validation.

    >>> Training("run", 0).name, Training.parse("fold-12")
    ('run-0', Training(kind='fold', index=12))
    """

    kind: Kind
    index: int

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.index}"

    @staticmethod
    def parse(name: str) -> Training | None:
        """The training whose folders have a name; None if that is not the name of one."""
        kind, _, index = name.rpartition("-")
        return Training(kind, int(index)) if kind in get_args(Kind) and index.isdecimal() else None  # type: ignore[arg-type]


FIRST = Training("run", 0)
