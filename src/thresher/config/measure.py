"""Sections `measure` and `score`: the measuring pass, and the scores computed from what it measured."""

from __future__ import annotations

from typing import Literal, get_args

from pydantic import Field

from thresher.config.section import MOST, PROCESSES, Section

Signal = Literal["gradient_gram", "gradient_std", "encoder_sq_norm", "classifier_sq_norm"]
SIGNALS: tuple[Signal, ...] = get_args(Signal)


class MeasureConfig(Section):
    """The measuring pass. No setting changes a score beyond rounding (`dtype`); `signals` leaves some scores out."""

    signals: tuple[Signal, ...] = Field(
        default=SIGNALS, description="what is measured beside the logits; scores that need more are left out"
    )

    chunk_rows: int = Field(
        default=1024, ge=1, le=MOST, description="rows per part file: the unit of work and of resume"
    )
    batch_tokens: int = Field(default=1024, ge=1, le=MOST, description="padded tokens per batch")
    dtype: Literal["float32", "float64", "bfloat16"] = Field(
        default="float32",
        description="bfloat16: products of the model in bfloat16, for a GPU; it moves the scores by some percent",
    )
    features: bool = Field(
        default=False, description="also keep the pretrained encoder's vectors, which some scores need"
    )
    words: bool | Literal["auto"] = Field(
        default="auto",
        description="also score the rows by their words alone; auto: if a frozen encoder scores them as a proxy",
    )
    workers: int | None = Field(
        default=None,
        ge=1,
        le=PROCESSES,
        description="processes; default: one per core, or per GPU of a cluster",
    )
    engine: str = Field(default="local", description="local, or ray: the same on many machines")
    address: str | None = Field(
        default=None,
        description="HOST:PORT of a Ray cluster; default: the one that runs on this machine, or a new one",
    )
    store: str | None = Field(
        default=None,
        description="s3://, gs:// or file:// address through which nodes get rows and weights; default: the shared run folder",
    )
    cores: int = Field(default=1, ge=1, le=PROCESSES, description="cores that Ray sets aside for each worker")


class ScoreConfig(Section):
    """How scores are computed from the signals."""

    options: dict[str, dict[str, str | int | float | bool]] = Field(
        default_factory=dict, description="options per score, e.g. {vog: {window: late}}"
    )
