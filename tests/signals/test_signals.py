"""The measuring pass equals the formulas, whatever the order, batches, chunks and threads."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plain import row_signals
from signal_settings import CHECKPOINTS, CLASSES, as_type, make_setting
from torch import nn

from thresher.config import SIGNALS
from thresher.errors import UserError
from thresher.models.classifier import Classifier
from thresher.models.tokens import Tokens, pad_batch, tokenise
from thresher.scores.vog import vog
from thresher.signals import chunk
from thresher.signals.attention import short_attention, use_short_attention
from thresher.signals.batch import STATISTICS, measure_batch
from thresher.signals.capture import embedding_leaf
from thresher.signals.chunk import in_bfloat16, measure_tokens, usable_layers
from tiny import SHAPES

EXACT = {"logits", *SIGNALS}


@pytest.fixture(scope="module", params=sorted(SHAPES))
def setting(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """A tiny model with some random checkpoints, rows of many lengths, labels."""
    return make_setting(request.param, tmp_path_factory.mktemp(request.param))


@pytest.fixture(scope="module")
def everything(setting) -> dict[str, np.ndarray]:
    """Every signal of every row, in float64."""
    return measured(setting, dtype=torch.float64)


def measured(setting, rows=None, batch_tokens: int = 64, dtype=torch.float32) -> dict[str, np.ndarray]:
    model, checkpoints, tokens, labels, _ = setting
    rows = np.arange(len(tokens)) if rows is None else np.asarray(rows)
    weights = as_type(checkpoints, dtype)
    model = model.to(dtype).requires_grad_(False).eval()
    return measure_tokens(model, weights, tokens.take(rows), labels[rows], batch_tokens=batch_tokens)


def exactness(model: Classifier) -> float:
    """The library's RMS norm computes in float32 even in a float64 model."""
    return 1e-5 if model.encoder.config.model_type == "qwen2" else 1e-9


def close(a: np.ndarray, b: np.ndarray, relative: float) -> None:
    """Relative to the size of each row's own signal."""
    axes = tuple(range(1, np.ndim(b)))
    scale = np.abs(b).max(axis=axes, keepdims=True) if axes else np.abs(b)
    assert (np.abs(a - b) <= relative * scale).all(), np.abs((a - b) / scale).max()


def test_equals_plain_autograd_one_row_at_a_time(setting):
    ours = measured(setting, dtype=torch.float64)
    model, checkpoints, tokens, labels, _ = setting
    checkpoints = as_type(checkpoints, torch.float64)
    assert set(ours) == EXACT
    for row in range(len(tokens)):
        plain = row_signals(model.double(), checkpoints, tokens, int(labels[row]), row)
        for name in EXACT:
            close(ours[name][row][None], plain[name][None], exactness(model))
        gram = ours["gradient_gram"][row]
        assert np.diag(gram).mean() - gram.mean() == pytest.approx(plain["variance"], rel=exactness(model))


def test_float32_is_within_one_in_ten_thousand(setting, everything):
    ours = measured(setting)
    for name in EXACT:
        close(ours[name], everything[name], 1e-4)


PRECISIONS = [(torch.float64, 1e-9), (torch.float32, 1e-4)]


@settings(max_examples=6, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations(range(6)),
    batch_tokens=st.sampled_from([1, 20, 64, 1000]),
    drop=st.integers(0, 4),
    cut=st.integers(2, 6),
    threads=st.sampled_from([1, 2]),
    precision=st.sampled_from(PRECISIONS),
)
def test_order_batches_batch_mates_chunks_and_threads_do_not_matter(
    setting, everything, order, batch_tokens, drop, cut, threads, precision
):
    rows = order[: len(order) - drop]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        chunks = [rows[i : i + cut] for i in range(0, len(rows), cut)]
        parts = [measured(setting, some, batch_tokens, precision[0]) for some in chunks]
    finally:
        torch.set_num_threads(before)
    for name in EXACT:
        close(np.concatenate([part[name] for part in parts]), everything[name][rows], precision[1])


def test_the_side_a_tokenizer_pads_does_not_matter(setting):
    model, checkpoints, tokens, labels, tokenizer = setting
    texts = [tokenizer.decode(ids, skip_special_tokens=True) for ids in tokens.ids]
    sides = []
    for side in ("left", "right"):
        tokenizer.padding_side = side
        again = tokenise([texts], tokenizer, 32)
        sides.append(measured((model, checkpoints, again, labels, tokenizer), dtype=torch.float64))
    for name in EXACT:
        assert np.array_equal(sides[0][name], sides[1][name])


@given(data=st.data())
@settings(max_examples=5, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_vog_of_any_checkpoints_comes_from_the_gram_matrix(setting, data):
    window = data.draw(st.sets(st.integers(0, CHECKPOINTS - 1), min_size=2))
    model, checkpoints, tokens, labels, _ = setting
    ours = measured(setting, [2], dtype=torch.float64)
    chosen = [
        {k: v.double() if v.is_floating_point() else v for k, v in checkpoints[c].items()}
        for c in sorted(window)
    ]
    plain = row_signals(model.double(), chosen, tokens, int(labels[2]), 2)["variance"]
    kind = {"gradient_gram": pl.Array(pl.Float64, (CHECKPOINTS, CHECKPOINTS))}
    signals = pl.DataFrame({"gradient_gram": ours["gradient_gram"]}, schema=kind)
    score = vog(signals, pl.DataFrame({"index": range(CHECKPOINTS)}), window=tuple(window))
    assert score[0] == pytest.approx(plain, rel=exactness(model))


def test_signals_that_are_not_requested_are_not_measured(setting):
    model, checkpoints, tokens, labels, _ = setting
    everything = measured(setting)
    model = model.float()
    for wanted in ((), ("gradient_gram",), ("encoder_sq_norm",), ("gradient_std", "classifier_sq_norm")):
        some = measure_tokens(model, checkpoints, tokens, labels, wanted, batch_tokens=64)
        assert set(some) == {"logits", *wanted}
        for name, values in some.items():
            assert np.array_equal(values, everything[name])


def test_a_batch_that_the_gpu_has_no_memory_for_is_halved(setting, everything, monkeypatch):
    tried = []

    def small(model, weights, batch, *others):
        tried.append(len(batch["input_ids"]))
        if tried[-1] > 2:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return measure_batch(model, weights, batch, *others)

    monkeypatch.setattr(chunk, "measure_batch", small)
    halved = measured(setting, batch_tokens=1000, dtype=torch.float64)
    assert max(tried) > 2
    for name in EXACT:
        close(halved[name], everything[name], 1e-9)
    monkeypatch.setattr(chunk, "measure_batch", lambda *given: small(*given[:2], {"input_ids": "three"}))
    with pytest.raises(UserError, match="max_length"):
        measured(setting)


def test_padding_does_not_matter(setting):
    model, checkpoints, tokens, labels, _ = setting
    ours = measured(setting, dtype=torch.float64)
    weights = as_type(checkpoints, torch.float64)
    layers = usable_layers(model, weights[0], tokens)[0]
    batch = pad_batch(tokens, range(len(tokens)))
    wide = {
        name: torch.nn.functional.pad(value, (0, 11), value=tokens.pad if name == "input_ids" else 0)
        for name, value in batch.items()
    }
    padded = measure_batch(model, weights, wide, torch.from_numpy(labels), layers, tuple(STATISTICS))
    for name in EXACT:
        close(padded[name], ours[name], 1e-9)


def test_a_test_of_the_tests_signals_differ_between_rows_and_checkpoints(setting):
    ours = measured(setting)
    for name in EXACT:
        assert len(np.unique(ours[name].round(9), axis=0)) == len(ours[name])
    assert (np.diag(ours["gradient_gram"][0]) > 0).all()


def test_a_layer_without_a_rule_is_refused_by_name(setting):
    model, checkpoints, tokens, _, _ = setting

    class Strange(torch.nn.Linear):
        pass

    plain, model.head[-1] = model.head[-1], Strange(10, CLASSES)
    try:
        usable, refused = usable_layers(model, checkpoints[0], tokens)
    finally:
        model.head[-1] = plain
    assert set(usable) == {"encoder_sq_norm"}
    assert "Strange" in refused["classifier_sq_norm"]


def test_texts_without_a_token_still_have_a_position(setting):
    model, _, _, _, tokenizer = setting
    tokens = tokenise([["", "play"]], tokenizer, 8)
    assert tokens.lengths.min() >= 1
    assert isinstance(tokens, Tokens)
    assert torch.isfinite(model.float()(**pad_batch(tokens, [0, 1])).logits).all()


@pytest.mark.parametrize("side", ["right", "left"])
def test_attention_of_short_texts_is_attention(setting, side):
    model, _, tokens, labels, _ = setting
    model = model.double().requires_grad_(False)
    batch = pad_batch(tokens, range(len(tokens)))
    if side == "left":
        for row, length in enumerate(tokens.lengths):
            batch = {name: value.clone() for name, value in batch.items()}
            for value in batch.values():
                value[row] = value[row].roll(batch["input_ids"].shape[1] - int(length))

    def outcome():
        with embedding_leaf(model) as found:
            logits = model(**batch).logits
        true = logits.gather(1, torch.from_numpy(labels)[:, None]).sum()
        return logits.detach().numpy(), torch.autograd.grad(true, found["embedding"])[0].numpy()

    encoder = model.encoder
    before, expected = encoder.config._attn_implementation, outcome()
    use_short_attention(encoder)
    try:
        assert encoder.config._attn_implementation != "sdpa"
        for ours, theirs in zip(outcome(), expected, strict=True):
            close(ours, theirs, exactness(model))
    finally:
        encoder.set_attn_implementation(before)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_attention_of_short_texts_in_half_precision(kind, masked):
    draw = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 3, 5, 4, generator=draw).to(kind) for _ in range(3))
    mask = torch.zeros(2, 1, 5, 5, dtype=kind)
    mask[0, :, :, 3:] = torch.finfo(kind).min
    ours, _ = short_attention(nn.Identity(), query, key, value, mask if masked else None)
    wide = (query.float() @ key.float().mT / 2 + (mask.float() if masked else 0)).softmax(-1) @ value.float()
    torch.testing.assert_close(ours.float(), wide.transpose(1, 2), rtol=0.03, atol=0.03)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same(setting, everything):
    model, checkpoints, tokens, labels, _ = setting
    model = model.float().cuda()
    on_gpu = [{name: value.cuda() for name, value in weights.items()} for weights in checkpoints]
    try:
        ours = measure_tokens(model, on_gpu, tokens, labels, batch_tokens=64)
    finally:
        model.cpu()
    for name in EXACT:
        close(ours[name], everything[name], 1e-3)


def test_in_bfloat16_signals_are_near_and_of_full_precision(setting, everything):
    model, checkpoints, tokens, labels, _ = setting
    model = model.float()
    forward = model.forward
    model.forward = in_bfloat16(forward, "cpu")
    try:
        ours = measure_tokens(model, checkpoints, tokens, labels, batch_tokens=64)
    finally:
        model.forward = forward
    for name in EXACT:
        assert ours[name].dtype in (np.float32, np.float64)
        scale = np.abs(everything[name]).mean()
        assert 0 < np.abs(ours[name] - everything[name]).mean() < 0.1 * scale, name
