"""Confidence intervals of a measured difference, over training runs and test rows."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from thresher.experiments.metrics import Labels, accuracy, macro_f1
from thresher.facts.figures import Bounds

Floats = npt.NDArray[np.float64]
Metric = Callable[[Labels, Labels], float]
DRAWS_PER_BLOCK = 100
# SciPy is imported in the functions that need it: it takes a second, which finished steps need not wait for.


class Interval(Bounds):
    """A difference with its confidence interval, from `seeds` runs per arm and `rows` test rows."""

    se: float
    df: float
    seeds: int
    rows: int


def paired_interval(
    pred_a: Labels,
    pred_b: Labels,
    truth: Labels,
    metric: Metric = accuracy,
    *,
    confidence: float = 0.95,
    bootstrap: int = 1000,
    seed: int = 0,
) -> Interval:
    """Confidence interval of metric(a) - metric(b), from S trainings of each, tested on the same n rows.

        d_s    = metric(truth, a_s) - metric(truth, b_s)                 the difference of seed s
        mean   = 1/S sum_s d_s
        V_seed = var_s(d_s) / S                                          what another training would change
        V_row  = variance of the mean over resampled test rows           what other test rows would change
        SE^2   = V_seed + V_row
        df     = SE^4 / (V_seed^2 / (S-1) + V_row^2 / (n-1))             Welch-Satterthwaite
        low, high = mean -+ t(df, (1 + confidence) / 2) * SE             cut to [-1, 1]

    Both arms are resampled with the same rows, so what they get wrong together cancels. For accuracy V_row
    needs no bootstrap: it is the variance over the rows (ddof 1) of the seed-averaged difference in being
    right, over n. For other metrics it is the variance over `bootstrap` resamples of the rows, times n /
    (n-1), the bootstrap's known shortfall.

    V_row is at least 4 / n^2, what four rows that differ would give (1 at most). Where fewer differ, their number tells too
    little of how many would among other rows: of none at all, up to 3.7 of as many others may differ (the upper end of a
    Poisson rate at 97.5%), and 1.96 * sqrt(4) = 3.9.

    Seeds and rows are crossed random effects: d has a part per seed, a part per row and their interaction.
    Each of the two terms holds the interaction's share, so where it dominates (two arms that differ by chance
    only) SE^2 counts it twice and a 95% interval covers about 98 to 99%. Subtracting it, as the analysis of
    variance would, makes wider intervals at 2 or 3 seeds, because the seed term, known from so few values,
    then decides the degrees of freedom alone. Where the seeds differ 3 to 30 times more than the rows, the
    estimated degrees of freedom are too hopeful: a 95% interval then covers at worst 87% with 2 seeds, 92%
    with 3 and 94% with 5 (simulated with normal effects).

    With S = 1 the seed part is unknown: the interval is that of the test rows only, and `seeds` says 1. With n = 1
    or 2 V_row is the largest possible, 1, and the interval comes out as [-1, 1].

    Source: two-way random effects without replication; Obuchowski and Rockette 1995 and Gallas 2006 for the
    same design with readers and cases; Efron and Tibshirani 1993, ch. 6; Welch 1947 for the degrees of
    freedom.

    Parameters
    ----------
    pred_a, pred_b
        predicted classes, (S, n).
    truth
        true classes, (n,).
    metric
        `accuracy`, `macro_f1`, or any function (truth, prediction) -> float with values in 0..1.

    Raises ValueError: no rows, or shapes that do not agree.

    >>> truth = np.zeros(100, dtype=int)
    >>> worse = np.tile(np.arange(100) < 10, (3, 1)).astype(int)
    >>> found = paired_interval(np.zeros((3, 100), dtype=int), worse, truth)
    >>> [round(found[name], 3) for name in ("low", "mean", "high")]
    [0.04, 0.1, 0.16]
    """
    if pred_a.ndim != 2 or pred_a.shape != pred_b.shape or pred_a.shape[1:] != truth.shape or not truth.size:
        raise ValueError(
            f"predictions {pred_a.shape} and {pred_b.shape}, truth {truth.shape}; not (S, n), (S, n), (n,)"
        )
    seeds, rows = pred_a.shape
    differences = np.array([metric(truth, a) - metric(truth, b) for a, b in zip(pred_a, pred_b, strict=True)])
    mean = float(differences.mean())
    seed_part = float(differences.var(ddof=1)) / seeds if seeds > 1 else 0.0
    measured = _row_part(pred_a, pred_b, truth, metric, bootstrap, seed) if rows > 1 else 1.0
    row_part = max(measured, min(4 / rows**2, 1.0))
    se = float(np.sqrt(seed_part + row_part))
    df = _welch(seed_part, max(seeds - 1, 1), row_part, max(rows - 1, 1))
    from scipy import stats

    half = float(stats.t.ppf((1 + confidence) / 2, df)) * se
    return Interval(
        mean=mean,
        low=max(mean - half, -1.0),
        high=min(mean + half, 1.0),
        se=se,
        df=df,
        seeds=seeds,
        rows=rows,
    )


def _welch(first: float, first_df: int, second: float, second_df: int) -> float:
    spread = first + second
    # As shares of the whole, so that small variances do not vanish when squared.
    return 1.0 / ((first / spread) ** 2 / first_df + (second / spread) ** 2 / second_df)


def _row_part(
    pred_a: Labels, pred_b: Labels, truth: Labels, metric: Metric, bootstrap: int, seed: int
) -> float:
    rows = len(truth)
    if metric is accuracy:
        difference = ((pred_a == truth).astype(np.float64) - (pred_b == truth)).mean(0)  # (n,)
        return float(difference.var(ddof=1)) / rows
    rng = np.random.default_rng(seed)
    sizes = [min(DRAWS_PER_BLOCK, bootstrap - done) for done in range(0, bootstrap, DRAWS_PER_BLOCK)]
    blocks = (rng.integers(rows, size=(size, rows)) for size in sizes)
    if metric is macro_f1:
        values = [_resampled_macro_f1(pred_a, pred_b, truth, block) for block in blocks]
    else:
        values = [_resampled(metric, pred_a, pred_b, truth, block) for block in blocks]
    return float(np.concatenate(values).var(ddof=1)) * rows / (rows - 1)


def _differences(metric: Metric, pred_a: Labels, pred_b: Labels, truth: Labels) -> Floats:
    """Per seed, (S,)."""
    return np.array([metric(truth, a) - metric(truth, b) for a, b in zip(pred_a, pred_b, strict=True)])


def _resampled(
    metric: Metric, pred_a: Labels, pred_b: Labels, truth: Labels, draws: npt.NDArray[np.int64]
) -> Floats:
    """Seed-averaged differences of any metric under resamples of the rows, (draws, n) to (draws,)."""
    return np.array([_differences(metric, pred_a[:, d], pred_b[:, d], truth[d]).mean() for d in draws])


def _resampled_macro_f1(
    pred_a: Labels, pred_b: Labels, truth: Labels, draws: npt.NDArray[np.int64]
) -> Floats:
    """The same for macro-F1, all resamples at once; the weight of a row is how often it was drawn."""
    count, rows = draws.shape
    classes = int(max(pred_a.max(), pred_b.max(), truth.max())) + 1
    cells = draws * count + np.arange(count)[:, None]
    weights = np.bincount(cells.ravel(), minlength=rows * count).reshape(rows, count).astype(np.float64)

    def per_class(labels: Labels, chosen: npt.NDArray[np.bool_] | None = None) -> Floats:
        """Weighted rows of each class, (K, draws)."""
        at = np.arange(rows) if chosen is None else np.flatnonzero(chosen)
        from scipy import sparse

        indicator = sparse.csr_array((np.ones(len(at)), (labels[at], at)), shape=(classes, rows))
        counted: Floats = indicator @ weights
        return counted

    true = per_class(truth)

    def mean_f1(prediction: Labels) -> Floats:
        total = true + per_class(prediction)
        hits = per_class(truth, truth == prediction)
        f1 = np.divide(2 * hits, total, out=np.zeros_like(total), where=total > 0)
        summed: Floats = f1.sum(0) / (total > 0).sum(0)
        return summed

    seed_averages = [np.mean([mean_f1(p) for p in arm], axis=0) for arm in (pred_a, pred_b)]
    difference: Floats = seed_averages[0] - seed_averages[1]
    return difference
