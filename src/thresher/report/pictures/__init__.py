"""Pictures of the page that Plotly draws: one file each, a function from the files of a run to a figure, or None without them.

A new picture is a new file here and a line in `PICTURES`, which is their order on the page. A figure is plain data: Plotly's
traces and layout, where a string such as "--score-0" or "--random/0.2" names a colour of the page, with an opacity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from thresher.report.pictures.checkpoints import checkpoints
from thresher.report.pictures.data_map import data_map
from thresher.report.pictures.meaning_map import meaning_map
from thresher.report.pictures.stability import stability
from thresher.report.pictures.sweep import sweep
from thresher.report.pictures.sweep_groups import sweep_groups
from thresher.report.pictures.sweep_models import sweep_models
from thresher.report.read import RunFiles

Picture = dict[str, Any]
PICTURES: tuple[Callable[[RunFiles], Picture | None], ...] = (
    sweep,
    sweep_groups,
    sweep_models,
    data_map,
    meaning_map,
    checkpoints,
    stability,
)


def pictures(files: RunFiles) -> list[Picture]:
    """The figures that this run has the files for.

    Each is {"id", "title", "lead", "traces", "layout", "height"}, and maybe "menu", a name per trace of which one is shown, and
    "details", a text per row that is shown where its point is clicked. Where "points" holds x, y and color of every row, a trace
    has the "places" of the rows it shows. A "table" has the figures for who cannot see the picture: "caption", "head", "rows" of
    texts, of which the first is a name, and "notes" below it.
    """
    return [found for make in PICTURES if (found := make(files)) is not None]
