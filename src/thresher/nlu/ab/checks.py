"""Checks of an A/B test: users in both arms, an unplanned split, too few users or events, different periods."""

from __future__ import annotations

import polars as pl
from scipy import stats

from thresher.errors import UserError
from thresher.nlu.ab.rates import Numbers
from thresher.wording import shown

FEWEST_USERS = 100
FEWEST_EVENTS = 20
SPLIT_P = 0.001
DAY = 86_400.0


def check(a: pl.DataFrame, b: pl.DataFrame, share: float) -> tuple[dict[str, object], list[str]]:
    """Facts about the split, and a warning for each problem.

    Raises UserError: a share outside (0, 1), or users in both arms: no analysis can separate them.
    """
    if not 0 < share < 1:
        raise UserError(f"the share of arm A is {share:g}; it must lie between 0 and 1")
    users_a, users_b = (arm["user"].unique() for arm in (a, b))
    both = users_a.filter(users_a.is_in(users_b.implode())).sort()
    if len(both):
        raise UserError(
            f"{len(both):,} users are in both arms, such as '{shown(both[0])}'; assign each user to one arm, or leave them out"
        )
    p = split_p(len(users_a), len(users_b), share)
    warnings = []
    if p < SPLIT_P:
        warnings.append(
            f"the split differs from the plan: {len(users_a):,} and {len(users_b):,} users against "
            f"{share:.0%} and {1 - share:.0%} (p {p:.2g}); find the cause before you use the results"
        )
    if min(len(users_a), len(users_b)) < FEWEST_USERS:
        fewest = min(len(users_a), len(users_b))
        warnings.append(
            f"too few users: {fewest:,} in one arm; intervals are reliable from {FEWEST_USERS} on"
        )
    spans = [(arm["time"].min(), arm["time"].max()) for arm in (a, b)]
    apart = max(abs((spans[0][at] - spans[1][at]).total_seconds()) for at in (0, 1))  # type: ignore[operator, union-attr]
    if apart > DAY:
        warnings.append(f"the arms ran at different times: they begin or end {apart / DAY:.1f} days apart")
    days = max((end - start).total_seconds() / DAY for start, end in spans)  # type: ignore[operator, union-attr]
    facts = {
        "users_a": len(users_a),
        "users_b": len(users_b),
        "requests_a": a.height,
        "requests_b": b.height,
        "days": round(days, 2),
        "split_p": p,
    }
    return facts, warnings


def weak(name: str, arms: tuple[Numbers, Numbers]) -> list[str]:
    """A warning for each reason why the interval of a rate may be too narrow: few events, or a few users with most requests.

    `arms`: counted and of, per user, (users, 2) each. The effective number of users is (sum of)^2 / sum of^2, with `of` the
    requests of a user. In simulations a 95% interval covers 88% with 6 events in an arm and 95% with 22; with fewer than 15
    effective users of 150 it covers 82 to 89%.

    >>> import numpy as np
    >>> even, one = np.tile([1.0, 9.0], (150, 1)), np.array([[300.0, 3000.0], *[[1.0, 9.0]] * 149])
    >>> weak("UER", (even, even)), len(weak("UER", (even, one)))
    ([], 1)
    """
    lines = []
    events = min(float(arm[:, 0].sum()) for arm in arms)
    if 0 < events < FEWEST_EVENTS:
        lines.append(
            f"few events of {name}: {events:.3g} in one arm; its interval is reliable from {FEWEST_EVENTS} on"
        )
    counted = [
        (float(arm[:, 1].sum() ** 2 / (arm[:, 1] ** 2).sum()), len(arm)) for arm in arms if arm[:, 1].any()
    ]
    users = min(counted, default=(0.0, 0))
    if users[0] < FEWEST_USERS / 2 <= users[1] / 2:
        lines.append(
            f"a few users make most of the requests of {name}: {users[1]:,} in one arm count as {users[0]:.0f}, so its"
            " interval is too narrow"
        )
    return lines


def split_p(users_a: int, users_b: int, share: float) -> float:
    """p value of the observed split against the planned one (sample ratio mismatch), chi-square with one degree of freedom.

    >>> round(split_p(5000, 5000, 0.5), 3), split_p(5000, 5500, 0.5) < 0.001
    (1.0, True)
    """
    total = users_a + users_b
    return float(stats.chisquare([users_a, users_b], [share * total, (1 - share) * total]).pvalue)
