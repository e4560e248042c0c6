"""Per test row, the errors of domain, intent and slots that every metric is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from thresher.nlu.rows.table import Slot

Numbers = npt.NDArray[np.float64]


class Parts(NamedTuple):
    """An error rate as numerator and denominator per row; (n,) each."""

    counted: Numbers
    of: Numbers

    @property
    def value(self) -> float:
        """sum counted / sum of; NaN if the denominator is 0."""
        total = float(self.of.sum())
        return float(self.counted.sum()) / total if total else float("nan")


def counts(truth: pl.DataFrame, predicted: pl.DataFrame) -> pl.DataFrame:
    """The right and wrong parts of the answer to each test row.

    A slot is right if label and characters match the truth. Of the others, a true and a predicted slot that share a character
    are one substitution; the remaining true slots are deletions, the remaining predicted slots insertions.

    `truth`: id, domain, intent, slots. `predicted`: the same columns for the same ids, in any order; domain and intent are null
    without an answer.

    Returns `id, domain` (the true one), `domain_error, intent_error` (of domain and intent together: an intent belongs to its
    domain), `slots, predicted_slots, right_slots, slot_errors` (substitutions + deletions + insertions), in the order of
    `truth`.

    Raises ValueError: the tables have different ids.

    >>> columns = {"id": ["1"], "domain": ["alarm"], "intent": ["set"]}
    >>> slot = lambda start, end, label: {"start": start, "end": end, "label": label}
    >>> truth = pl.DataFrame({**columns, "slots": [[slot(3, 7, "time"), slot(8, 11, "date")]]})
    >>> found = pl.DataFrame({**columns, "slots": [[slot(0, 7, "time")]]})
    >>> counts(truth, found).select("slots", "right_slots", "slot_errors").row(0)  # a substitution and a deletion
    (2, 0, 2)
    """
    if truth.height != predicted.height or set(truth["id"]) != set(predicted["id"]):
        raise ValueError("the ids of the predictions differ from those of the test rows")
    joined = truth.select("id", "domain", "intent", "slots").join(
        predicted.select("id", pl.exclude("id").name.suffix(":")), on="id", how="left", maintain_order="left"
    )
    domain_error = (joined["domain"] != joined["domain:"]).fill_null(True)
    intent_error = domain_error | (joined["intent"] != joined["intent:"]).fill_null(True)
    lists = zip(joined["slots"].to_list(), joined["slots:"].to_list(), strict=True)
    found = np.array([_slots(true, given or []) for true, given in lists], dtype=np.int64).reshape(-1, 4)
    names = ("slots", "predicted_slots", "right_slots", "slot_errors")
    return pl.DataFrame(
        {
            "id": joined["id"],
            "domain": joined["domain"],
            "domain_error": domain_error,
            "intent_error": intent_error,
            **{name: found[:, at] for at, name in enumerate(names)},
        }
    )


def _slots(
    true: Sequence[dict[str, object]], given: Sequence[dict[str, object]]
) -> tuple[int, int, int, int]:
    wanted, found = ({Slot(**slot) for slot in slots} for slots in (true, given))  # type: ignore[arg-type]
    right = wanted & found
    missed, extra = sorted(wanted - right), sorted(found - right)
    return len(wanted), len(found), len(right), len(missed) + len(extra) - _overlapping(missed, extra)


def _overlapping(missed: Sequence[Slot], extra: Sequence[Slot]) -> int:
    """The largest number of pairs of slots that share a character, each slot in one pair.

    Slots of one side do not overlap, so greedy pairing by the earliest end is optimal.
    """
    pairs = left = right = 0
    while left < len(missed) and right < len(extra):
        one, other = missed[left], extra[right]
        if one.start < other.end and other.start < one.end:
            pairs, left, right = pairs + 1, left + 1, right + 1
        elif one.end <= other.start:
            left += 1
        else:
            right += 1
    return pairs


def column(table: pl.DataFrame, name: str) -> Numbers:
    """A column of `counts` as numbers, (n,)."""
    return table[name].cast(pl.Float64).to_numpy()
