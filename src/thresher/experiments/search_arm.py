"""The arm of a search: how the rows of a share are selected, on a run and on the part of it that trains."""

from __future__ import annotations

from thresher.config import SelectConfig
from thresher.errors import UserError
from thresher.experiments.arms import Arm
from thresher.pipeline.selection_settings import columns_for, refuse_unloaded, request_of, score_columns
from thresher.progress import say
from thresher.run import Run
from thresher.wording import shown


def checked_arm(run: Run, inner: Run, select: SelectConfig) -> Arm:
    """The way to choose rows in a nested run; it is said where that reads another score than the run itself."""
    columns = run.score_columns()
    arm, within = arm_of(run, select, columns), arm_within(inner, select, columns)
    if within.column != arm.column:
        say(
            f"how-much: the search uses {within.column}: the rows that are left have no {arm.column} of their own"
        )
    return within


def arm_of(run: Run, select: SelectConfig, columns: list[str]) -> Arm:
    """The way to choose rows that the selection settings describe."""
    from thresher.selection import find

    names, ends = columns_for(select, columns)
    several = find(select.strategy).several
    request = request_of(select, run.config.data.label)
    by, hard = (tuple(names), tuple(ends)) if several else (names[0], ends[0])
    return Arm(by, hard, select.end, select.strategy, select.options, request)


def refuse_added(run: Run, select: SelectConfig, columns: list[str]) -> None:
    """Refuse a selection by columns that someone added to the score table: a run on other rows does not have them."""
    made = {*score_columns(), "id", "label", *run.config.data.groups}
    for name in columns_for(select, columns)[0]:
        if name not in made:
            raise UserError(
                f"{run}: column '{shown(name)}' was added to the score table, and rows that are scored again do not have it;"
                " give --by a score, or --prune a share"
            )
    refuse_unloaded(select, [*(name for name in columns if name in made), run.config.data.label], run)


def arm_within(inner: Run, select: SelectConfig, columns: list[str]) -> Arm:
    """The way to choose rows in the nested run, by those `columns` of the outer one that it has too.

    Raises UserError: it does not have the score that was asked for.
    """
    there = inner.score_columns()
    try:
        return arm_of(inner, select, [name for name in columns if name in there])
    except UserError as error:
        raise UserError(f"{inner}: {error}") from None
