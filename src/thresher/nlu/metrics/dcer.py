"""Domain classification error rate."""

from __future__ import annotations

import numpy as np
import polars as pl

from thresher.nlu.metrics.counts import Parts, column


def dcer(counted: pl.DataFrame) -> Parts:
    """DCER = rows whose domain is wrong, or not answered / rows; 0 to 1.

    Restricted to the rows of one domain, it is one minus the recall of that domain. Source: Anand et al., EMNLP 2023, section 3.

    >>> dcer(pl.DataFrame({"domain_error": [True, False, False, False]})).value
    0.25
    """
    errors = column(counted, "domain_error")
    return Parts(errors, np.ones_like(errors))
