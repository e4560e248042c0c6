"""The measuring pass of completions equals a plain second implementation, whatever the batch, and leaves the model as it was."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from plain_completions import inner, plain_signals
from torch import nn
from transformers import AutoModelForCausalLM
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

import thresher as th
import tiny_trainers
from thresher.errors import UserError
from thresher.recording.completion_signals import packed
from thresher.scores.vog import vog
from thresher.signals.completions import (
    ON_DEMAND,
    CompletionTokensOfRows,
    empty_prompt,
    head,
    measure_completions,
    signal_frame,
    swap_to,
    token_losses,
)
from thresher.signals.completions.head import groups, softmax_minus_onehot
from tiny import OTHER_NORMS, SHAPES, VOCABULARY
from tiny_language import END, ROWS, adapted, language_model, pairs, plain_trainer, tokenizer

EMPTY = [2, 3]
PER_CHECKPOINT = ("loss", "error_norm", "margin", "entropy", "accuracy", "correct")
MODELS: dict[str, Callable[[], nn.Module]] = {
    "qwen2": lambda: language_model("qwen2"),
    "qwen2, its head with a bias": lambda: with_bias(language_model("qwen2")),
    "llama": lambda: language_model("llama"),
    "qwen2 with LoRA": lambda: adapted(language_model("qwen2"), "CAUSAL_LM"),
    "llama with LoRA and no task": lambda: adapted(language_model("llama"), None),
    # Tied, with learned positions; tied, with scaled embeddings; logits that are capped after the head.
    "gpt2": lambda: language_model("gpt2"),
    "gemma": lambda: language_model("gemma"),
    "gemma2 with LoRA": lambda: adapted(capped(), "CAUSAL_LM"),
}
# The norm of the output layer is for a plain linear one; gpt2's and gemma's has its weight in common with the embeddings.
ALL = {
    "qwen2": ("classifier_sq_norm", "encoder_sq_norm"),
    "qwen2, its head with a bias": ("classifier_sq_norm",),
    "llama": ("classifier_sq_norm", "encoder_sq_norm"),
    "qwen2 with LoRA": ("classifier_sq_norm", "adapter_sq_norm"),
    "llama with LoRA and no task": ("classifier_sq_norm", "adapter_sq_norm"),
    "gpt2": ("encoder_sq_norm",),
    "gemma": ("encoder_sq_norm",),
    "gemma2 with LoRA": ("adapter_sq_norm",),
}


def with_bias(model: nn.Module) -> nn.Module:
    """Its output layer has a bias, as phi's."""
    torch.manual_seed(2)
    model.lm_head.bias = nn.Parameter(torch.randn(model.config.vocab_size))
    return model


def capped() -> nn.Module:
    """Gemma2, which caps its logits."""
    torch.manual_seed(0)
    config = CONFIG_MAPPING["gemma2"](
        vocab_size=len(VOCABULARY) + 8, **OTHER_NORMS["gemma"], final_logit_softcapping=3.0
    )
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3)
    return model


@cache
def rows() -> CompletionTokensOfRows:
    """Prompts of 2 to 6 tokens, completions of 2 to 7."""
    prompts, completions = (tokenizer()(texts)["input_ids"] for texts in pairs())
    return CompletionTokensOfRows(prompts, [[*one, END] for one in completions], EMPTY)


def some_rows() -> list[tuple[int, list[int], list[int]]]:
    """The place, prompt and completion of every third row, for the plain implementation, which is slow."""
    return [(row, list(rows().prompts[row]), list(rows().completions[row])) for row in range(0, ROWS, 3)]


def checkpoints(model: nn.Module, dtype: torch.dtype = torch.float32) -> list[Callable[[], None]]:
    """Three different weights of what is trained: the adapters, or all."""
    random = torch.Generator().manual_seed(5)
    trained = {name: one for name, one in model.named_parameters() if one.requires_grad}
    return [
        swap_to(
            model,
            {
                name: (one.detach().float() + noise * torch.randn(one.shape, generator=random)).to(dtype)
                for name, one in trained.items()
            },
        )
        for noise in (0, 0.05, 0.1)
    ]


def taken(places: list[int]) -> CompletionTokensOfRows:
    return CompletionTokensOfRows(
        [rows().prompts[place] for place in places], [rows().completions[place] for place in places], EMPTY
    )


def measured(name: str, of: CompletionTokensOfRows | None = None, batch_tokens: int = 40) -> dict[str, Any]:
    model = MODELS[name]()
    signals = ("loss_alone", "gradient_gram", *ALL[name])
    return measure_completions(
        model, rows() if of is None else of, checkpoints(model), signals, batch_tokens=batch_tokens
    )


@pytest.mark.parametrize("name", MODELS)
def test_every_signal_equals_the_plain_one_of_each_row(name):
    found = measured(name)
    model = MODELS[name]().double()
    weights = checkpoints(model, torch.float64)
    for row, prompt, completion in some_rows():
        plain = plain_signals(model, weights, prompt, completion)
        for signal in (*PER_CHECKPOINT, *ALL[name]):
            np.testing.assert_allclose(
                found[signal][row], plain[signal], rtol=1e-5, atol=1e-6, err_msg=signal
            )
        # Inner products of different checkpoints may nearly cancel: the lengths say how exact they can be.
        lengths = np.sqrt(np.diag(plain["gradient_gram"]))
        gap = np.abs(found["gradient_gram"][row] - plain["gradient_gram"]) / np.outer(lengths, lengths)
        assert gap.max() < 1e-5
        number = np.full(3, len(completion))
        assert list(found["token_right"][row]) == packed(plain["token_right"] == 1, number).tolist()
        alone = plain_signals(model, weights[-1:], EMPTY, completion)
        np.testing.assert_allclose(found["loss_alone"][row], alone["loss"][0], rtol=1e-5)
        np.testing.assert_allclose(found["loss_prompted"][row], plain["loss"][-1], rtol=1e-5)
        # Of tokens, at the last checkpoint.
        np.testing.assert_allclose(found["token_loss"][row], plain["token_loss"][-1], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            found["token_loss_alone"][row], alone["token_loss"][0], rtol=1e-5, atol=1e-6
        )
        np.testing.assert_allclose(found["end_loss"][row], plain["token_loss"][-1][-1], rtol=1e-5, atol=1e-6)
    assert found["n_completion"].tolist() == [len(one) for one in rows().completions]
    assert found["n_tokens"].tolist() == rows().lengths.tolist()


@pytest.mark.parametrize("name", ["qwen2", "llama with LoRA and no task", "gemma2 with LoRA"])
def test_no_signal_depends_on_the_batch_or_the_order(name):
    whole, backwards = measured(name), list(range(len(rows())))[::-1]
    others = {
        "one row a batch": measured(name, batch_tokens=1),
        "all in one": measured(name, batch_tokens=10**6),
        "backwards": {key: value[backwards] for key, value in measured(name, taken(backwards)).items()},
    }
    for how, other in others.items():
        for signal, values in whole.items():
            if signal == "token_right":
                assert (other[signal] == values).all(), how
            elif values.dtype == object:
                of_tokens = (np.concatenate(one.tolist()) for one in (other[signal], values))
                np.testing.assert_allclose(*of_tokens, rtol=1e-5, atol=1e-6, err_msg=how)
            else:
                scale = np.abs(values).max() if signal == "gradient_gram" else 0
                np.testing.assert_allclose(
                    other[signal], values, rtol=1e-5, atol=1e-6 * (1 + scale), err_msg=f"{how}: {signal}"
                )


def test_an_output_layer_that_shares_its_weight_has_the_share_of_its_own():
    model = language_model("gpt2")
    found = measure_completions(model, rows(), [lambda: None], ["classifier_sq_norm"])["classifier_sq_norm"]
    apart = copy.deepcopy(model)
    apart.lm_head.weight = nn.Parameter(model.lm_head.weight.detach().clone())
    for row, prompt, completion in some_rows():
        plain = plain_signals(apart, [lambda: None], prompt, completion)
        np.testing.assert_allclose(found[row], plain["classifier_sq_norm"], rtol=1e-5)


@pytest.mark.parametrize(("name", "held"), [("qwen2, its head with a bias", 100), ("gemma2 with LoRA", 60)])
def test_logits_are_held_a_part_at_a_time(monkeypatch, name, held):
    whole = measured(name)
    monkeypatch.setitem(head.HELD, "cpu", held)  # two tokens, or three
    parts = measured(name)
    for signal in ("loss", "error_norm", *ALL[name]):
        np.testing.assert_allclose(parts[signal], whole[signal], rtol=1e-5, err_msg=signal)
    np.testing.assert_array_equal(
        parts["token_right"].tolist(), whole["token_right"].tolist()
    )  # and their order is kept


def test_groups_hold_every_token_once():
    random = np.random.default_rng(0)
    for size in (1, 3, 10):
        number = random.integers(1, 8, 20).tolist()
        found = list(groups(number, size))
        tokens = [token for _, spans in found for span in spans for token in range(span.start, span.stop)]
        assert tokens == list(range(sum(number)))
        assert all(span.stop - span.start <= size for _, spans in found for span in spans)
        assert [row for span, _ in found for row in range(span.start, span.stop)] == list(range(20))
        assert all(len(spans) == 1 or span.stop - span.start == 1 for span, spans in found)


def test_the_error_of_a_token_that_is_nearly_certain_keeps_its_digits():
    z = torch.tensor([[12.0, 0.0, -1.0], [30.0, 1.0, 0.0], [-9.0, 5.0, 5.0]])
    exact = torch.softmax(z.double(), 1)
    # 1 - p by the other probabilities, in float64 too.
    expected = exact.clone()
    expected[:, 0] = -exact[:, 1:].sum(1)
    found = softmax_minus_onehot(z.clone(), torch.zeros(3, dtype=torch.long))
    torch.testing.assert_close(found.double(), expected, rtol=1e-6, atol=0)


def test_the_model_is_left_as_it_was():
    for make in (MODELS["qwen2"], MODELS["qwen2 with LoRA"]):
        model = make().train()
        model.get_input_embeddings().eval()
        before = {name: (one.clone(), one.requires_grad) for name, one in model.named_parameters()}
        modes = [module.training for module in model.modules()]
        hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
        measure_completions(model, rows(), [lambda: None], ["gradient_gram", "classifier_sq_norm"])
        with pytest.raises(UserError):
            measure_completions(model, rows(), [lambda: None], ["encoder_sq_norm", "adapter_sq_norm"])
        for name, one in model.named_parameters():
            assert torch.equal(one, before[name][0]), name
            assert one.requires_grad == before[name][1], name
            assert one.grad is None
        assert [module.training for module in model.modules()] == modes
        assert hooks == [
            len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()
        ]


def test_checkpointing_of_activations_and_frozen_embeddings_change_nothing():
    expected = measured("qwen2 with LoRA")
    model = MODELS["qwen2 with LoRA"]()
    model.enable_input_require_grads()
    inner(model).gradient_checkpointing_enable()
    model.train()
    found = measure_completions(
        model, rows(), checkpoints(model), ["gradient_gram", "adapter_sq_norm"], batch_tokens=40
    )
    for signal in ("loss", "gradient_gram", "adapter_sq_norm"):
        np.testing.assert_array_equal(found[signal], expected[signal])


def test_token_losses_are_those_of_each_token():
    model = MODELS["llama"]()
    found = token_losses(model, rows(), batch_tokens=30)
    signals = measure_completions(model, rows(), [lambda: None])
    plain_model = MODELS["llama"]().double()
    for row, prompt, completion in some_rows():
        plain = plain_signals(plain_model, [lambda: None], prompt, completion)
        assert len(found[row]) == len(completion)
        for name in found[row].dtype.names:
            np.testing.assert_allclose(found[row][name], plain[f"token_{name}"][0], rtol=1e-5, atol=1e-7)
        for name in ("loss", "entropy", "error_norm"):
            np.testing.assert_allclose(found[row][name].mean(), signals[name][row, 0], rtol=1e-5)


def test_the_table_has_vog_and_counts_forgotten_tokens():
    values = measured("qwen2")
    frame = signal_frame(pl.Series("id", [str(row) for row in range(len(rows()))]), values)
    plain_model = MODELS["qwen2"]().double()
    weights = checkpoints(plain_model, torch.float64)
    scores = vog(frame, pl.DataFrame({"index": [0, 1, 2]}))
    for row, prompt, completion in some_rows():
        plain = plain_signals(plain_model, weights, prompt, completion)
        np.testing.assert_allclose(scores[row], plain["variance"], rtol=1e-4)
        right = plain["token_right"] == 1  # (C, T)
        assert frame["tokens_forgotten"][row] == (right[:-1] & ~right[1:]).sum()
        assert frame["tokens_never_right"][row] == (~right.any(0)).sum()
        assert frame["correct"][row].to_list() == right.all(1).tolist()


def test_what_is_measured_is_what_a_training_records(tmp_path):
    # With a rate of 0 the model of every step is the one that is measured; its batches are padded on the left.
    trainer = plain_trainer(
        MODELS["llama"](), tmp_path / "t", side="left", num_train_epochs=2, learning_rate=0
    )
    th.watch(trainer, tmp_path / "run")
    trainer.train()
    recorded = tiny_trainers.signals_of(tmp_path / "run")[0]
    values = measure_completions(MODELS["llama"](), rows(), [lambda: None] * 2)
    frame = signal_frame(pl.Series("id", [str(row) for row in range(len(rows()))]), values)
    # No loss of a single token is recorded.
    frame = frame.drop("end_loss")
    assert frame.schema == recorded.select(frame.columns).schema
    assert set(recorded.columns) == set(frame.columns)
    for name in frame.columns:
        found, expected = frame[name].to_numpy(), recorded[name].to_numpy()
        if frame[name].dtype.is_float() or name in PER_CHECKPOINT[:5]:
            np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6, err_msg=name)
        else:
            assert frame[name].equals(recorded[name]), name


def test_the_empty_prompt():
    plain = tokenizer()
    template = [VOCABULARY["[CLS]"]]  # what stands around the words of a user
    assert empty_prompt(plain, chat=True) == template
    assert empty_prompt(tokenizer("left"), chat=True) == template
    assert empty_prompt(plain, chat=False) == [END]
    plain.bos_token = "[MASK]"
    assert empty_prompt(plain, chat=False) == [VOCABULARY["[MASK]"]]
    plain.bos_token = plain.eos_token = None
    with pytest.raises(UserError, match="neither a first nor an end token"):
        empty_prompt(plain, chat=False)


def test_the_empty_prompt_of_a_tokenizer_that_adds_tokens_by_itself():
    from tiny import tokenizer_of

    adds = tokenizer_of("bert")  # [CLS] text [SEP]
    adds.eos_token = "[SEP]"
    assert empty_prompt(adds, chat=False) == [VOCABULARY["[CLS]"]]


def refused(match: str, model: nn.Module, *signals: str, of: CompletionTokensOfRows | None = None) -> None:
    with pytest.raises(UserError, match=match) as error:
        measure_completions(model, rows() if of is None else of, [lambda: None], signals)
    assert "\n" not in str(error.value)


def test_rows_that_cannot_be_measured_are_refused_in_one_line():
    model = MODELS["qwen2"]()
    with pytest.raises(UserError, match="row 1: the completion has no token; leave the row out"):
        CompletionTokensOfRows([[5], [5]], [[6, END], []])
    with pytest.raises(UserError, match="row 0: the prompt has no token, so nothing predicts"):
        CompletionTokensOfRows([[]], [[6, END]])
    with pytest.raises(UserError, match="there are 2 prompts and 1 completions"):
        CompletionTokensOfRows([[5], [5]], [[6, END]])
    refused("row 0 has 65 tokens, more than the 64", model, of=CompletionTokensOfRows([[5] * 60], [[6] * 5]))
    refused(
        "row 1 has token 29, but the model knows 29",
        model,
        of=CompletionTokensOfRows([[5], [5]], [[6], [29]]),
    )
    refused(
        "needs the tokens of the empty prompt", model, "loss_alone", of=CompletionTokensOfRows([[5]], [[6]])
    )
    refused("signal 'vog' is not measured of completions; there are " + ", ".join(ON_DEMAND), model, "vog")
    with pytest.raises(UserError, match="no checkpoint"):
        measure_completions(model, rows(), [])
    refused("no row", model, of=CompletionTokensOfRows([], []))


def test_models_and_layers_that_cannot_be_measured_are_refused_in_one_line():
    peft = pytest.importorskip("peft")
    refused("Linear is not a causal language model", nn.Linear(2, 2))
    refused(
        "BertModel is not a causal",
        AutoModelForCausalLM.from_config(CONFIG_MAPPING["bert"](**SHAPES["bert"])).base_model,
    )
    refused("adapter_sq_norm: the model has no active LoRA", MODELS["qwen2"](), "adapter_sq_norm")
    refused("encoder_sq_norm: the last layer has LoRA", MODELS["qwen2 with LoRA"](), "encoder_sq_norm")
    refused("the logits of Gemma2ForCausalLM are not", capped(), "classifier_sq_norm")

    def with_lora(**settings: Any) -> nn.Module:
        config = peft.LoraConfig(task_type="CAUSAL_LM", r=2, init_lora_weights=False, **settings)
        return peft.get_peft_model(language_model("qwen2"), config)

    head_too = with_lora(target_modules=["q_proj", "lm_head"])
    refused("adapter_sq_norm: LoRA of the output layer", head_too, "adapter_sq_norm")
    refused("classifier_sq_norm: the logits of Qwen2ForCausalLM are not", head_too, "classifier_sq_norm")
    refused(
        "LoRA of the token embeddings",
        with_lora(target_modules=["q_proj", "embed_tokens"]),
        "adapter_sq_norm",
    )
    refused("called twice", with_lora(target_modules=["q_proj"], use_dora=True), "adapter_sq_norm")
    virtual = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    refused("puts virtual tokens", peft.get_peft_model(language_model("qwen2"), virtual))


def test_weights_that_do_not_fit_are_refused():
    model = MODELS["qwen2"]()
    name, one = next(iter(model.named_parameters()))
    with pytest.raises(UserError, match="'elsewhere' is not a parameter of Qwen2ForCausalLM"):
        swap_to(model, {"elsewhere": one})
    with pytest.raises(UserError, match=f"'{name}' is .*bfloat16, the model has"):
        swap_to(model, {name: one.detach().bfloat16()})
