"""Heads on given features: against a plain implementation of the recipe; stacked heads are independent."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from thresher.config import ModelConfig, TrainConfig
from thresher.models.frozen import Features, FrozenClassifier
from thresher.training import head as head_module
from thresher.training.head import (
    fit_heads,
    give_clipped,
    head_logits,
    logit_blocks,
    masks,
    order_of_visits,
    stack_logits,
    stacked_heads,
)
from thresher.training.order import LengthGroupedOrder
from thresher.training.recipe import steps_of

CLASSES, WIDTH, ROWS = 20, 64, 53
MODEL = ModelConfig(freeze=True, head_hidden=(48, 32))
RECIPE = TrainConfig(epochs=2.5, batch_size=8, head_lr=1e-2, weight_decay=0.01, bf16=False)


def some_features(rows: int = ROWS, seed: int = 0) -> Features:
    random = np.random.default_rng(seed)
    return Features(random.standard_normal((rows, WIDTH)).astype(np.float32), np.zeros(rows, bool))


def some_labels(rows: int = ROWS, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, CLASSES, rows)


def trained(choices, seeds, model=MODEL, recipe=RECIPE, labels=None, **more):
    given_labels = labels or [some_labels()] * len(seeds)
    return fit_heads(some_features(), given_labels, choices, seeds, CLASSES, model, recipe, **more)


def plainly(rows: np.ndarray, seed: int, recipe: TrainConfig) -> dict[str, torch.Tensor]:
    """The same training with modules, one head, no dropout."""
    torch.manual_seed(seed)
    head = FrozenClassifier(WIDTH, CLASSES, MODEL.model_copy(update={"dropout": 0.0}))
    features, labels = torch.from_numpy(some_features().values[rows]), torch.from_numpy(some_labels()[rows])
    optimizer = torch.optim.AdamW(head.parameters(), lr=recipe.head_lr, weight_decay=recipe.weight_decay)
    total = steps_of(recipe, len(rows))
    warm = int(np.ceil(recipe.warmup * total))
    step, epoch = 0, 0
    while step < total:
        order = order_of_visits(len(rows), recipe.batch_size, seed, epoch)
        for batch in torch.from_numpy(order).split(recipe.batch_size):
            if step == total:
                break
            rate = step / warm if step < warm else (total - step) / (total - warm)
            optimizer.param_groups[0]["lr"] = recipe.head_lr * rate
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(head(features=features[batch]).logits, labels[batch]).backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            optimizer.step()
            step += 1
        epoch += 1
    return head.state_dict()


@pytest.mark.parametrize("rows", [np.arange(ROWS), np.arange(0, ROWS, 2)])
def test_equals_the_recipe_written_with_modules(rows):
    still = MODEL.model_copy(update={"dropout": 0.0})
    (state,), steps = trained([rows], [3], still)
    expected = plainly(rows, 3, RECIPE)
    assert steps == int(np.ceil(2.5 * np.ceil(len(rows) / 8)))
    assert list(state) == list(expected)
    for name, weights in expected.items():
        torch.testing.assert_close(state[name], weights, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_rows_that_are_looked_up_window_by_window_train_the_same_head(monkeypatch, tmp_path, dtype):
    monkeypatch.setattr(head_module, "WINDOW", 21)  # 2 batches
    monkeypatch.setattr(head_module, "PAGE", 4)
    monkeypatch.setattr(head_module, "BLOCK", 10)
    still, rows = MODEL.model_copy(update={"dropout": 0.0}), np.arange(0, ROWS, 2)
    np.save(tmp_path / "vectors.npy", some_features().values.astype(dtype))
    mapped = Features(np.load(tmp_path / "vectors.npy", mmap_mode="c"), np.zeros(ROWS, bool))
    (state,), _ = fit_heads(mapped, [some_labels()], [rows], [3], CLASSES, still, RECIPE)
    expected = plainly(rows, 3, RECIPE)
    for name, weights in expected.items():
        torch.testing.assert_close(
            state[name], weights, rtol=1e-3, atol=1e-4 if dtype == np.float32 else 2e-2
        )
    module = FrozenClassifier(WIDTH, CLASSES, still)
    module.load_state_dict(state)
    with torch.no_grad():
        logits = module.eval()(**mapped.batch(rows)).logits.numpy()
    blocks = list(logit_blocks(state, mapped, rows))
    assert [len(block) for block in blocks] == [10, 10, 7]
    np.testing.assert_allclose(np.concatenate(blocks), logits, rtol=1e-4, atol=1e-5)


@given(n=st.integers(1, 400), seed=st.integers(0, 9), epoch=st.integers(0, 3))
def test_an_epoch_visits_every_row_once_in_an_order_of_its_own(n, seed, epoch):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(head_module, "WINDOW", 96)
        patch.setattr(head_module, "PAGE", 8)
        order = order_of_visits(n, 16, seed, epoch)
        assert sorted(order.tolist()) == list(range(n))
        assert np.array_equal(order, order_of_visits(n, 16, seed, epoch))
        if n <= 96:
            usual = LengthGroupedOrder(np.ones(n, int), 16, seed)
            usual.set_epoch(epoch)
            assert np.array_equal(order, usual.rows())
        else:
            assert not np.array_equal(order, order_of_visits(n, 16, seed, epoch + 1))
            # A window takes whole pages, but for those at its ends and the short one at the end of the rows.
            for start in range(0, n, 96):
                pages = np.unique(order[start : start + 96] // 8)
                assert len(pages) <= 96 // 8 + 2


@pytest.mark.parametrize("bf16", [False, True])
def test_stacked_heads_equal_single_heads_up_to_rounding(bf16):
    random = np.random.default_rng(1)
    choices = [np.sort(random.choice(ROWS, 30, replace=False)) for _ in range(4)]
    labels = [some_labels(seed=seed) for seed in range(4)]
    recipe = RECIPE.model_copy(update={"bf16": bf16})
    together, _ = trained(choices, [5, 0, 1, 5], recipe=recipe, labels=labels)
    for head, (choice, seed) in enumerate(zip(choices, [5, 0, 1, 5], strict=True)):
        (alone,), _ = trained([choice], [seed], recipe=recipe, labels=[labels[head]])
        for name, weights in alone.items():
            torch.testing.assert_close(together[head][name], weights, rtol=0, atol=1e-2 if bf16 else 1e-4)
        far = max((together[(head + 1) % 4][name] - weights).abs().max() for name, weights in alone.items())
        assert far > 0.05


def test_the_seed_determines_a_head():
    everything = np.arange(ROWS)
    (one, again, other), _ = trained([everything] * 3, [7, 7, 8])
    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not any(torch.equal(one[name], other[name]) for name in one)


def test_it_learns_a_learnable_task():
    features = some_features(1200, seed=3)
    labels = (features.values[:, 0] > 0).astype(np.int64)
    recipe = TrainConfig(epochs=10, batch_size=16, head_lr=1e-2)
    (state,), _ = fit_heads(features, [labels], [np.arange(1000)], [0], 2, MODEL, recipe)
    right = head_logits(state, features).argmax(1) == labels
    assert right[1000:].mean() > 0.9


def test_snapshots_hold_the_rate_of_the_step_and_the_weights_after_it():
    taken = []
    everything = np.arange(ROWS)
    (final,), total = trained([everything], [0], on_snapshot=taken.append, snapshots={1, 6, 18})
    assert [snapshot.step for snapshot in taken] == [1, 6, 18]
    assert total == 18
    warm = int(np.ceil(0.1 * total))
    rates = [0.0, 1e-2 * (total - 5) / (total - warm), 1e-2 * (total - 17) / (total - warm)]
    assert [snapshot.lr for snapshot in taken] == pytest.approx(rates)
    assert [snapshot.epoch for snapshot in taken] == pytest.approx([1 / 7, 6 / 7, 18 / 7])
    assert all(torch.equal(taken[-1].states[0][name], final[name]) for name in final)
    assert not all(torch.equal(taken[1].states[0][name], final[name]) for name in final)


def test_logits_are_those_of_the_module_without_dropout():
    (state,), _ = trained([np.arange(ROWS)], [0])
    module = FrozenClassifier(WIDTH, CLASSES, MODEL)
    module.load_state_dict(state)
    with torch.no_grad():
        expected = module.eval()(**some_features().batch(range(ROWS))).logits
    np.testing.assert_allclose(head_logits(state, some_features()), expected.numpy(), rtol=1e-5, atol=1e-6)


@given(st.floats(0.05, 0.9), st.integers(1, 40), st.integers(0, 2**40))
@settings(max_examples=20)
def test_dropout_drops_its_share_and_keeps_the_mean(dropout, batch, seed):
    _, parameters = stacked_heads(40, CLASSES, ModelConfig(head_hidden=(50,)), [0, 1], torch.device("cpu"))
    generators = [torch.Generator().manual_seed(seed + head) for head in (0, 1)]
    first, second = masks(batch, parameters, dropout, generators)
    assert first.shape == (2, batch, 40)
    assert second.shape == (2, batch, 50)
    for mask in (first, second):
        assert all(
            value == 0 or value == pytest.approx(1 / (1 - dropout)) for value in mask.unique().tolist()
        )
    dropped = torch.cat([first.flatten(), second.flatten()]).eq(0).double()
    # Five standard deviations of a binomial share.
    assert abs(dropped.mean().item() - dropout) < 5 * (dropout * (1 - dropout) / len(dropped)) ** 0.5 + 2**-15
    if batch > 2:
        assert not torch.equal(first[0], first[1])


def test_a_tiny_dropout_drops_almost_nothing():
    (mask,) = masks(64, [torch.zeros(1, 2, 100), torch.zeros(1, 2)], 1e-6, [torch.Generator().manual_seed(0)])
    assert mask is not None and (mask > 0).float().mean() > 0.99


def test_without_dropout_there_is_no_mask():
    _, parameters = stacked_heads(4, CLASSES, MODEL, [0], torch.device("cpu"))
    assert masks(3, parameters, 0.0, [torch.Generator()]) == [None, None, None]
    logits = stack_logits(parameters, torch.ones(1, 3, 4), [None, None, None])
    assert logits.shape == (1, 3, CLASSES)


def test_every_head_is_clipped_by_its_own_norm():
    weights = torch.stack([torch.full((2, 3), 0.1), torch.full((2, 3), 10.0)])
    biases = torch.tensor([[0.1, 0.2], [3.0, 4.0]])
    parts = [torch.zeros(shape) for shape in ((2, 3), (2,)) * 2]
    for part in parts:
        part.grad = torch.empty_like(part)
    give_clipped(parts, [weights.transpose(1, 2).contiguous().transpose(1, 2), biases])
    torch.testing.assert_close(parts[0].grad, weights[0])
    torch.testing.assert_close(parts[1].grad, biases[0])
    assert parts[2].grad.is_contiguous()
    large = torch.cat([weights[1].flatten(), biases[1]])
    found = torch.cat([parts[2].grad.flatten(), parts[3].grad])
    torch.testing.assert_close(found, large / large.norm(), rtol=1e-4, atol=1e-6)
