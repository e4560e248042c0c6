"""Signals of a frozen encoder: gradients are taken at the head's input and equal plain autograd row by row."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from thresher.config import ModelConfig
from thresher.models.frozen import Features, FrozenClassifier
from thresher.signals.chunk import measure_tokens, usable_layers

CLASSES, WIDTH, ROWS, CHECKPOINTS = 3, 7, 9, 4


@pytest.fixture
def setting():
    torch.manual_seed(0)
    model = FrozenClassifier(WIDTH, CLASSES, ModelConfig(freeze=True, head_hidden=(6, 5))).double()
    weights = [
        {name: torch.randn_like(value) for name, value in model.state_dict().items()}
        for _ in range(CHECKPOINTS)
    ]
    random = np.random.default_rng(0)
    features = Features(random.standard_normal((ROWS, WIDTH)).astype(np.float32), np.zeros(ROWS, bool))
    return model.requires_grad_(False).eval(), weights, features, random.integers(0, CLASSES, ROWS)


def test_equals_plain_autograd_one_row_at_a_time(setting):
    model, weights, features, labels = setting
    ours = measure_tokens(model, weights, features, labels, batch_tokens=4)
    plain = FrozenClassifier(WIDTH, CLASSES, ModelConfig(freeze=True, head_hidden=(6, 5))).double().eval()
    assert set(ours) == {"logits", "gradient_gram", "gradient_std", "classifier_sq_norm"}
    for row in range(ROWS):
        gradients = []
        for at, state in enumerate(weights):
            plain.load_state_dict(state)
            given = torch.from_numpy(features.values[row]).double().requires_grad_()
            logits = plain.head(given)
            np.testing.assert_allclose(ours["logits"][row, at], logits.detach(), rtol=1e-9)
            gradients.append(torch.autograd.grad(logits[labels[row]], given, retain_graph=True)[0])
            loss = -torch.log_softmax(logits, 0)[labels[row]]
            last = torch.autograd.grad(loss, list(plain.head[-1].parameters()))
            norm = sum(gradient.square().sum().item() for gradient in last)
            assert ours["classifier_sq_norm"][row, at] == pytest.approx(norm, rel=1e-9)
        stacked = torch.stack(gradients)  # (C, H)
        np.testing.assert_allclose(ours["gradient_gram"][row], stacked @ stacked.T, rtol=1e-9, atol=1e-12)
        assert ours["gradient_std"][row, 0] == pytest.approx(stacked.numpy().std(0).sum(), rel=1e-9)


def test_the_layers_of_a_frozen_encoder_are_refused_by_name(setting):
    model, weights, features, _ = setting
    usable, refused = usable_layers(model, weights[0], features)
    assert list(usable) == ["classifier_sq_norm"]
    assert list(refused) == ["encoder_sq_norm"]
    assert "frozen" in refused["encoder_sq_norm"]
