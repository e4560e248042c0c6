"""Each score against a second implementation in loops, written straight from its formula."""

from __future__ import annotations

import itertools
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from signals_tables import random_run, runs

from thresher.errors import UserError
from thresher.scores import MissingSignal, scores
from thresher.scores.el2n import el2n
from thresher.scores.forgetting import forgetting
from thresher.scores.pvi import pvi
from thresher.scores.tracin import tracin
from thresher.scores.vog import vog


def plain_probability(logits: list[float], of: int) -> float:
    return 1.0 / sum(math.exp(other - logits[of]) for other in logits)


def plain_nearest(epochs: list[float], wanted: float) -> int:
    best = 0
    for index, epoch in enumerate(epochs):
        if abs(epoch - wanted) < abs(epochs[best] - wanted):
            best = index
    return best


def plain_spread(gradients: np.ndarray, window: list[int], form: str, reduce: str) -> float:
    _, tokens, hidden = gradients.shape
    total = 0.0
    for token in range(tokens):
        for dim in range(hidden):
            values = [float(gradients[c, token, dim]) for c in window]
            mean = sum(values) / len(values)
            variance = sum((value - mean) ** 2 for value in values) / len(values)
            total += variance if form == "variance" else math.sqrt(variance)
    return total / (tokens * hidden) if reduce == "mean" else total


@given(
    run=runs,
    form=st.sampled_from(["variance", "std"]),
    window=st.sampled_from(["all", "early", "late"]),
    reduce=st.sampled_from(["sum", "mean"]),
)
def test_vog_is_the_spread_of_the_gradients_over_the_window(run, form, window, reduce):
    signals, checkpoints, gradients = run
    count = checkpoints.height
    indices = {
        "all": list(range(count)),
        "early": list(range(count // 2)),
        "late": list(range(count // 2, count)),
    }
    expected = [plain_spread(g, indices[window], form, reduce) for g in gradients]
    found = vog(signals, checkpoints, form=form, window=window, reduce=reduce)
    np.testing.assert_allclose(found.to_numpy(), expected, rtol=1e-9)


def test_vog_over_a_list_of_checkpoints_ignores_order_and_repeats():
    signals, checkpoints, gradients = random_run(3)
    expected = [plain_spread(g, [1, 4, 9], "variance", "sum") for g in gradients]
    np.testing.assert_allclose(vog(signals, checkpoints, window=(9, 1, 4, 4)), expected, rtol=1e-9)


def test_variance_and_standard_deviation_rank_differently():
    signals, checkpoints, _ = random_run(0, rows=60)
    variance, std = vog(signals, checkpoints), vog(signals, checkpoints, form="std")
    assert variance.arg_sort().to_list() != std.arg_sort().to_list()


def test_sum_and_token_mean_rank_differently():
    signals, checkpoints, _ = random_run(0, rows=60)
    total, mean = vog(signals, checkpoints), vog(signals, checkpoints, reduce="mean")
    assert total.arg_sort().to_list() != mean.arg_sort().to_list()


def test_vog_of_gradients_that_never_move_is_zero_and_not_below():
    constant = np.random.default_rng(0).normal(size=(200, 1, 7)).repeat(10, axis=1) * 1e4
    gram = np.einsum("nad,nbd->nab", constant, constant)
    rounding = np.einsum("naa->n", gram) / 10 - np.einsum("nab->n", gram) / 100
    assert (rounding < 0).any()
    found = vog(pl.DataFrame({"gradient_gram": gram}), pl.DataFrame({"index": range(10)})).to_numpy()
    assert (found >= 0).all() and (found < 1e-3).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": (3,)}, "a variance needs two"),
        ({"window": (0, 10)}, "the run has checkpoints 0 to 9"),
        ({"window": (-1, 2)}, "the run has checkpoints 0 to 9"),
        ({"window": (0, 1), "form": "std"}, "a list needs form=variance"),
    ],
)
def test_vog_says_what_is_wrong_with_a_window(options, message):
    signals, checkpoints, _ = random_run(0)
    with pytest.raises(UserError, match=message):
        vog(signals, checkpoints, **options)


@pytest.mark.parametrize("form", ["variance", "std"])
def test_half_of_three_checkpoints_is_too_few_for_early_vog(form):
    signals, checkpoints, _ = random_run(0, checkpoints=3)
    with pytest.raises(MissingSignal, match="a variance needs two"):
        vog(signals, checkpoints, window="early", form=form)


@given(run=runs, epoch=st.floats(0, 5))
def test_el2n_is_the_distance_of_the_probabilities_from_the_label(run, epoch):
    signals, checkpoints, _ = run
    at = plain_nearest(checkpoints["epoch"].to_list(), epoch)
    expected = []
    for row in signals.iter_rows(named=True):
        logits = row["logits"][at]
        squares = [
            (plain_probability(logits, k) - (1.0 if k == row["label"] else 0.0)) ** 2
            for k in range(len(logits))
        ]
        expected.append(math.sqrt(sum(squares)))
    np.testing.assert_allclose(el2n(signals, checkpoints, epoch=epoch), expected, rtol=1e-9)


@given(run=runs)
def test_forgetting_counts_the_falls_from_correct_to_incorrect(run):
    signals, checkpoints, _ = run
    plain, never_hardest = [], []
    for correct in signals["correct"].to_list():
        falls = sum(1 for now, then in itertools.pairwise(correct) if now and not then)
        plain.append(float(falls))
        never_hardest.append(float(falls) if any(correct) else len(correct) + 1.0)
    assert forgetting(signals, checkpoints, never="zero").to_list() == plain
    assert forgetting(signals, checkpoints).to_list() == never_hardest


def test_a_row_never_learned_is_harder_than_any_row_ever_forgotten():
    forgotten_most = [True, False] * 5
    found = forgetting(pl.DataFrame({"correct": [forgotten_most, [False] * 10]}), pl.DataFrame())
    assert found[1] > found[0] == 5.0


def test_forgetting_never_counts_from_one_row_to_the_next():
    signals = pl.DataFrame({"correct": [[True, True], [False, True]]})
    assert forgetting(signals, pl.DataFrame()).to_list() == [0.0, 0.0]


@given(run=runs, epoch=st.floats(0, 5), null=st.sampled_from(["model", "prior"]))
def test_pvi_is_the_bits_that_the_text_adds(run, epoch, null):
    signals, checkpoints, _ = run
    at = plain_nearest(checkpoints["epoch"].to_list(), epoch)
    every_label = signals["label"].to_list()
    expected = []
    for row in signals.iter_rows(named=True):
        label = row["label"]
        of_model = plain_probability(row["null_logits"], label)
        without = of_model if null == "model" else every_label.count(label) / len(every_label)
        expected.append(-math.log2(without) + math.log2(plain_probability(row["logits"][at], label)))
    found = pvi(signals, checkpoints, epoch=epoch, null=null)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)


def test_pvi_is_negative_where_the_text_speaks_against_the_label():
    kinds = {"logits": pl.Array(pl.Float32, (1, 2)), "null_logits": pl.Array(pl.Float32, 2)}
    rows = {"label": [0, 1], "logits": [[[3.0, 0.0]]] * 2, "null_logits": [[0.0, 0.0]] * 2}
    found = pvi(pl.DataFrame(rows, schema_overrides=kinds), pl.DataFrame({"index": [0], "epoch": [2.0]}))
    assert found[0] > 0 > found[1]
    assert scores()["pvi"].hard == "low"


@given(run=runs, layer=st.sampled_from(["encoder", "classifier"]))
def test_tracin_sums_the_squared_gradients_with_the_rate_of_their_layer(run, layer):
    signals, checkpoints, _ = run
    rates = checkpoints["encoder_lr" if layer == "encoder" else "head_lr"].to_list()
    expected = [
        sum(rate * norm for rate, norm in zip(rates, norms, strict=True))
        for norms in signals[f"{layer}_sq_norm"].to_list()
    ]
    np.testing.assert_allclose(tracin(signals, checkpoints, layer=layer), expected, rtol=1e-9)


@pytest.mark.parametrize("function", [el2n, pvi])
def test_logits_of_any_size_give_finite_scores(function):
    logits = np.array([[[1e4, -1e4, 0.0]], [[-3e38, 3e38, 0.0]]], dtype=np.float32)
    signals = pl.DataFrame({"label": [1, 0], "logits": logits, "null_logits": logits[:, 0]})
    assert function(signals, pl.DataFrame({"index": [0], "epoch": [1.0]})).is_finite().all()


@pytest.mark.parametrize("function", [el2n, pvi])
def test_a_checkpoint_can_be_named_by_its_index(function):
    signals, checkpoints, _ = random_run(1)
    by_epoch = function(signals, checkpoints, epoch=3.0)
    assert function(signals, checkpoints, checkpoint=9).equals(by_epoch)
    assert function(signals, checkpoints, checkpoint=-1).equals(by_epoch)
    assert not function(signals, checkpoints, checkpoint=0).equals(by_epoch)
    with pytest.raises(UserError, match="no checkpoint 10; the run has 0 to 9"):
        function(signals, checkpoints, checkpoint=10)


OF_SIGNALS = [name for name, entry in scores().items() if entry.reads != "scores"]
OF_THE_ROW = [name for name, entry in scores().items() if entry.reads == "row"]


@pytest.mark.parametrize("name", OF_SIGNALS)
def test_the_order_of_the_checkpoints_table_does_not_matter(name):
    signals, checkpoints, _ = random_run(2)
    function = scores()[name].function
    assert function(signals, checkpoints.reverse()).equals(function(signals, checkpoints))


@pytest.mark.parametrize("name", OF_THE_ROW)
@given(run=runs, data=st.data())
def test_no_score_depends_on_the_order_of_rows_or_on_other_rows(name, run, data):
    signals, checkpoints, _ = run
    function = scores()[name].function
    order = data.draw(st.permutations(range(signals.height)))
    whole = function(signals, checkpoints)
    assert function(signals[order], checkpoints).equals(whole[order])
    options = {"null": "model"} if name == "pvi" else {}
    part = order[: max(1, len(order) // 2)]
    assert function(signals[part], checkpoints, **options).equals(whole[part])


@pytest.mark.parametrize("name", OF_SIGNALS)
def test_a_score_reads_the_columns_it_declares_and_says_when_one_is_missing(name):
    signals, checkpoints, _ = random_run(4)
    entry = scores()[name]
    enough = signals.select("id", "label", *entry.needs)
    assert entry.function(enough, checkpoints).equals(entry.function(signals, checkpoints))
    for needed in entry.needs:
        with pytest.raises(MissingSignal):
            entry.function(signals.drop(needed), checkpoints)


@pytest.mark.parametrize("evaluations", [0, 1])
def test_forgetting_needs_two_evaluations(evaluations):
    signals, checkpoints, _ = random_run(0, evaluations=evaluations)
    with pytest.raises(MissingSignal, match="two evaluations"):
        forgetting(signals, checkpoints)
