"""Interpretation error rate."""

from __future__ import annotations

import numpy as np
import polars as pl

from thresher.nlu.metrics.counts import Parts, column


def irer(counted: pl.DataFrame) -> Parts:
    """IRER = rows with any error, of domain, intent or slots / rows; 0 to 1.

    Source: Anand et al., EMNLP 2023, section 3.

    >>> irer(pl.DataFrame({"intent_error": [True, False, False], "slot_errors": [0, 2, 0]})).value
    0.6666666666666666
    """
    errors = np.maximum(column(counted, "intent_error"), column(counted, "slot_errors") > 0)
    return Parts(errors, np.ones_like(errors))
