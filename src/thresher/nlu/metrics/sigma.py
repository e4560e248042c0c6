"""Data-score efficiency."""

from __future__ import annotations

from thresher.errors import UserError


def sigma(relative: float, removed: float) -> float:
    """sigma = (dER / ER_full) / (dd / d_full), in percent per whole data set; higher is better, 0 means no regression.

    `relative` is the relative error and `removed` the share of the data that was removed, so dd / d_full = -removed.

    Raises UserError: nothing was removed.

    Source: Anand et al., EMNLP 2023, section 3; its example, where it prints -11.7:

    >>> round(sigma(0.0604, 0.52), 1)
    -11.6
    """
    if not 0 < removed < 1:
        raise UserError(f"the share removed is {removed:g}; sigma needs one between 0 and 1")
    return 100 * relative / -removed
