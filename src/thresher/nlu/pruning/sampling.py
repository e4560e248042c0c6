"""Sampling scores, and their mean: what the linear sampler draws by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Numbers = npt.NDArray[np.float64]


def sampling_score(values: npt.NDArray[np.floating], eps: float = 0.01) -> Numbers:
    """Scores mapped linearly onto [eps, 1] and divided by their sum: the chance of a row in a single draw; (N,).

    Equal scores give equal chances. Source: Anand et al., EMNLP 2023, appendix C.3.

    >>> sampling_score(np.array([0.0, 1.0]), eps=0.25).tolist()
    [0.2, 0.8]
    """
    low, high = float(values.min()), float(values.max())
    share = (values - low) / (high - low) if high > low else np.ones(len(values))
    weights = eps + (1 - eps) * share.astype(np.float64)
    weights /= weights.sum()
    result: Numbers = weights
    return result


def mixed_score(scores: Sequence[npt.NDArray[np.floating]], eps: float = 0.01) -> Numbers:
    """The mean of the sampling scores of several scores, such as VoG and slot-trail entropy; (N,), sums to 1.

    Source: Anand et al., EMNLP 2023, appendix C.6.

    >>> mixed_score([np.array([0.0, 1.0]), np.array([1.0, 0.0])]).tolist()
    [0.5, 0.5]
    """
    mean: Numbers = np.mean([sampling_score(values, eps) for values in scores], axis=0)
    return mean
