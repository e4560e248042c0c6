"""Cross-fitting: every row is tested once by what has not seen it, and the interval of all rows covers the truth."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from thresher.experiments.cross_fit import cross_fit_interval
from thresher.rows import load, normalised
from thresher.rows.split import parts_of

FOLDS = 5


def tables(rows: int, classes: int, texts: int, seed: int) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    said = [f"text {n}" if n % 2 else f"TEXT  {n}" for n in rng.integers(texts, size=rows)]
    return pl.DataFrame({"text": said, "label": rng.integers(classes, size=rows).astype(str)})


@given(st.integers(8, 80), st.integers(2, 6), st.integers(2, 60), st.integers(2, 6), st.integers(0, 9))
@settings(max_examples=25, deadline=None)
def test_parts_keep_equal_texts_together_and_leave_every_class_outside(
    rows: int, classes: int, texts: int, parts: int, seed: int
) -> None:
    table = tables(rows, classes, texts, seed)
    assume(1 < table["label"].n_unique() < rows)
    loaded = load(table, text="text", label="label")
    found = parts_of(loaded, parts, seed)
    assert set(found) <= set(range(-1, parts))
    of_text: dict[str, set[int]] = {}
    for text, number in zip(loaded.table["text"], found, strict=True):
        of_text.setdefault(normalised(text), set()).add(int(number))
    assert all(len(numbers) == 1 for numbers in of_text.values())
    for part in range(parts):
        outside = loaded.labels()[found != part]
        assert len(set(outside)) == len(loaded.classes)


def test_parts_are_of_one_size_and_do_not_depend_on_the_order_of_rows() -> None:
    table = pl.DataFrame(
        {"text": [f"text {n}" for n in range(103)], "label": [str(n % 4) for n in range(103)]}
    )
    loaded, turned = (load(one, text="text", label="label") for one in (table, table.reverse()))
    found = parts_of(loaded, FOLDS)
    assert sorted(np.bincount(found)) == [20, 20, 21, 21, 21]
    for name in range(4):
        assert np.ptp(np.bincount(found[loaded.labels() == name], minlength=FOLDS)) <= 1
    assert parts_of(turned, FOLDS).tolist() == found[::-1].tolist()
    assert parts_of(loaded, FOLDS, seed=1).tolist() != found.tolist()


def test_a_class_with_all_texts_in_one_part_is_always_trained_on() -> None:
    table = pl.DataFrame(
        {"text": [*(f"text {n}" for n in range(20)), "odd", "ODD"], "label": ["a"] * 20 + ["b"] * 2}
    )
    found = parts_of(load(table, text="text", label="label"), FOLDS)
    assert found[-2:].tolist() == [-1, -1] and (found[:-2] >= 0).all()


def simulated(
    loss: float, training: float, seeds: int, rng: np.random.Generator, rows: int = 1000
) -> list[np.ndarray]:
    """right(kept) - right(full), per fold (S, n_k): some rows become harder by 0.5 and 2% easier by as much, `loss` in the mean;
    every training is better or worse by `training`, a standard deviation."""
    folds = []
    for _ in range(FOLDS):
        n = rows // FOLDS
        moved, chance = rng.random(n), np.clip(rng.beta(0.6, 0.1, n), 0.02, 0.98)
        harder, easier = moved < 0.02 + 2 * loss, moved > 0.98
        chance = np.where(
            harder, np.maximum(chance, 0.55), np.where(easier, np.minimum(chance, 0.45), chance)
        )
        change = 0.5 * easier - 0.5 * harder + training * rng.normal(size=(seeds, 1))
        full, kept = rng.random((2, seeds, n))
        folds.append((kept <= chance + change).astype(float) - (full <= chance))
    return folds


@pytest.mark.parametrize("seeds", [2, 3, 10])
@pytest.mark.parametrize("training", [0.0, 0.003, 0.012])
def test_the_interval_covers_the_loss_that_is_there(seeds: int, training: float) -> None:
    rng = np.random.default_rng(round(seeds + 1e4 * training))
    loss, runs = 0.005, 400
    ends = np.array(
        [cross_fit_interval(simulated(loss, training, seeds, rng)).interval() for _ in range(runs)]
    )
    slack = 3 * np.sqrt(0.025 * 0.975 / runs)
    assert (ends[:, 0] > -loss).mean() <= 0.025 + slack
    assert (ends[:, 1] < -loss).mean() <= 0.025 + slack


def test_more_seeds_and_more_rows_make_it_narrower_as_foretold() -> None:
    rng = np.random.default_rng(0)
    few = cross_fit_interval(simulated(0.0, 0.004, 3, rng, rows=20_000))
    many = cross_fit_interval(simulated(0.0, 0.004, 30, rng, rows=20_000))
    assert few.with_seeds(30).variance == pytest.approx(many.variance, rel=0.35)
    assert few.variance > 2 * many.variance
    narrow = cross_fit_interval(simulated(0.0, 0.0, 3, rng, rows=40_000))
    wide = cross_fit_interval(simulated(0.0, 0.0, 3, rng, rows=2_000))
    assert wide.variance / narrow.variance == pytest.approx(20, rel=0.5)


def test_arms_that_never_differ_are_not_taken_for_equal_without_rows() -> None:
    found = cross_fit_interval([np.zeros((3, 20)) for _ in range(FOLDS)])
    assert found.interval()[0] == pytest.approx(-1.98 * 2 / 100, rel=0.01)
