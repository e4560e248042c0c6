"""Score distributions as counts per bin, for all rows and per class, kept and removed rows separately."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from thresher.facts.scores import ScoreFacts
from thresher.report.format import visible

BINS = 48
MOST_CLASSES = 200
FORMS = {"raw": "", "class": "_class", "dataset": "_dataset"}
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


def distributions(
    scores: pl.DataFrame, about: dict[str, ScoreFacts], kept: Bools | None
) -> dict[str, object]:
    """What the charts draw.

    `scores` is the score table, `about` the facts of each score, `kept` (N,) the selection shown or None.

    Returns `classes` (names, most rows first, at most 200), `n_classes` in total, `rows` per class, `selected`, and `scores` by
    name: `hard`, `default` (form), and `forms` {raw | class | dataset: `edges` (B + 1,), `values` (B,) where every bin is one
    value, `outside` rows counted in the outermost bins, `counts` [kept, removed] of shape (1 + classes, B) with all rows first,
    `summary` (1 + classes, 7): mean, standard deviation, and the 5, 25, 50, 75, 95% quantiles}.
    """
    labels = scores["label"].cast(pl.String)
    counted = labels.value_counts().sort("count", "label", descending=[True, False]).head(MOST_CLASSES)
    names = counted["label"].to_list()
    place = {name: index for index, name in enumerate(names)}
    label = np.array([place.get(name, len(names)) for name in labels.to_list()], dtype=np.int64)
    keep = np.ones(len(label), dtype=np.bool_) if kept is None else kept
    return {
        "classes": [visible(name) for name in names],
        "n_classes": labels.n_unique(),
        "rows": counted["count"].to_list(),
        "selected": kept is not None,
        "scores": {
            name: {
                "hard": facts["hard"],
                # Ranks have no distribution to show.
                "default": form if (form := facts.get("normalise", "raw")) in FORMS else "raw",
                "forms": {
                    form: form_counts(scores[f"{name}{suffix}"].to_numpy(), label, len(names), keep)
                    for form, suffix in FORMS.items()
                    if f"{name}{suffix}" in scores.columns
                },
            }
            for name, facts in about.items()
            if name in scores.columns
        },
    }


def bins(values: Floats) -> tuple[Floats, Floats | None]:
    """Edges (B + 1,) of the bins; if there are few distinct values, also those values, one per bin.

    Otherwise 48 bins between the 0.5% and the 99.5% quantile, so that outliers do not flatten the histogram.

    >>> bins(np.array([0.0, 1.0, 1.0, 3.0]))
    (array([-0.5,  0.5,  2. ,  4. ]), array([0., 1., 3.]))
    """
    distinct = np.unique(values)
    if len(distinct) == 1:
        half = abs(float(distinct[0])) / 2 or 0.5
        return np.array([distinct[0] - half, distinct[0] + half]), distinct
    if len(distinct) <= BINS // 2:
        middle = (distinct[1:] + distinct[:-1]) / 2
        first, last = 2 * distinct[0] - middle[0], 2 * distinct[-1] - middle[-1]
        return np.concatenate([[first], middle, [last]]), distinct
    low, high = np.quantile(values, [0.005, 0.995])
    # The two quantiles are equal if nearly all rows share one value.
    low, high = (low, high) if high > low else (distinct[0], distinct[-1])
    return np.linspace(low, high, BINS + 1), None


def form_counts(
    values: Floats, label: npt.NDArray[np.int64], n_classes: int, kept: Bools
) -> dict[str, object]:
    """Counts and summary of one column; `label` (N,) with `n_classes` for rows of a class that is not shown."""
    edges, distinct = bins(values)
    last = len(edges) - 2
    # The last bin includes its right edge; values outside the range count in the outermost bins.
    bin_of = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, last)
    counts = []
    for part in (kept, ~kept):
        flat = np.bincount(label[part] * (last + 1) + bin_of[part], minlength=(n_classes + 1) * (last + 1))
        per_class = flat.reshape(n_classes + 1, last + 1)
        counts.append([per_class.sum(0).tolist(), *per_class[:n_classes].tolist()])
    order = np.argsort(label, kind="stable")
    starts = np.searchsorted(label[order], np.arange(n_classes + 1))
    groups = [values, *(values[order[a:b]] for a, b in pairwise(starts))]
    return {
        "edges": [_short(edge) for edge in edges],
        "values": None if distinct is None else [_short(value) for value in distinct],
        "outside": int(((values < edges[0]) | (values > edges[-1])).sum()),
        "counts": counts,
        "summary": [_summary(group) for group in groups],
    }


def _summary(values: Floats) -> list[float]:
    quantiles = np.quantile(values, [0.05, 0.25, 0.5, 0.75, 0.95])
    mean, spread = values.mean(), values.std()
    # The mean of a normalised score is zero but for rounding.
    mean = 0.0 if abs(mean) < 1e-9 * spread else mean
    return [_short(value) for value in (mean, spread, *quantiles)]


def _short(value: float) -> float:
    return float(f"{value:.5g}")
