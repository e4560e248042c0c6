"""The pictures that Plotly draws, one per file: a function from the files of a run to a figure, or None if files are missing.

A new picture is a new file here and a line in `PICTURES`, which is their order on the page. A figure is plain data: Plotly's
traces and layout, where a string such as "--score-0" or "--random/0.2" names a colour of the page, with an opacity.
"""

from __future__ import annotations

from collections.abc import Callable

from thresher.report.pictures.checkpoints import checkpoints
from thresher.report.pictures.data_map import data_map
from thresher.report.pictures.meaning_map import meaning_map
from thresher.report.pictures.stability import stability
from thresher.report.pictures.sweep import sweep
from thresher.report.pictures.sweep_groups import sweep_groups
from thresher.report.pictures.sweep_models import sweep_models
from thresher.report.read import RunFiles

Picture = dict[str, object]
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
    """The figures for which this run has the files.

    Each is {"id", "title", "lead", "traces", "layout", "height"}, and optionally "menu", a name per trace, one of which is
    shown, and "details", a text per row that is shown when its point is clicked. If "points" has x, y and color of every row,
    the "places" of a trace are the indices of its rows. A "table" has the same figures as text: "caption", "head", "rows" of
    cells, the first of which is a name, and "notes" below it.
    """
    return [found for make in PICTURES if (found := make(files)) is not None]
