"""The scores over the whole training, each against a second implementation in loops."""

from __future__ import annotations

import math
import statistics

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from signals_tables import random_run, runs
from test_five_scores import plain_nearest, plain_probability

from thresher.errors import UserError
from thresher.scores import MissingSignal, score_table, scores
from thresher.scores.aum import aum
from thresher.scores.confidence import confidence
from thresher.scores.correctness import correctness
from thresher.scores.el2n_mean import el2n_mean
from thresher.scores.grand import grand
from thresher.scores.h_score import h_score
from thresher.scores.held_out_margin import held_out_margin
from thresher.scores.loss import loss
from thresher.scores.variability import variability


def plain_largest(logits: list[float]) -> int:
    best = 0
    for k, value in enumerate(logits):
        if value > logits[best]:
            best = k
    return best


@given(run=runs)
def test_aum_is_the_mean_margin_of_the_label(run):
    signals, checkpoints, _ = run
    expected = []
    for row in signals.iter_rows(named=True):
        margins = []
        for logits in row["logits"]:
            others = [value for k, value in enumerate(logits) if k != row["label"]]
            margins.append(logits[row["label"]] - max(others))
        expected.append(sum(margins) / len(margins))
    np.testing.assert_allclose(aum(signals, checkpoints), expected, rtol=1e-9, atol=1e-9)


@given(run=runs)
def test_the_held_out_margin_is_that_of_the_logits_of_models_that_have_not_seen_the_row(run):
    signals, checkpoints, _ = run
    expected = []
    for row in signals.iter_rows(named=True):
        logits = row["held_out_logits"]
        expected.append(logits[row["label"]] - max(z for k, z in enumerate(logits) if k != row["label"]))
    np.testing.assert_allclose(held_out_margin(signals, checkpoints), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("margin", [aum, held_out_margin])
def test_one_class_has_no_margin(margin):
    signals, checkpoints, _ = random_run(0, classes=1)
    with pytest.raises(MissingSignal, match="two classes"):
        margin(signals, checkpoints)


def test_without_cross_validation_there_is_no_held_out_margin():
    signals, checkpoints, _ = random_run(0)
    with pytest.raises(MissingSignal, match="no cross-validation was run; `--folds 5` runs it"):
        held_out_margin(signals.drop("held_out_logits"), checkpoints)


@given(run=runs)
def test_cartography_is_mean_spread_and_success_of_the_label_over_the_checkpoints(run):
    signals, checkpoints, _ = run
    means, spreads, successes = [], [], []
    for row in signals.iter_rows(named=True):
        p = [plain_probability(logits, row["label"]) for logits in row["logits"]]
        means.append(statistics.fmean(p))
        spreads.append(statistics.pstdev(p))
        successes.append(statistics.fmean(plain_largest(z) == row["label"] for z in row["logits"]))
    np.testing.assert_allclose(confidence(signals, checkpoints), means, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(variability(signals, checkpoints), spreads, rtol=1e-7, atol=1e-9)
    np.testing.assert_allclose(correctness(signals, checkpoints), successes, rtol=1e-12)
    assert (variability(signals, checkpoints) <= 0.5 + 1e-12).all()


@given(run=runs, form=st.sampled_from(["mean", "area", "last"]))
def test_loss_is_the_mean_the_area_or_the_end_of_the_curve(run, form):
    signals, checkpoints, _ = run
    epochs = checkpoints["epoch"].to_list()
    expected = []
    for row in signals.iter_rows(named=True):
        curve = [-math.log(plain_probability(logits, row["label"])) for logits in row["logits"]]
        area = 0.0
        for c in range(len(curve) - 1):
            area += (curve[c] + curve[c + 1]) / 2 * (epochs[c + 1] - epochs[c])
        expected.append({"mean": sum(curve) / len(curve), "area": area, "last": curve[-1]}[form])
    np.testing.assert_allclose(loss(signals, checkpoints, form=form), expected, rtol=1e-9, atol=1e-9)


@given(run=runs, window=st.sampled_from(["all", "first-quarter"]))
def test_mean_el2n_is_the_mean_of_el2n_at_the_checkpoints(run, window):
    signals, checkpoints, _ = run
    epochs = checkpoints["epoch"].to_list()
    used = [c for c, epoch in enumerate(epochs) if window == "all" or c == 0 or epoch <= epochs[-1] / 4]
    expected = []
    for row in signals.iter_rows(named=True):
        errors = []
        for c in used:
            logits = row["logits"][c]
            squares = [
                (plain_probability(logits, k) - (1.0 if k == row["label"] else 0.0)) ** 2
                for k in range(len(logits))
            ]
            errors.append(math.sqrt(sum(squares)))
        expected.append(sum(errors) / len(errors))
    np.testing.assert_allclose(el2n_mean(signals, checkpoints, window=window), expected, rtol=1e-9)


@given(run=runs, epoch=st.floats(0, 5), layer=st.sampled_from(["encoder", "classifier"]))
def test_grand_is_the_gradient_norm_of_a_layer_at_one_checkpoint(run, epoch, layer):
    signals, checkpoints, _ = run
    at = plain_nearest(checkpoints["epoch"].to_list(), epoch)
    expected = [math.sqrt(norms[at]) for norms in signals[f"{layer}_sq_norm"].to_list()]
    np.testing.assert_allclose(grand(signals, checkpoints, epoch=epoch, layer=layer), expected, rtol=1e-12)


def test_grand_is_of_the_head_where_the_encoder_is_frozen():
    signals, checkpoints, _ = random_run(2)
    frozen = checkpoints.with_columns(encoder_lr=pl.lit(0.0))
    of_head = grand(signals, checkpoints, layer="classifier")
    assert grand(signals, frozen).equals(of_head)
    assert not grand(signals, checkpoints).equals(of_head)


def test_grand_takes_a_checkpoint_by_its_index():
    signals, checkpoints, _ = random_run(1)
    assert grand(signals, checkpoints, checkpoint=-1).equals(grand(signals, checkpoints, epoch=3.0))
    with pytest.raises(UserError, match="no checkpoint 10; the run has 0 to 9"):
        grand(signals, checkpoints, checkpoint=10)


def test_grand_averages_the_runs_whose_gradients_were_measured():
    signals, checkpoints, _ = random_run(0)
    other = signals.with_columns(pl.Series("encoder_sq_norm", signals["encoder_sq_norm"].to_numpy() * 4))
    without = signals.drop("encoder_sq_norm")
    table = score_table([(signals, checkpoints), (other, checkpoints), (without, checkpoints)])
    np.testing.assert_allclose(table["grand"], 1.5 * grand(signals, checkpoints).to_numpy(), rtol=1e-12)


@given(run=runs)
def test_h_score_is_the_success_rate_at_the_ends_of_the_epochs(run):
    signals, checkpoints, _ = run
    epochs = checkpoints["epoch"].to_list()
    ends = {plain_nearest(epochs, float(e)) for e in range(1, max(1, round(epochs[-1])) + 1)}
    expected = [
        sum(plain_largest(row["logits"][c]) == row["label"] for c in ends) / len(ends)
        for row in signals.iter_rows(named=True)
    ]
    np.testing.assert_allclose(h_score(signals, checkpoints), expected, rtol=1e-12)


def test_h_score_is_averaged_over_the_runs():
    first, second = random_run(0), random_run(1)
    other = second[0].with_columns(first[0]["id"], first[0]["label"])
    table = score_table([first[:2], (other, second[1])])
    both = (h_score(*first[:2]).to_numpy() + h_score(other, second[1]).to_numpy()) / 2
    np.testing.assert_allclose(table["h_score"], both, rtol=1e-12)


@pytest.mark.parametrize("function", [aum, confidence, variability, correctness, loss, el2n_mean])
def test_logits_of_any_size_give_finite_scores(function):
    logits = np.array([[[1e4, -1e4, 0.0]] * 2, [[-3e38, 3e38, 0.0]] * 2], dtype=np.float32)
    signals = pl.DataFrame({"label": [1, 0], "logits": logits})
    assert function(signals, pl.DataFrame({"index": [0, 1], "epoch": [1.0, 2.0]})).is_finite().all()


def test_a_mislabelled_row_is_at_the_hard_end_of_every_score_of_the_logits():
    # Row 0 carries a wrong label: the model is sure of another class from the second checkpoint on.
    rng = np.random.default_rng(0)
    right = np.linspace(0, 6, 8)[None, :, None] * np.array([1.0, 0.0]) + rng.normal(size=(20, 8, 2)) * 0.1
    signals = pl.DataFrame(
        {
            "id": [f"r{i}" for i in range(20)],
            "label": [1] + [0] * 19,
            "logits": right.astype(np.float32),
        }
    )
    trained = pl.DataFrame({"index": range(8), "epoch": np.linspace(0.5, 4, 8)})
    for name in ("aum", "confidence", "correctness", "el2n", "el2n_mean", "h_score", "loss"):
        entry = scores()[name]
        values = entry.function(signals, trained).to_numpy() * (1 if entry.hard == "high" else -1)
        assert values[0] > values[1:].max(), name
