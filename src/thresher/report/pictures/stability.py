"""Agreement of the trainings on each score, and the number of trainings that makes a score stable."""

from __future__ import annotations

from collections.abc import Container

from thresher.facts.scores import Agreement
from thresher.report.format import ABSENT, count
from thresher.report.pictures.numbers import rounded
from thresher.report.pictures.text import plain
from thresher.report.read import RunFiles
from thresher.scores.stability import LEVEL

ONE_PAIR = " Two trainings are a single pair, so these numbers are rough."


def stability(files: RunFiles) -> dict[str, object] | None:
    """One line per score: mean, smallest and largest rank correlation of two trainings, and how many runs to average.

    Source: as `thresher.scores.stability`.
    """
    found = files.about.get("stability")
    if not found or not found["scores"]:
        return None
    lines = sorted(found["scores"].items(), key=lambda item: (-item[1]["correlation"], item[0]))
    least = min(one["low"] for _, one in lines)
    return {
        "id": "stability",
        "title": "Agreement of the trainings",
        "lead": "Rank correlation of each score between two trainings of different seeds: the dot is the mean over pairs, the "
        f"line goes from the smallest to the largest. The number on the right is how many trainings to average until the mean "
        f"correlates at {LEVEL} with that of as many other trainings, by the Spearman-Brown formula."
        + (ONE_PAIR if max(one["runs"] for _, one in lines) == 2 else ""),
        "traces": [
            {
                "type": "scatter",
                "mode": "markers",
                "x": rounded([one["correlation"] for _, one in lines]),
                "y": [plain(name) for name, _ in lines],
                "error_x": {
                    "type": "data",
                    "symmetric": False,
                    "array": rounded([one["high"] - one["correlation"] for _, one in lines]),
                    "arrayminus": rounded([one["correlation"] - one["low"] for _, one in lines]),
                    "color": "--score-0",
                    "thickness": 1.5,
                    "width": 4,
                },
                "marker": {"size": 9, "color": "--score-0"},
                "text": [
                    f"{one['low']:.3f} to {one['high']:.3f}, {count(one['runs'], 'run')}" for _, one in lines
                ],
                "hovertemplate": "%{y}: %{x:.3f}, %{text}<extra></extra>",
            }
        ],
        "layout": {
            "xaxis": {
                "title": {"text": "rank correlation of two trainings"},
                "range": [round(min(0.0, least - 0.05), 2), 1.02],
            },
            "yaxis": {"type": "category", "autorange": "reversed"},
            "shapes": [level_line()],
            "annotations": [
                beside(f"runs to {LEVEL}", 1, "paper"),
                *(beside(needed(one), plain(name), "y") for name, one in lines),
            ],
            "margin": {"l": 48, "r": 92, "t": 28, "b": 44},
            "hovermode": "closest",
            "showlegend": False,
        },
        "height": 110 + 26 * len(lines),
        "table": {
            "caption": "Rank correlation of two trainings, as numbers",
            "head": ["Score", "Runs", "Mean", "Smallest", "Largest", f"Runs to {LEVEL}"],
            "rows": [
                [
                    name,
                    count(one["runs"]),
                    *(f"{r:.3f}".replace("-", "−") for r in (one["correlation"], one["low"], one["high"])),
                    needed(one),
                ]
                for name, one in lines
            ],
            "notes": notes(found["left_out"], files.about["scores"]),
        },
    }


def needed(one: Agreement) -> str:
    """The runs to average, as printed.

    >>> found = {"runs": 3, "correlation": 0.5, "low": 0.4, "high": 0.6, "runs_needed": 1200}
    >>> needed(found), needed({**found, "runs_needed": None})
    ('1,200', '–')
    """
    return ABSENT if one["runs_needed"] is None else count(one["runs_needed"])


def notes(left_out: dict[str, str], computed: Container[str]) -> list[str]:
    """The scores of the run that have no line, grouped by the reason.

    >>> notes({"tracin": "measured in one run only", "vog": "measured in one run only"}, {"tracin": {}, "vog": {}})
    ['Without a line: tracin, vog (measured in one run only).']
    """
    reasons: dict[str, list[str]] = {}
    for name, reason in left_out.items():
        if name in computed:
            reasons.setdefault(reason, []).append(name)
    listed = "; ".join(f"{', '.join(names)} ({reason})" for reason, names in reasons.items())
    return [f"Without a line: {listed}."] if listed else []


def level_line() -> dict[str, object]:
    """A vertical line; scores to the right of it need only one training."""
    line = {"color": "--soft", "width": 1, "dash": "dot"}
    ends = {"x0": LEVEL, "x1": LEVEL, "yref": "paper", "y0": 0, "y1": 1}
    return {"type": "line", "layer": "below", **ends, "line": line}


def beside(text: str, y: float | str, yref: str) -> dict[str, object]:
    """A text to the right of the plot: above it, or on the line of a score."""
    return {
        "text": text,
        "x": 1,
        "xref": "paper",
        "xanchor": "left",
        "xshift": 8,
        "y": y,
        "yref": yref,
        "yanchor": "bottom" if yref == "paper" else "middle",
        "showarrow": False,
    }
