"""The hardest of two views of a row, against a second implementation in loops."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from thresher.scores import MissingSignal
from thresher.scores.hardest_view import hardest_view

SEEDS = st.integers(0, 2**32 - 1)


def views(seed: int, rows: int = 30, told: float = 0.9) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Margins of rows of two classes, 90% of them positive by the model and `told` by words; some are equal."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 9, (2, rows)) / 8
    model, words = (np.where(rng.permutation(rows) < share * rows, 1, -1) for share in (0.9, told))
    table = pl.DataFrame({"held_out_margin": 5 * sizes[0] * model, "word_margin": sizes[1] * words})
    return table, pl.DataFrame({"label": rng.permutation(np.arange(rows) % 2)})


def plain_rank(values: list[float], own: float) -> float:
    """Mean place of a value among all, from 1 on."""
    return sum(one < own for one in values) + (sum(one == own for one in values) + 1) / 2


@given(seed=SEEDS)
def test_it_is_the_lower_of_the_two_ranks(seed: int):
    table, signals = views(seed)
    model, words = table["held_out_margin"].to_list(), table["word_margin"].to_list()
    expected = [
        min(plain_rank(model, a), plain_rank(words, b)) / len(model)
        for a, b in zip(model, words, strict=True)
    ]
    np.testing.assert_allclose(hardest_view(table, signals), expected, rtol=1e-12)


@given(seed=SEEDS)
def test_neither_the_scale_of_a_margin_nor_the_order_of_the_rows_matters(seed: int):
    table, signals = views(seed)
    found = hardest_view(table, signals).to_numpy()
    scaled = table.with_columns(word_margin=pl.col("word_margin") ** 3)
    np.testing.assert_array_equal(hardest_view(scaled, signals), found)
    order = np.random.default_rng(seed).permutation(table.height)
    np.testing.assert_array_equal(hardest_view(table[order], signals[order]), found[order])


def test_a_row_that_one_view_alone_finds_hard_is_hard():
    table, signals = views(0)
    worst = {"held_out_margin": 9.0, "word_margin": -9.0}
    changed = pl.concat([table[:-1], pl.DataFrame([worst])])
    assert hardest_view(changed, signals)[-1] == 1 / table.height


@given(seed=SEEDS, skill=st.sampled_from([0.25, 0.5, 0.75]), told=st.floats(0, 1))
def test_words_count_if_they_predict_labels(seed: int, skill: float, told: float):
    table, signals = views(seed, told=told)
    right = sum(margin > 0 for margin in table["held_out_margin"]) / table.height
    by_words = sum(margin > 0 for margin in table["word_margin"]) / table.height
    limit = 0.5 + skill * (right - 0.5)
    assume(abs(by_words - limit) > 1e-9)
    if by_words > limit:
        assert hardest_view(table, signals, skill=skill).is_between(0, 1).all()
    else:
        with pytest.raises(
            MissingSignal, match=r"the words alone say too little: .*the model 90%.*class 50%"
        ):
            hardest_view(table, signals, skill=skill)


def test_words_that_predict_no_better_than_the_largest_class_are_ignored():
    margins = {
        "held_out_margin": [1.0] * 20 + [-1.0] * 30,
        "word_margin": [1.0] * 23 + [-1.0] * 27,
    }
    with pytest.raises(MissingSignal, match="46% of the labels, the model 40%, the largest class 60%"):
        hardest_view(pl.DataFrame(margins), pl.DataFrame({"label": [0] * 30 + [1] * 20}))


@pytest.mark.parametrize("missing", ["held_out_margin", "word_margin"])
def test_it_takes_both_views(missing: str):
    table, signals = views(0)
    with pytest.raises(MissingSignal, match=f"needs {missing}$"):
        hardest_view(table.drop(missing), signals)
