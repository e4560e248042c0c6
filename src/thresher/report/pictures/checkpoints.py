"""EL2N at every checkpoint: the spread over the rows, and the agreement of two trainings."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from thresher.report.pictures.numbers import rounded
from thresher.report.read import RunFiles
from thresher.run import parquet
from thresher.run.integrity import check_table
from thresher.scores.probability import error_norms
from thresher.scores.read import by_index

QUANTILES = {"95%": 0.95, "75%": 0.75, "median": 0.5, "25%": 0.25, "5%": 0.05}


def checkpoints(files: RunFiles) -> dict[str, object] | None:
    """Quantiles of |softmax(logits) - onehot(label)| over the rows at each checkpoint; with several trainings also the rank
    correlation between two of them, which shows from which epoch on the ranking is reproducible.

    Source: Paul et al. (2021), "Deep Learning on a Data Diet", section 4; the paper, section 4.2.
    """
    scored = files.run.scoring
    folders = [scored.signals(training) for training in scored.measured()]
    again = scored.again("measure")
    found = [one for folder in folders if (one := el2n_by_checkpoint(folder, again)) is not None]
    if not found:
        return None
    epochs, first = found[0]
    values = [one for _, one in found if one.shape == first.shape]
    lines: list[dict[str, object]] = [
        {
            "type": "scatter",
            "mode": "lines+markers",
            "name": f"{name} of the rows",
            "x": epochs,
            "y": rounded(np.quantile(first, share, axis=0)),
            "line": {
                "color": "--score-0",
                "width": 2.5 if share == 0.5 else 1,
                "dash": "solid" if share == 0.5 else "dot",
            },
            "hovertemplate": f"{name}: %{{y:.3f}} after epoch %{{x:.2f}}<extra></extra>",
        }
        for name, share in QUANTILES.items()
    ]
    layout: dict[str, object] = {
        "xaxis": {"title": {"text": "epochs trained"}},
        "yaxis": {"title": {"text": "EL2N"}, "rangemode": "tozero"},
    }
    lead = (
        "Distance of the predictions from the labels during training. Where the quantiles coincide, the score no longer "
        "distinguishes rows."
    )
    if len(values) > 1:
        lines.append(agreement(epochs, values))
        layout["yaxis2"] = {
            "title": {"text": "rank correlation"},
            "overlaying": "y",
            "side": "right",
            "range": [0, 1.02],
            "tickmode": "linear",
            "dtick": 0.2,
            "showgrid": False,
        }
        lead += (
            f" The dashed line is the rank correlation between two of {len(values)} trainings: the difference to 1 is noise "
            "between trainings."
        )
    return {
        "id": "checkpoints",
        "title": "EL2N over the training",
        "lead": lead,
        "traces": lines,
        "layout": layout,
        "height": 420,
    }


def agreement(epochs: list[float], values: list[np.ndarray]) -> dict[str, object]:
    """Mean rank correlation over pairs of trainings, at each checkpoint."""
    pairs = list(combinations(values, 2))
    means = [
        float(np.mean([spearmanr(a[:, place], b[:, place]).statistic for a, b in pairs]))
        for place in range(len(epochs))
    ]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "rank correlation of two trainings",
        "x": epochs,
        "y": [None if np.isnan(one) else round(one, 4) for one in means],
        "yaxis": "y2",
        "line": {"color": "--score-1", "width": 2, "dash": "dash"},
        "hovertemplate": "two trainings agree to %{y:.3f} after epoch %{x:.2f}<extra></extra>",
    }


def el2n_by_checkpoint(folder: Path, again: str) -> tuple[list[float], np.ndarray] | None:
    """Epochs (C,) and EL2N (N, C) of one training, or None if it was not measured; `again` says what mends a damaged file."""
    parts = sorted(folder.glob("part-*.parquet"))
    table = folder / "checkpoints.parquet"
    if not parts or not table.is_file():
        return None
    for path in (table, *parts):
        check_table(path, again)
    epochs = [round(float(one), 3) for one in by_index(parquet.read(table), "epoch")]
    wanted: list[str] = [
        name for name in ("label", "logits", "error_norm") if name in parquet.scan(parts[0]).collect_schema()
    ]
    return epochs, np.concatenate([error_norms(parquet.read(part, columns=wanted)) for part in parts])
