"""TracIn of pairs equals the products of explicit gradients, whatever the order, batch size and batch mates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plain import pair_products
from signal_settings import as_type, make_setting

from thresher.signals.chunk import in_bfloat16, measure_tokens, usable_layers
from thresher.signals.influence import Targets, largest, merged, tracin_pairs
from tiny import OTHER_NORMS, SHAPES

RATES = [0.5, 0.25, 0.0, 2.0]
LAYERS = ("encoder", "classifier")


@pytest.fixture(scope="module", params=sorted(SHAPES | OTHER_NORMS))
def setting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    return make_setting(request.param, tmp_path_factory.mktemp(request.param))


def pairs(setting, layer, ours=None, theirs=None, batch_tokens=64, dtype=torch.float64) -> np.ndarray:
    model, checkpoints, tokens, labels, _ = setting
    weights = as_type(checkpoints, dtype)
    model = model.to(dtype).requires_grad_(False).eval()
    modules = usable_layers(model, weights[0], tokens)[0][f"{layer}_sq_norm"]
    sides = [
        Targets(tokens.take(rows), labels[rows])
        for rows in (np.arange(len(tokens)) if rows is None else np.asarray(rows) for rows in (ours, theirs))
    ]
    return tracin_pairs(model, weights, RATES, modules, *sides, batch_tokens)


def close(found: np.ndarray, expected: np.ndarray, size: np.ndarray, relative: float) -> None:
    """Relative to the size of the two gradients: a product of nearly orthogonal ones is small by cancelling."""
    scale = np.sqrt(np.multiply.outer(size, size))
    assert (np.abs(found - expected) <= relative * scale).all(), np.abs((found - expected) / scale).max()


@pytest.mark.parametrize("layer", LAYERS)
def test_equals_plain_autograd_one_pair_at_a_time(setting, layer):
    model, checkpoints, tokens, labels, _ = setting
    exact = pairs(setting, layer)
    single = pairs(setting, layer, dtype=torch.float32)
    expected = pair_products(
        model.double(), as_type(checkpoints, torch.float64), RATES, layer, tokens, labels
    )
    # The library's RMS norms compute in float32 even in a float64 model.
    relative = 1e-5 if model.encoder.config.model_type in ("qwen2", *OTHER_NORMS) else 1e-9
    close(exact, expected, np.diag(expected), relative)
    close(single, expected, np.diag(expected), 1e-4)
    assert (expected > 0).any() and (expected < 0).any()


@pytest.mark.parametrize("layer", LAYERS)
def test_it_is_symmetric_and_with_itself_a_row_has_its_self_influence(setting, layer):
    found = pairs(setting, layer)
    close(found, found.T, np.diag(found), 1e-9)
    model, checkpoints, tokens, labels, _ = setting
    measured = measure_tokens(model, as_type(checkpoints, torch.float64), tokens, labels)
    assert np.diag(found) == pytest.approx(measured[f"{layer}_sq_norm"] @ RATES, rel=1e-9)


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    targets=st.lists(st.integers(0, 5), min_size=1, max_size=4),
    rows=st.permutations(range(6)),
    batch_tokens=st.sampled_from([1, 20, 1000]),
)
def test_order_batch_size_and_batch_mates_do_not_matter(setting, targets, rows, batch_tokens):
    everything = pairs(setting, "encoder")
    some = pairs(setting, "encoder", targets, rows[:4], batch_tokens)
    scale = np.sqrt(np.multiply.outer(np.diag(everything)[targets], np.diag(everything)[rows[:4]]))
    assert (np.abs(some - everything[np.ix_(targets, rows[:4])]) <= 1e-9 * scale).all()


def test_in_bfloat16_products_are_near_and_summed_in_full_precision(setting):
    model, *_ = setting
    exact = pairs(setting, "encoder")
    forward, model = model.forward, model.float()
    model.forward = in_bfloat16(forward, "cpu")
    try:
        found = pairs(setting, "encoder", dtype=torch.float32)
    finally:
        model.forward = forward
    scale = np.sqrt(np.multiply.outer(np.diag(exact), np.diag(exact)))
    # The median, for rounding may turn a unit of the head on or off, and with it most of a row's gradient.
    assert 0 < np.median(np.abs(found - exact) / scale) < 0.02


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.integers(-3, 3), min_size=1, max_size=40), cut=st.integers(1, 40), k=st.integers(1, 6)
)
def test_the_top_of_pieces_is_the_top_of_the_whole(values, cut, k):
    line, places = np.array([values], float), np.arange(len(values))[None]
    pieces = [
        largest(line[:, start : start + cut], places[:, start : start + cut], k)
        for start in range(0, len(values), cut)
    ]
    expected = sorted(range(len(values)), key=lambda place: (-values[place], place))[:k]
    assert merged(pieces[::-1], k).rows[0].tolist() == expected
