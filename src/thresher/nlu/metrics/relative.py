"""Relative error rate, its efficiency, and a paired interval over test rows and samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

from thresher.errors import UserError
from thresher.facts.figures import Bounds
from thresher.nlu.metrics.counts import Numbers, Parts

_BLOCK = 250


class RelativeInterval(Bounds):
    """A relative error with its interval, of so many samples and test rows, and the two mean error rates."""

    samples: int
    rows: int
    error: float
    full: float


def relative_error(error: float, full: float) -> float:
    """(E - E_full) / E_full; 0.05 means 5% more errors. NaN if full data makes no errors.

    Source: Anand et al., EMNLP 2023, section 3.

    >>> round(relative_error(0.105, 0.1), 6)
    0.05
    """
    return (error - full) / full if full else float("nan")


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


def relative_interval(
    pruned: Sequence[Parts],
    full: Sequence[Parts],
    *,
    bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> RelativeInterval:
    """Relative error of S trainings on pruned data to S on full data, with an interval over test rows and samples.

        mean = (mean_s E_s - mean_s F_s) / mean_s F_s

    Sample s of both arms is a pair (they share the seed of the training), and all trainings are tested on the same n rows. The
    interval is mean +- t sqrt(V_rows + V_samples): V_rows is the variance of `mean` when the test rows are resampled with
    replacement, the same rows for all trainings; V_samples is the variance over the pairs of the linearised difference
    E_s / F - E F_s / F^2, over S. t has the degrees of freedom of Welch and Satterthwaite. With S = 1 the second
    variance is unknown, and the interval covers the rows only. The bounds are NaN if the arms differ but no resample does.

    Source: Efron and Tibshirani 1993, ch. 6; Welch 1947; as `thresher.experiments.intervals` for differences.

    Raises ValueError: no training, or a different number on each side.

    >>> ones, rows = np.ones(400), np.arange(400)
    >>> full, worse = (Parts((rows < errors).astype(float), ones) for errors in (40, 50))
    >>> found = relative_interval([worse] * 3, [full] * 3)
    >>> round(found["mean"], 3), 0 < found["low"] < 0.25 < found["high"] < 0.5
    (0.25, True)
    """
    if not pruned or len(pruned) != len(full):
        raise ValueError(f"{len(pruned)} trainings on pruned data and {len(full)} on full data; give pairs")
    e, f = (np.array([parts.value for parts in side]) for side in (pruned, full))
    mean_e, mean_f = float(e.mean()), float(f.mean())
    count, rows = len(pruned), len(pruned[0].of)
    mean, unknown = relative_error(mean_e, mean_f), float("nan")
    found: RelativeInterval = {
        "mean": mean,
        "samples": count,
        "rows": rows,
        "error": mean_e,
        "full": mean_f,
        "low": unknown,
        "high": unknown,
    }
    if not mean_f > 0:
        return found
    row_part = float(np.nanvar(_resampled(pruned, full, bootstrap, seed), ddof=1))
    if row_part == 0 and not _alike(pruned, full):
        # Too few errors for any resample to differ: no estimate for other rows.
        return found
    linear = e / mean_f - mean_e * f / mean_f**2
    sample_part = float(linear.var(ddof=1)) / count if count > 1 else 0.0
    total = row_part + sample_part
    df = (
        rows - 1
        if total == 0
        else 1 / ((row_part / total) ** 2 / max(rows - 1, 1) + (sample_part / total) ** 2 / max(count - 1, 1))
    )
    half = float(stats.t.ppf((1 + confidence) / 2, df)) * total**0.5
    return {**found, "low": mean - half, "high": mean + half}


def _alike(pruned: Sequence[Parts], full: Sequence[Parts]) -> bool:
    """Whether both arms make the same errors on every row."""
    return all(np.array_equal(one.counted, other.counted) for one, other in zip(pruned, full, strict=True))


def _resampled(pruned: Sequence[Parts], full: Sequence[Parts], bootstrap: int, seed: int) -> Numbers:
    """The relative error of `bootstrap` resamples of the rows."""
    rng = np.random.default_rng(seed)
    rows = len(pruned[0].of)
    sides = [
        (np.stack([parts.counted for parts in side], 1), np.stack([parts.of for parts in side], 1))  # (n, S)
        for side in (pruned, full)
    ]
    values: list[Numbers] = []
    for start in range(0, bootstrap, _BLOCK):
        size = min(_BLOCK, bootstrap - start)
        weights = rng.multinomial(rows, np.full(rows, 1 / rows), size=size).astype(np.float64)  # (b, n)
        with np.errstate(invalid="ignore", divide="ignore"):
            e, f = (((weights @ counted) / (weights @ of)).mean(1) for counted, of in sides)
            values.append(np.where(f > 0, (e - f) / f, np.nan))
    return np.concatenate(values)
