"""A map of the rows by the meaning of their texts, before and after the hard end is dropped."""

from __future__ import annotations

import numpy as np
import polars as pl

from thresher.report.examples import default_column
from thresher.report.format import isolated
from thresher.report.pictures.data_map import details
from thresher.report.pictures.text import plain
from thresher.report.read import RunFiles
from thresher.selection import select

COLOURS, WITHOUT = 7, (0.1, 0.3, 0.5)


def meaning_map(files: RunFiles) -> dict[str, object] | None:
    """The points of map.parquet, coloured by label; a menu drops the hard end by each score, a click shows the row.

    Source: the paper, section 7 (its figure of the representation before and after pruning).
    """
    if files.plane is None or files.scores is None:
        return None
    table = files.plane.join(files.scores, on="id", how="inner", maintain_order="left")
    counts = table["label"].cast(pl.String).value_counts().sort("count", "label", descending=[True, False])
    common = counts["label"].to_list()[:COLOURS]
    colours = {label: f"--score-{place}" for place, label in enumerate(common)}
    tints = [colours.get(label, "--rule") for label in table["label"].cast(pl.String)]
    traces: list[dict[str, object]] = []
    menu = []
    for name, share, keep in cuts(files, table):
        traces.append(
            {
                "type": "scatter",
                "mode": "markers",
                "marker": {"size": 5, "opacity": 0.75},
                "places": np.flatnonzero(keep).tolist(),
                "hoverinfo": "none",
                "visible": not traces,
            }
        )
        menu.append(f"without the hardest {share:.0%} by {plain(name)}" if share else "all rows")
    named = ", ".join(isolated(label) for label in common)
    return {
        "id": "meaning-map",
        "title": "Map of the texts",
        "lead": f"{table.height:,} rows by t-SNE of the pretrained encoder's vectors: nearby points have similar texts, large "
        f"distances carry no information. The {len(common)} most frequent labels have colours ({named}), "
        "others are grey. Click a point to read its row.",
        "traces": traces,
        "points": {
            **{axis: [round(one, 2) for one in table[axis].to_list()] for axis in ("x", "y")},
            "color": tints,
        },
        "details": details(files, table.select("id", "label")),
        "layout": {
            "xaxis": {"visible": False},
            "yaxis": {"visible": False, "scaleanchor": "x"},
            "hovermode": "closest",
            "showlegend": False,
        },
        "menu": menu,
        "height": 620,
    }


def cuts(files: RunFiles, table: pl.DataFrame) -> list[tuple[str, float, np.ndarray]]:
    """The rows of each menu entry: all rows, then the rows left without the hardest shares of the whole set by each score."""
    found: list[tuple[str, float, np.ndarray]] = [("", 0.0, np.ones(table.height, np.bool_))]
    scores = files.scores
    assert scores is not None
    for name, facts in files.about["scores"].items():
        column = default_column(name, facts)
        if column not in table.columns:
            continue
        for share in WITHOUT:
            if round(share * scores.height):
                left = select(
                    scores.select("id", column), by=column, prune=share, end="hard", hard=facts["hard"]
                )
                kept = table.select("id").join(left, on="id", how="left", maintain_order="left")["kept"]
                found.append((name, share, kept.to_numpy()))
    return found
