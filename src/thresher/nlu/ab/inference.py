"""Relative change of a rate between two arms: an interval by the bootstrap and a p value by permutation, users as units.

Requests of the same user are correlated, so users are resampled and permuted.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from thresher.nlu.ab.rates import Numbers

_CELLS = 1 << 22  # weights held in memory at a time


def relative_change(
    a: Numbers, b: Numbers, *, resamples: int = 2000, confidence: float = 0.95, seed: int = 0
) -> dict[str, object]:
    """Change of a rate from arm A to arm B, R_B / R_A - 1, where R = sum counted / sum of.

    - Interval: bootstrap-t of the difference of log R. Users of each arm are resampled with replacement; each resample's
      difference is divided by its own standard error, by the delta method Var log R = U/(U-1) sum_u (n_u/N - d_u/D)^2.
      A resample with a count of 0 in one arm has an infinite statistic; if these fill a tail, the interval is open at that
      end (low -1, high infinite).
    - p value: the same studentised difference, compared with those of random assignments of users to
      arms, (1 + at least as extreme) / (1 + permutations), two-sided. If the arms do not differ, users are exchangeable, so the
      test has its nominal level for any distribution (up to the number of users).

    Source: Efron and Tibshirani 1993, ch. 12; Chung and Romano 2013 for the studentised permutation.

    `a, b`: (users, 2): counted and of, per user.

    Returns {"a", "b": rates, "users_a", "users_b", "change", "low", "high", "p"}; the last four are None where a rate is 0, or
    an arm has fewer than two users.

    >>> rng = np.random.default_rng(0)
    >>> arm = lambda rate: np.stack([rng.binomial(10, rate, 300), np.full(300, 10)], 1).astype(float)
    >>> found = relative_change(arm(0.2), arm(0.3))
    >>> found["low"] < 0.5 < found["high"], found["p"] < 0.01
    (True, True)
    """
    rate_a, rate_b = (
        float(arm[:, 0].sum() / arm[:, 1].sum()) if len(arm) else float("nan") for arm in (a, b)
    )
    found: dict[str, object] = {"a": rate_a, "b": rate_b, "users_a": len(a), "users_b": len(b)}
    if min(len(a), len(b)) < 2 or not (rate_a > 0 and rate_b > 0):
        return {**found, "change": None, "low": None, "high": None, "p": None}
    rng = np.random.default_rng(seed)
    features_a, features_b = _features(a), _features(b)
    log_a, var_a = _log_rate(features_a.sum(0), len(a))
    log_b, var_b = _log_rate(features_b.sum(0), len(b))
    difference, error = float(log_b - log_a), float(np.sqrt(var_a + var_b))
    tails = [0.0, 0.0]
    if error > 0:
        drawn = _bootstrap(features_a, features_b, difference, resamples, rng)
        # Quantiles without interpolation, because some draws are infinite.
        tails = np.quantile(
            drawn, [(1 - confidence) / 2, (1 + confidence) / 2], method="inverted_cdf"
        ).tolist()
    permuted = _permuted(np.concatenate([features_a, features_b]), len(a), resamples, rng)
    far = np.abs(_studentised(log_a, var_a, log_b, var_b, 0.0))
    at_least = int((np.abs(permuted) >= far * (1 - 1e-12)).sum())
    return {
        **found,
        "change": rate_b / rate_a - 1,
        "low": float(np.expm1(difference - tails[1] * error)),
        "high": float(np.expm1(difference - tails[0] * error)),
        "p": (1 + at_least) / (1 + len(permuted)),
    }


def _features(arm: Numbers) -> Numbers:
    """The terms whose sums give rate and variance: n, d, n^2, nd, d^2; (users, 5)."""
    n, d = arm[:, 0], arm[:, 1]
    return np.stack([n, d, n * n, n * d, d * d], 1)


def _log_rate(sums: Numbers, users: int) -> tuple[Numbers, Numbers]:
    """log R and its variance from summed features, (..., 5); -inf if the count is 0."""
    n, d, nn, nd, dd = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = nn / n**2 - 2 * nd / (n * d) + dd / d**2
        # If all users are alike, what remains is rounding error.
        spread = np.where(spread > 1e-13 * (nn / n**2 + dd / d**2), spread, 0.0)
        return np.log(n / d), spread * users / (users - 1)


def _studentised(log_a: Numbers, var_a: Numbers, log_b: Numbers, var_b: Numbers, centre: float) -> Numbers:
    # Without variance, or with a count of 0, the statistic is infinite.
    with np.errstate(divide="ignore", invalid="ignore"):
        values: Numbers = (log_b - log_a - centre) / np.sqrt(var_a + var_b)
        far = np.select([log_b > log_a, log_b < log_a], [np.inf, -np.inf], 0.0)
    return np.where(np.isfinite(values), values, far)


def _blocks(count: int, width: int) -> Iterator[int]:
    size = max(1, _CELLS // width)
    for start in range(0, count, size):
        yield min(size, count - start)


def _bootstrap(a: Numbers, b: Numbers, centre: float, count: int, rng: np.random.Generator) -> Numbers:
    values = []
    for size in _blocks(count, len(a) + len(b)):
        arms = [
            _log_rate(rng.multinomial(len(arm), np.full(len(arm), 1 / len(arm)), size=size) @ arm, len(arm))
            for arm in (a, b)
        ]
        values.append(_studentised(*arms[0], *arms[1], centre))
    return np.concatenate(values)


def _permuted(pooled: Numbers, first: int, count: int, rng: np.random.Generator) -> Numbers:
    total = pooled.sum(0)
    values = []
    for size in _blocks(count, len(pooled)):
        order = rng.random((size, len(pooled))).argpartition(first - 1, axis=1)[:, :first]
        mask = np.zeros((size, len(pooled)))
        np.put_along_axis(mask, order, 1.0, axis=1)
        sums = mask @ pooled
        one, other = _log_rate(sums, first), _log_rate(total - sums, len(pooled) - first)
        values.append(_studentised(*one, *other, 0.0))
    return np.concatenate(values)
