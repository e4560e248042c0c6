"""The data map: mean probability of the given label against its variation during training."""

from __future__ import annotations

import numpy as np
import polars as pl

from thresher.report.format import cut, visible
from thresher.report.pictures.numbers import rounded
from thresher.report.read import RunFiles

MOST_POINTS, MOST_CHARACTERS = 3000, 300


def data_map(files: RunFiles) -> dict[str, object] | None:
    """A point per row, from `confidence`, `variability` and `correctness`; a click shows the row.

    Of more than 3,000 rows, a sample with a fixed seed is shown.

    Source: Swayamdipta et al. (2020), "Dataset Cartography", EMNLP, figure 1.
    """
    needed = ("confidence", "variability", "correctness")
    if files.scores is None or any(name not in files.scores.columns for name in needed):
        return None
    table = files.scores.select("id", "label", *needed)
    total = table.height
    if total > MOST_POINTS:
        chosen = np.sort(np.random.default_rng(0).choice(total, MOST_POINTS, replace=False))
        table = table[chosen]
    sampled = f" A sample of {MOST_POINTS:,} of {total:,} rows." if total > MOST_POINTS else ""
    return {
        "id": "data-map",
        "title": "Data map",
        "lead": "Mean probability of the given label over the training, against its standard deviation. Rows at the bottom left "
        "are hard, and often wrongly labelled; "
        f"those at the top left easy; those to the right ambiguous. Click a point to read its row.{sampled}",
        "traces": [
            {
                "type": "scatter",
                "mode": "markers",
                "x": rounded(table["variability"]),
                "y": rounded(table["confidence"]),
                "marker": {
                    "size": 5,
                    "opacity": 0.6,
                    "color": rounded(table["correctness"]),
                    "cmin": 0,
                    "cmax": 1,
                    "colorscale": [[0, "--score-1"], [0.5, "--score-7"], [1, "--score-0"]],
                    "colorbar": {
                        "title": {"text": "share of checkpoints right", "side": "right"},
                        "thickness": 10,
                        "outlinewidth": 0,
                    },
                },
                "hovertemplate": "variability %{x:.3f}<br>confidence %{y:.3f}<extra></extra>",
            }
        ],
        "details": details(files, table),
        "layout": {
            "xaxis": {"title": {"text": "variability"}, "rangemode": "tozero"},
            "yaxis": {"title": {"text": "confidence"}, "range": [0, 1]},
            "hovermode": "closest",
            "showlegend": False,
        },
        "height": 520,
    }


def details(files: RunFiles, table: pl.DataFrame) -> list[str]:
    """Label, text and id of each row, in the order of `table`."""
    columns = files.manifest.config.data.text
    if files.rows is None:
        return [f"{label} · {row}" for row, label in table.select("id", "label").iter_rows()]
    present = [name for name in columns if name in files.rows.columns]
    texts = table.select("id", "label").join(
        files.rows.select("id", *present), on="id", how="left", maintain_order="left"
    )
    return [
        visible(f"{label}: {' | '.join(cut(str(text), MOST_CHARACTERS) for text in found)} ({row})")
        for row, label, *found in texts.iter_rows()
    ]
