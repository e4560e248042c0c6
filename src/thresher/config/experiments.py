"""Sections `compare`, `how_much`, `sweep` and `noise`: the experiments that retrain."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, field_validator

from thresher.config.section import LAYERS, MOST, PROCESSES, TRAININGS, Section, between


class CompareConfig(Section):
    """The proof by retraining."""

    seeds: int = Field(default=3, ge=2, le=TRAININGS)
    most_seeds: int = Field(
        default=10,
        ge=2,
        le=TRAININGS,
        description="trainings per arm at most, where fewer do not decide; `compare` alone adds none unless this is given",
    )
    same_steps: bool = Field(
        default=False, description="as many steps as full data takes, instead of as many epochs"
    )
    hold_out: Annotated[float, Field(ge=0, le=0.5)] | Literal["auto"] = Field(
        default="auto",
        description="share of the rows that `run` holds out to prove on where no test rows are given; auto: as many as the"
        " margin takes, at most a fifth; 0: none, and no proof",
    )
    proof_rows: int | None = Field(
        default=None,
        ge=2,
        le=MOST,
        description="rows that the proof trains on, a sample stratified by class; kept and random rows are taken from it",
    )
    workers: int | None = Field(
        default=None, ge=1, le=PROCESSES, description="trainings at a time; default: one per core"
    )
    budget: Annotated[str, Field(pattern="^[0-9]+(\\.[0-9]+)?[smh]$", examples=["20m"])] | None = Field(
        default=None,
        description="time that a whole run may take, such as 20m: its proof gets as many seeds as fit",
    )
    loss_margin: float = Field(
        default=0.02,
        gt=0,
        description="of a language model: nats per completion token that the held-out loss may rise",
    )
    bootstrap: int = Field(default=1000, ge=100, le=1_000_000)


class HowMuchConfig(Section):
    """The search for the largest share of rows that can be dropped."""

    margin: float = Field(default=0.5, gt=0, description="points of accuracy that may be lost")
    validation: float = Field(
        default=0.2,
        gt=0,
        lt=1,
        description="share of the training rows held out to decide on, in turn where heads decide",
    )
    step: float = Field(default=0.05, gt=0, lt=1, description="spacing of the shares that are tried")
    first_seeds: int = Field(
        default=3, ge=2, le=TRAININGS, description="trainings of a share before the first look"
    )
    most_seeds: int = Field(
        default=10,
        ge=2,
        le=TRAININGS,
        description="most trainings of a share, if the looks before are undecided",
    )


class SweepConfig(Section):
    """The selections that a sweep compares with full data and random rows."""

    scores: tuple[str, ...] = Field(
        default=(), description="scores, or columns of scores.parquet; default: every score of the run"
    )
    ends: tuple[Literal["easy", "random", "hard"], ...] = Field(
        default=("easy", "random", "hard"), description="ends that are pruned; random rows are always tried"
    )
    fractions: tuple[float, ...] = Field(
        default=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), description="shares of the rows to drop"
    )
    seeds: int = Field(default=5, ge=2, le=TRAININGS)
    strategies: tuple[str, ...] = Field(
        default=("cutoff",), description="how rows are chosen by a score, e.g. softmax:temperature=0.5"
    )
    same_steps: bool = Field(
        default=False, description="as many steps as full data takes, instead of as many epochs"
    )
    models: tuple[str, ...] = Field(
        default=(),
        description="other models that train on the same choices of rows: frozen, frozen-N, all, or a number of layers",
    )
    workers: int | None = Field(
        default=None, ge=1, le=PROCESSES, description="trainings at a time; default: one per core"
    )
    engine: str = Field(default="local", description="local, or ray: on machines that all see the run folder")
    address: str | None = Field(default=None, description="HOST:PORT of the Ray cluster")

    @field_validator("models")
    @classmethod
    def _sizes(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        for name in models:
            if not re.fullmatch(rf"all|frozen|(frozen-)?{LAYERS}", name):
                raise ValueError(f"models are frozen, frozen-N, all, or a number of layers (got '{name}')")
        return tuple(dict.fromkeys(models))

    @field_validator("fractions")
    @classmethod
    def _shares(cls, fractions: tuple[float, ...]) -> tuple[float, ...]:
        return between(fractions, "fractions")


class NoiseConfig(Section):
    """Experiments with planted label noise."""

    kinds: tuple[Literal["isotropic", "class", "group"], ...] = ("isotropic",)
    levels: tuple[float, ...] = Field(
        default=(0.05, 0.1, 0.15, 0.2, 0.25, 0.3), description="shares of the rows whose label is redrawn"
    )
    fractions: tuple[float, ...] = Field(
        default=(0.3, 0.5, 0.7), description="shares to prune by VoG and at random"
    )
    hard_fractions: tuple[float, ...] = Field(
        default=(0.05, 0.1), description="shares to prune from the hard end of TracIn and PVI"
    )
    seeds: int = Field(default=3, ge=2, le=TRAININGS)
    group: str | None = Field(
        default=None, description="group column of kind 'group'; default: the run's first"
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="of the noise")
    workers: int | None = Field(
        default=None, ge=1, le=PROCESSES, description="trainings at a time; default: one per core"
    )

    @field_validator("levels", "fractions", "hard_fractions")
    @classmethod
    def _shares(cls, shares: tuple[float, ...]) -> tuple[float, ...]:
        return between(shares, "levels and fractions")
