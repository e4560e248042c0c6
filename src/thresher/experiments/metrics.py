"""Test metrics from integer class indices."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.integer[Any]]


def accuracy(truth: Labels, prediction: Labels) -> float:
    """Share of the rows with the correct predicted class; 0 to 1.

    Raises ValueError: no rows, or arrays of different lengths.

    >>> accuracy(np.array([0, 1, 1, 2]), np.array([0, 1, 2, 2]))
    0.75
    """
    _check(truth, prediction)
    return float(np.mean(truth == prediction))


def macro_f1(truth: Labels, prediction: Labels) -> float:
    """Mean over the classes of F1 = 2 TP / (true rows + predicted rows) of the class; 0 to 1.

    The mean is over the classes that occur in the truth or in the predictions, as in scikit-learn's
    `f1_score(average= "macro")`. So a class without test rows counts, as 0, once the model predicts it, and
    no class is 0/0.

    Raises ValueError: no rows, or arrays of different lengths.

    >>> round(macro_f1(np.array([0, 0, 1, 1]), np.array([0, 0, 1, 2])), 4)  # 1, 2/3 and 0
    0.5556
    """
    _check(truth, prediction)
    classes = int(max(truth.max(), prediction.max())) + 1
    hits = np.bincount(truth[truth == prediction], minlength=classes)
    rows = np.bincount(truth, minlength=classes) + np.bincount(prediction, minlength=classes)
    present = rows > 0
    return float(np.mean(2 * hits[present] / rows[present]))


def _check(truth: Labels, prediction: Labels) -> None:
    if not len(truth) or truth.shape != prediction.shape:
        raise ValueError(
            f"{truth.shape} true classes and {prediction.shape} predictions; a metric needs rows"
        )
