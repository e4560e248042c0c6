"""Accuracy against the share removed, for models of several sizes: the paper's figure 8."""

from __future__ import annotations

from thresher.config import frozen_layers
from thresher.facts.sweep import SweepArms
from thresher.report.pictures.sweep import COLOURS, curve, curves_of, first_shown, form_of, is_random, layout
from thresher.report.read import RunFiles


def sweep_models(files: RunFiles) -> dict[str, object] | None:
    """For the run's model and each other model, the first selection of the sweep and as many random rows."""
    found = files.sweep
    if not found or not found["table"] or not found.get("models"):
        return None
    models: dict[str, SweepArms] = {"this run's model": found}
    for size, entry in found["models"].items():
        models[size if frozen_layers(size) else f"{size} layers"] = entry
    chosen = min(first_shown(curves_of(found["table"])), default=None)
    traces = []
    for at, (model, entry) in enumerate(models.items()):
        for way, lines in curves_of(entry["table"]).items():
            if way == chosen or is_random(lines[0]):
                made = curve(
                    f"{model}: {way}",
                    lines,
                    entry["full"],
                    form_of(entry),
                    f"--score-{at % COLOURS}",
                    visible=True,
                )
                traces.append(made)
    return {
        "id": "sweep-models",
        "title": "The same rows for models of other sizes",
        "lead": "Test accuracy of several models, each trained on the rows that the scores of this run chose; dotted lines "
        "are as many random rows.",
        "traces": traces,
        "layout": layout(form_of(found)),
        "height": 420,
    }
