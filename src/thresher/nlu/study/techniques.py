"""The pruning techniques that a study compares, as a table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from thresher.errors import UserError
from thresher.nlu.pruning.choose import choose
from thresher.selection.request import target


@dataclass(frozen=True)
class Technique:
    """A pruning technique: the score columns that it reads and a strategy; `title` is its name in tables."""

    title: str
    by: str | tuple[str, ...] | None
    strategy: str
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def draws(self) -> bool:
        """Whether samples differ in their rows and not only in their training."""
        return self.strategy != "cutoff"


TECHNIQUES: dict[str, Technique] = {
    "random": Technique("random", None, "random"),
    "stratified": Technique("random within domains", None, "stratified"),
    "vog-class": Technique("VoG, class-normalised", "vog_class", "linear"),
    "vog-dataset": Technique("VoG, dataset-normalised", "vog_dataset", "linear"),
    "vog-cutoff": Technique("VoG, dataset-normalised, easiest cut off", "vog_dataset", "cutoff"),
    "el2n": Technique("EL2N", "el2n", "linear"),
    "vog-slots": Technique("VoG of the slot outputs", "vog_slots", "linear"),
    "el2n-slots": Technique("EL2N of the slot outputs", "el2n_slots", "linear"),
    "mixed": Technique("VoG and slot-trail entropy, mixed", ("vog_dataset", "trail_entropy"), "mixed"),
}


def technique(name: str) -> Technique:
    """The technique of that name.

    >>> technique("random").draws
    True
    """
    if name not in TECHNIQUES:
        raise UserError(f"unknown technique '{name}'; the techniques are {', '.join(TECHNIQUES)}")
    return TECHNIQUES[name]


def kept_ids(scores: pl.DataFrame, name: str, prune: float, sample: int) -> list[str]:
    """The sorted ids that a technique keeps in a sample, without floors, so that only the technique differs.

    Raises UserError: an unknown technique, or a score that the table does not have.
    """
    used = technique(name)
    found = choose(
        scores, by=used.by, prune=prune, strategy=used.strategy, options=used.options, floor=0, seed=sample
    )
    kept: list[str] = found.filter("kept")["id"].sort().to_list()
    assert len(kept) == target(scores.height, prune)
    return kept
