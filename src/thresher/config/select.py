"""Section `select`: which rows are kept."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from thresher.config.section import MOST, Section


class SelectConfig(Section):
    """The selection of rows."""

    by: str = Field(default="vog", description="a score, or a column of scores.parquet")
    normalise: Literal["auto", "raw", "class", "dataset"] = Field(
        default="auto",
        description="auto: class for VoG, raw for the others; for a table of scores (--out) the named column",
    )
    prune: Annotated[float, Field(gt=0, lt=1)] | Literal["auto"] = Field(
        default=0.45,
        description="share of the rows to drop; auto: the largest that is not worse than full data",
    )
    end: Literal["easy", "hard"] = "easy"
    strategy: str = "cutoff"
    options: dict[str, float] = Field(default_factory=dict, description="strategy options, e.g. temperature")
    stratify: str | None = Field(
        default=None, description="column whose proportions stratified strategies preserve"
    )
    floor: int = Field(default=1, ge=0, le=MOST, description="rows kept of every class, whatever the score")
    floor_group: tuple[str, ...] = Field(
        default=(), description="further columns to whose values the floor applies"
    )
    protect: tuple[str, ...] = Field(default=(), description="COLUMN=VALUE rows that are never dropped")
    seed: int = Field(default=0, ge=0, lt=2**63)
