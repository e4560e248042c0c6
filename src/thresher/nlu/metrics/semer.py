"""Semantic error rate."""

from __future__ import annotations

import polars as pl

from thresher.nlu.metrics.counts import Parts, column


def semer(counted: pl.DataFrame) -> Parts:
    """SEMER = (intent errors + slot errors) / (rows + slots of the truth); at least 0.

    The intent counts as one more slot of each row. Slot errors are substitutions, deletions and insertions (see `counts`), so
    many insertions can bring it above 1. Source: Su et al., 2018, as used by Anand et al., EMNLP 2023, section 3.

    >>> row = {"intent_error": [False, True], "slot_errors": [1, 0], "slots": [2, 0]}
    >>> semer(pl.DataFrame(row)).value  # (1 + 1) / (2 + 2)
    0.5
    """
    errors = column(counted, "intent_error") + column(counted, "slot_errors")
    return Parts(errors, 1.0 + column(counted, "slots"))
