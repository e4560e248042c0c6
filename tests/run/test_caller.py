"""What a caller has set in torch and in random generators changes no score, and is as it was after a call."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
import torch

from thresher.caller import plain, set_aside
from thresher.signature import public


def sample() -> tuple[float, float, float]:
    return random.random(), float(np.random.random()), float(torch.rand(()))


def test_torch_computes_as_by_default_inside_and_is_as_it_was_after():
    former = torch.get_default_dtype(), torch.get_float32_matmul_precision()
    torch.set_default_dtype(torch.float64)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.inference_mode(), torch.autocast("cpu", dtype=torch.bfloat16):
            with set_aside():
                layer = torch.nn.Linear(2, 2)
                found = layer(torch.ones(1, 2)).sum()
                found.backward()
                assert found.dtype == layer.weight.grad.dtype == torch.float32
                assert torch.get_float32_matmul_precision() == "highest"
            assert torch.is_inference_mode_enabled() and torch.is_autocast_enabled("cpu")
        assert torch.get_default_dtype() == torch.float64
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_default_dtype(former[0])
        torch.set_float32_matmul_precision(former[1])


def trained_in_bf16() -> list[float]:
    """The losses of some steps that take the weights far."""
    weight = torch.nn.Parameter(torch.ones(4, 1))
    losses = []
    for _ in range(3):
        with torch.autocast("cpu", torch.bfloat16):
            loss = (torch.ones(2, 4) @ weight).float().square().mean()
        loss.backward()
        losses.append(float(loss.detach()))
        with torch.no_grad():
            weight -= 0.1 * weight.grad
        weight.grad = None
    return losses


@pytest.mark.parametrize("enabled", [False, True])
def test_a_training_in_bf16_sees_its_own_steps_inside_the_callers_autocast(enabled: bool):
    """Inside another autocast torch would keep the bfloat16 weights of the first step (see findings)."""
    expected = trained_in_bf16()
    assert expected[0] > expected[1] > expected[2]
    with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        with set_aside():
            assert trained_in_bf16() == expected
        assert torch.is_autocast_enabled("cpu") == enabled
        assert torch.autocast_increment_nesting() == 2
        torch.autocast_decrement_nesting()
    with set_aside():
        assert trained_in_bf16() == expected


def test_random_states_are_the_callers_own_after_a_public_call():
    @public
    def draws() -> None:
        sample()
        torch.manual_seed(3)
        np.random.seed(3)
        random.seed(3)

    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    expected = sample()
    torch.manual_seed(1)
    np.random.seed(1)
    random.seed(1)
    draws()
    assert sample() == expected


def test_numbers_of_numpy_arrays_and_paths_are_taken_as_pythons():
    found = plain((np.float32(0.5), np.int64(3), np.array(["a", "b"]), Path("tiny"), {"r": np.float64(2)}))
    assert found == [0.5, 3, ["a", "b"], "tiny", {"r": 2.0}]
    assert type(found[1]) is int
