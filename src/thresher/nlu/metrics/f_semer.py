"""F-SEMER: the harmonic mean of the semantic error rate in both directions."""

from __future__ import annotations

import polars as pl

from thresher.nlu.metrics.counts import Parts, column


def f_semer(counted: pl.DataFrame) -> Parts:
    """F-SEMER = harmonic mean of SEMER with the truth as reference and SEMER with the predictions as reference.

    With the roles exchanged, deletions become insertions and vice versa, so both have the same errors E, over R + S_true and over
    R + S_predicted; their harmonic mean is E / (R + (S_true + S_predicted) / 2). Source: Anand et al., EMNLP 2023, section 3.

    >>> row = {"intent_error": [False, True], "slot_errors": [2, 0], "slots": [2, 0], "predicted_slots": [0, 0]}
    >>> f_semer(pl.DataFrame(row)).value  # harmonic mean of 3/4 and 3/2
    1.0
    """
    errors = column(counted, "intent_error") + column(counted, "slot_errors")
    slots = (column(counted, "slots") + column(counted, "predicted_slots")) / 2
    return Parts(errors, 1.0 + slots)
