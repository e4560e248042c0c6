"""Intent classification error rate."""

from __future__ import annotations

import numpy as np
import polars as pl

from thresher.nlu.metrics.counts import Parts, column


def icer(counted: pl.DataFrame) -> Parts:
    """ICER = rows whose intent is wrong, or not answered / rows; 0 to 1.

    An intent belongs to its domain: if the domain is wrong, so is the intent. Restricted to the rows of one intent, it is one
    minus the recall of that intent. Source: Anand et al., EMNLP 2023, section 3.

    >>> icer(pl.DataFrame({"intent_error": [True, False, False, True]})).value
    0.5
    """
    errors = column(counted, "intent_error")
    return Parts(errors, np.ones_like(errors))
