"""Turn the settings of a selection into a request on the score table."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal, TypedDict

import numpy as np
import polars as pl

from thresher.config import RunConfig, SelectConfig
from thresher.errors import UserError
from thresher.rows import Rows
from thresher.run import Run
from thresher.wording import listed, shown


def with_named_score(config: RunConfig, section: str, given: Mapping[str, object]) -> Mapping[str, object]:
    """The given settings, with strategy `cutoff` added where they name a score but the current strategy would not read it.

    Strategies such as `recommended` read fixed scores, whatever `by` is.

    >>> from thresher.config import DataConfig
    >>> data = DataConfig(train="train.jsonl", text=("text",), label="label")
    >>> rule = RunConfig(data=data, select=SelectConfig(strategy="recommended"))
    >>> with_named_score(rule, "select", {"by": "el2n"}), with_named_score(rule, "select", {"prune": 0.3})
    ({'strategy': 'cutoff', 'by': 'el2n'}, {'prune': 0.3})
    """
    if section != "select" or "by" not in given:
        return given
    from thresher.selection import strategies

    strategy = strategies().get(config.select.strategy)
    return {"strategy": "cutoff", **given} if strategy and strategy.by else given


def check_selection(select: SelectConfig, groups: tuple[str, ...], label: str) -> None:
    """Refuse an impossible selection before hours are spent on training.

    Raises UserError: an unknown score, strategy or strategy option, or a group column that was not loaded.
    """
    from thresher.selection.request import check

    schema: dict[str, pl.DataType] = dict.fromkeys(("id", "label", *groups), pl.String())
    schema |= dict.fromkeys(score_columns(), pl.Float64())
    by, hard = columns_for(select, list(schema))
    refuse_unloaded(select, [*schema, label])
    check(schema, where="scores", id="id", by=by, hard=hard, **whole_request(select, label))


def refuse_to_keep_all(select: SelectConfig, rows: Rows) -> None:
    """Refuse a selection that can drop none of the rows, before anything is trained.

    Raises UserError: the share is less than a row, or floors and protected rows keep every row.
    """
    table, n = rows.table, len(rows)
    if select.prune != "auto" and round((1 - select.prune) * n) == n:
        raise UserError(
            f"prune {select.prune:g} of {n:,} rows is less than a row, so none would be dropped; prune more"
        )
    kept = np.zeros(n, np.bool_)
    for column, _, value in (text.partition("=") for text in select.protect):
        if column in table.columns:
            kept |= (table[column] == value).to_numpy()
    for column in (rows.label, *select.floor_group):
        kept |= table.select(few=pl.len().over(column) <= select.floor)["few"].to_numpy()
    if kept.all():
        raise UserError(
            f"floors and protected rows keep all {n:,} rows, so none would be dropped; lower --floor, or protect fewer"
        )


def score_columns() -> list[str]:
    """Every column that a score table of thresher's own may have: the scores, each raw and in its forms."""
    from thresher.scores import scores
    from thresher.scores.registry import FORMS

    return [f"{name}{form}" for name in scores() for form in ("", *FORMS)]


def refuse_unloaded(select: SelectConfig, columns: Sequence[str], run: Run | None = None) -> None:
    """Refuse a selection by a column of the file that was not loaded as a group; `run`: a folder that is there already."""
    protected = [text.partition("=")[0] for text in select.protect if "=" in text]
    asked = [*select.floor_group, *([select.stratify] if select.stratify else []), *protected]
    for name in (name for name in asked if name and name not in columns):
        remedy = "start a run with" if run else "add"
        raise UserError(f"column '{name}' was not loaded with the rows; {remedy} --group {name}")


def carried(select: SelectConfig, given: Collection[str]) -> str:
    """The settings that a selection takes from `run.yaml`, in words; empty if all are defaults.

    >>> carried(SelectConfig(end="hard", protect=("room=hall",), prune=0.2), ["prune"])
    'end hard, protect room=hall'
    """
    there = select.model_dump(mode="json", exclude_defaults=True, exclude={*given, "seed"})
    values = {
        name: listed(value) if isinstance(value, list) else shown(value) for name, value in there.items()
    }
    return ", ".join(f"{name} {value}" for name, value in values.items())


def columns_for(
    select: SelectConfig, columns: Sequence[str]
) -> tuple[list[str], list[Literal["high", "low"]]]:
    """The columns that a selection reads, as many as its strategy takes, and the hard end of each.

    Raises UserError: an unknown strategy, score or column.
    """
    from thresher.scores import columns_of
    from thresher.selection import find

    entry = find(select.strategy)
    return columns_of(entry.score(select.by), select.normalise, columns, entry.several)


class Request(TypedDict):
    """What a selection takes beside a score and a share: strata, floors and protected rows."""

    stratify: str | None
    floor: int
    floor_group: tuple[str, ...]
    protect: list[str]


class WholeRequest(Request):
    """All that a selection takes beside the score."""

    prune: float
    end: Literal["easy", "hard"]
    strategy: str
    options: dict[str, float]
    seed: int


def whole_request(select: SelectConfig, label: str) -> WholeRequest:
    """The arguments of a selection on the score table, in which the label column is `label`."""
    return {
        # A stand-in for the share that auto finds.
        "prune": 0.5 if select.prune == "auto" else select.prune,
        "end": select.end,
        "strategy": select.strategy,
        "options": select.options,
        "seed": select.seed,
        **request_of(select, label),
    }


def request_of(select: SelectConfig, label: str) -> Request:
    """The strata, floors and protected rows of a selection on the score table, in which the label column is `label`."""

    def named(column: str) -> str:
        return "label" if column == label else column

    from thresher.selection import strategies

    known = strategies().get(select.strategy)
    stratify = "label" if known is not None and known.needs_stratify and known.by else None
    protect = [text.partition("=") for text in select.protect]
    return {
        "stratify": stratify if select.stratify is None else named(select.stratify),
        "floor": select.floor,
        "floor_group": ("label", *map(named, select.floor_group)),
        "protect": [f"{named(column)}{equals}{value}" for column, equals, value in protect],
    }
