"""The results of an A/B test from the logs of its two arms."""

from __future__ import annotations

from typing import Any

import polars as pl

from thresher.nlu.ab.checks import check, weak
from thresher.nlu.ab.inference import relative_change
from thresher.nlu.ab.rates import TAIL, rates


def compare_logs(
    a: pl.DataFrame,
    b: pl.DataFrame,
    *,
    threshold: float = 0.0,
    share: float = 0.5,
    resamples: int = 2000,
    seed: int = 0,
) -> dict[str, Any]:
    """UER, PDR and PDR-tail of arm B relative to arm A.

    - UER, unrecoverable error rate: share of requests for which no domain was confident enough, or the user did not recover.
    - PDR, predicted defect rate: mean defect probability of the requests.
    - PDR-tail: the same over the requests whose utterance is in the rarest 40% of the traffic.

    Parameters
    ----------
    a, b
        logs (`read_log`); A is the arm in production.
    threshold
        the confidence below which a domain does not answer.
    share
        the planned share of users in arm A.

    Returns
    -------
    {"metrics": {name: relative change, 95% interval, p}, "facts": users, requests, days, split p, "warnings": lines}.

    Raises
    ------
    UserError
        users in both arms.

    Source: Anand et al., EMNLP 2023, section 5.
    """
    facts, warnings = check(a, b, share)
    found = rates(a, b, threshold)
    metrics = {name: relative_change(*sums, resamples=resamples, seed=seed) for name, sums in found.items()}
    if "PDR-tail" not in metrics:
        warnings.append(
            f"no PDR-tail: the logs have no column 'utterance', which defines the rarest {TAIL:.0%}"
        )
    warnings += [line for name, arms in found.items() for line in weak(name, arms)]
    warnings += [
        f"no change of {name}: an arm has no such event" for name, one in metrics.items() if one["p"] is None
    ]
    return {
        "metrics": metrics,
        "facts": {**facts, "threshold": threshold, "share_a": share},
        "warnings": warnings,
    }
