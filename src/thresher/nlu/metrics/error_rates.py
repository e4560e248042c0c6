"""The error rates of a stack; each is a ratio of sums over test rows."""

from __future__ import annotations

from collections.abc import Callable

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


def icer(counted: pl.DataFrame) -> Parts:
    """ICER = rows whose intent is wrong, or not answered / rows; 0 to 1.

    An intent belongs to its domain: if the domain is wrong, so is the intent. Restricted to the rows of one intent, it is one
    minus the recall of that intent. Source: Anand et al., EMNLP 2023, section 3.

    >>> icer(pl.DataFrame({"intent_error": [True, False, False, True]})).value
    0.5
    """
    errors = column(counted, "intent_error")
    return Parts(errors, np.ones_like(errors))


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


def irer(counted: pl.DataFrame) -> Parts:
    """IRER = rows with any error, of domain, intent or slots / rows; 0 to 1.

    Source: Anand et al., EMNLP 2023, section 3.

    >>> irer(pl.DataFrame({"intent_error": [True, False, False], "slot_errors": [0, 2, 0]})).value
    0.6666666666666666
    """
    errors = np.maximum(column(counted, "intent_error"), column(counted, "slot_errors") > 0)
    return Parts(errors, np.ones_like(errors))


ERRORS: dict[str, Callable[[pl.DataFrame], Parts]] = {
    "DCER": dcer,
    "ICER": icer,
    "SEMER": semer,
    "F-SEMER": f_semer,
    "IRER": irer,
}
