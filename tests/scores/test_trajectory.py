"""Clusters of loss trajectories, and the selection that S2L makes of them."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thresher.errors import UserError
from thresher.scores import MissingSignal, score_runs
from thresher.scores import trajectory as module
from thresher.scores.trajectory import trajectory
from thresher.selection import select

NONE = pl.DataFrame()


def table(losses: np.ndarray) -> pl.DataFrame:
    """Rows of two classes whose loss at every checkpoint is the one given: logits 0 and z with log(1 + e^z) = loss."""
    z = np.log(np.expm1(losses))
    logits = np.stack([np.zeros_like(z), z], axis=2).astype(np.float32)
    return pl.DataFrame({"id": [f"row {i}" for i in range(len(z))], "label": [0] * len(z), "logits": logits})


def plain_losses(signals: pl.DataFrame) -> list[list[float]]:
    found = []
    for row in signals.iter_rows(named=True):
        at = [[math.exp(z) for z in logits] for logits in row["logits"]]
        found.append([-math.log(e[row["label"]] / sum(e)) for e in at])
    return found


@settings(max_examples=60)
@given(seed=st.integers(0, 10_000), rows=st.integers(1, 60), clusters=st.integers(1, 8))
def test_every_row_is_with_the_nearest_mean_and_means_are_numbered_by_their_loss(seed, rows, clusters):
    signals = table(np.random.default_rng(seed).exponential(size=(rows, 4)) + 1e-3)
    found = trajectory(signals, NONE, clusters=clusters).to_list()
    losses = plain_losses(signals)
    members = {one: [loss for loss, f in zip(losses, found, strict=True) if f == one] for one in set(found)}
    assert sorted(members) == list(range(min(rows, clusters)))
    centres = {one: [sum(c) / len(own) for c in zip(*own, strict=True)] for one, own in members.items()}
    for loss, own in zip(losses, found, strict=True):
        nearest = min(math.dist(loss, centre) for centre in centres.values())
        assert math.dist(loss, centres[own]) <= nearest + 1e-3
    heights = [sum(centres[one]) for one in sorted(centres)]
    assert heights == sorted(heights)


def test_rows_that_were_learned_alike_are_together_whatever_their_mean_loss():
    falling, rising = [3.0, 1.0, 0.1], [0.1, 1.0, 3.0]
    low, high = [0.1, 0.1, 0.1], [4.0, 4.0, 4.0]
    groups = np.array([low] * 5 + [falling] * 3 + [rising] * 4 + [high] * 2)
    jitter = np.random.default_rng(0).uniform(0, 0.05, groups.shape)
    found = trajectory(table(groups + jitter), NONE, clusters=4).to_list()
    parts = [set(found[a:b]) for a, b in ((0, 5), (5, 8), (8, 12), (12, 14))]
    assert [len(part) for part in parts] == [1, 1, 1, 1] and len(set(found)) == 4
    assert parts[0] == {0.0} and parts[3] == {3.0}


def plain_s2l(sizes: list[int], budget: int) -> list[int]:
    """S2L, algorithm 1: from the smallest cluster up, each gets an even share of what is left, or all that it has."""
    taken = [0] * len(sizes)
    for place, k in enumerate(sorted(range(len(sizes)), key=lambda k: (sizes[k], k))):
        taken[k] = min(sizes[k], (budget - sum(taken)) // (len(sizes) - place))
    return taken


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000), clusters=st.integers(2, 9), kept=st.integers(1, 199))
def test_with_coverage_it_is_s2l(seed, clusters, kept):
    signals = table(np.random.default_rng(seed).exponential(size=(200, 3)) + 1e-3)
    scored = signals.select("id").with_columns(trajectory(signals, NONE, clusters=clusters))
    chosen = select(
        scored,
        by="trajectory",
        hard="high",
        prune=1 - kept / 200,
        strategy="coverage",
        options={"beta": 0.0, "strata": float(clusters)},
    )
    sizes = [scored["trajectory"].to_list().count(one) for one in range(clusters)]
    kept_rows = scored.join(chosen.filter("kept"), on="id", how="semi")["trajectory"].to_list()
    assert [kept_rows.count(one) for one in range(clusters)] == plain_s2l(sizes, kept)


def test_centres_are_found_on_some_of_very_many_rows(monkeypatch):
    losses = np.repeat([[0.1, 0.1], [2.0, 1.0], [4.0, 4.0]], 40, axis=0)
    signals = table(losses + np.random.default_rng(1).uniform(0, 0.01, losses.shape))
    whole = trajectory(signals, NONE, clusters=3)
    monkeypatch.setattr(module, "MOST_ROWS", 30)
    assert trajectory(signals, NONE, clusters=3).equals(whole)


def test_what_cannot_be_clustered_says_so():
    signals = table(np.ones((4, 2)))
    assert set(trajectory(signals, NONE)) == {0.0}
    with pytest.raises(UserError, match="'clusters' is 0; it must be at least 1"):
        trajectory(signals, NONE, clusters=0)
    broken = signals.with_columns(logits=np.full((4, 2, 2), np.nan, dtype=np.float32))
    with pytest.raises(MissingSignal, match="not a finite loss for 4 rows"):
        trajectory(broken, NONE)
    _, about = score_runs([(broken.with_columns(pl.Series("correct", [[True, False]] * 4)), NONE)])
    assert "trajectory" in about["skipped"]
