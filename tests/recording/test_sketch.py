"""The sketch of online VoG: linear, unbiased, independent of padding; and the running sums."""

from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from thresher.recording.gradient_sums import GradientSums
from thresher.recording.sketch import Signs, sketch


def plain_sketch(gradient: np.ndarray, signs: np.ndarray, width: int) -> np.ndarray:
    found = np.zeros(width)
    for position in range(gradient.shape[0]):
        for dimension in range(gradient.shape[1]):
            found[dimension % width] += signs[position, dimension] * gradient[position, dimension]
    return found


@given(st.integers(1, 6), st.integers(1, 9), st.integers(1, 12), st.integers(0, 99))
def test_the_sketch_is_a_signed_sum_by_dimension(length, hidden, width, seed):
    gradient = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, length, hidden))).float()
    signs = Signs(hidden, seed).up_to(length, gradient.device)
    assert set(signs.unique().tolist()) <= {-1.0, 1.0}
    found = sketch(gradient, signs, width)
    for row in range(2):
        np.testing.assert_allclose(
            found[row], plain_sketch(gradient[row].numpy(), signs.numpy(), width), atol=1e-5
        )


@given(st.integers(1, 6), st.integers(0, 5), st.integers(0, 5))
def test_padding_on_either_side_changes_nothing(length, left, right):
    gradient = torch.from_numpy(np.random.default_rng(length).normal(size=(1, length, 8))).float()
    signs = Signs(8, 0)
    padded = torch.nn.functional.pad(gradient, (0, 0, left, right))
    alone = sketch(gradient, signs.up_to(length, gradient.device), 4)
    longer = sketch(padded, signs.up_to(padded.shape[1], gradient.device), 4, torch.tensor([left]))
    assert torch.allclose(alone, longer, atol=1e-6)


def test_signs_do_not_depend_on_the_order_in_which_lengths_come():
    one, other = Signs(16, 5), Signs(16, 5)
    device = torch.device("cpu")
    long = one.up_to(9, device).clone()
    other.up_to(2, device)
    assert torch.equal(long, other.up_to(9, device))
    assert not torch.equal(long, Signs(16, 6).up_to(9, device))


def test_inner_products_are_right_on_average_and_as_exact_as_the_width_says():
    random = np.random.default_rng(0)
    x, y = (torch.from_numpy(random.normal(size=(1, 6, 64))).float() for _ in range(2))
    y = 0.5 * x + y
    true = float((x * y).sum())
    length = float(x.norm() * y.norm())
    for width in (8, 32):
        draws = []
        for seed in range(400):
            signs = Signs(64, seed).up_to(6, x.device)
            draws.append(float((sketch(x, signs, width) * sketch(y, signs, width)).sum()))
        spread = length * np.sqrt(2 / width)
        assert abs(np.mean(draws) - true) < 4 * spread / np.sqrt(400)
        assert 0.3 * spread < np.std(draws) < 1.3 * spread


def test_running_sums_are_those_of_all_steps_in_any_parts():
    random = np.random.default_rng(0)
    rows = torch.from_numpy(random.integers(0, 5, 40))
    squares, sketches = (
        torch.from_numpy(random.uniform(size=40)),
        torch.from_numpy(random.normal(size=(40, 3))).float(),
    )
    parts = [GradientSums(6, 3) for _ in range(2)]
    for start in range(0, 40, 10):
        parts[start % 20 // 10].add(
            rows[start : start + 10], squares[start : start + 10], sketches[start : start + 10]
        )
    parts[0].merge(parts[1].arrays())
    square_means, mean_squares = parts[0].means()
    for row in range(5):
        mine = rows == row
        np.testing.assert_allclose(square_means[row], squares[mine].mean(), rtol=1e-6)
        np.testing.assert_allclose(mean_squares[row], sketches[mine].mean(0).square().sum(), rtol=1e-4)
    assert np.isnan(square_means[5])
    assert np.isnan(mean_squares[5])
