"""Prompts and completions as tokens."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
import torch

from thresher.config import GenerateConfig, ModelConfig
from thresher.errors import UserError
from thresher.models.completions import template_of, tokenise_completions
from thresher.models.language_model import adapted, check_tokenizer, load_language_model, trained_weights
from thresher.rows import Rows, load_texts
from tiny_language import END, language_model, tokenizer

FRAME = pl.DataFrame({"prompt": ["play jazz", "stop"], "completion": ["music on", "music off now"]})


def rows() -> Rows:
    return load_texts(FRAME)


def test_plain_rows_are_the_prompt_the_completion_and_the_end_token() -> None:
    encode = tokenizer()
    tokens = tokenise_completions(rows(), encode, 64, "plain")
    for row, (prompt, completion) in enumerate(FRAME.iter_rows()):
        assert tokens.prompts[row].tolist() == encode(prompt)["input_ids"]
        assert tokens.completions[row].tolist() == [*encode(completion)["input_ids"], END]
    assert not tokens.truncated.any()


def test_chat_rows_are_what_the_template_writes() -> None:
    encode = tokenizer()
    tokens = tokenise_completions(rows(), encode, 64, "chat")
    chat = [{"role": "user", "content": "stop"}, {"role": "assistant", "content": "music off now"}]
    whole = encode(encode.apply_chat_template(chat, tokenize=False), add_special_tokens=False)["input_ids"]
    assert [*tokens.prompts[1].tolist(), *tokens.completions[1].tolist()] == whole
    assert tokens.completions[1][-1] == END


def test_a_long_row_loses_the_end_of_its_completion_and_never_its_prompt() -> None:
    tokens = tokenise_completions(rows(), tokenizer(), 4, "plain")
    assert tokens.truncated.tolist() == [True, False] or tokens.truncated.any()
    assert max(tokens.lengths) == 4
    assert tokens.prompts[0].tolist() == tokenizer()("play jazz")["input_ids"]


def test_a_prompt_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(UserError, match=r"have a prompt of 2 tokens or more.*--max-length"):
        tokenise_completions(rows(), tokenizer(), 2, "plain")


def test_a_batch_is_padded_on_the_right_and_only_completions_have_labels() -> None:
    tokens = tokenise_completions(rows(), tokenizer(), 64, "plain")
    batch = tokens.batch([0, 1])
    for line in range(2):
        prompt, completion = tokens.prompts[line], tokens.completions[line]
        used = int(batch["attention_mask"][line].sum())
        assert used == len(prompt) + len(completion)
        assert (
            batch["labels"][line, : len(prompt)].eq(-100).all()
            and batch["labels"][line, used:].eq(-100).all()
        )
        assert batch["labels"][line, len(prompt) : used].tolist() == completion.tolist()


def test_chats_need_a_chat_template() -> None:
    encode = tokenizer()
    encode.chat_template = None
    chats = load_texts(
        pl.DataFrame(
            {"m": [json.dumps([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}])]}
        ),
        messages="m",
    )
    with pytest.raises(UserError, match="chat messages need a model with a chat template"):
        template_of(encode, "auto", chats)
    assert (
        template_of(encode, "auto", rows()) == "plain" and template_of(tokenizer(), "auto", rows()) == "chat"
    )


def test_a_template_that_rewrites_the_start_of_a_chat_is_refused() -> None:
    encode = tokenizer()
    encode.chat_template = "{% for m in messages %}{{ messages | length }} {{ m.content }} {% endfor %}"
    with pytest.raises(UserError, match="otherwise than the start of it"):
        tokenise_completions(rows(), encode, 64, "chat")


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_lora_trains_the_adapters_alone_and_rank_0_all_weights(kind: str) -> None:
    pytest.importorskip("peft")
    with_adapters = adapted(language_model(kind), GenerateConfig(lora=2), seed=3)
    again = adapted(language_model(kind), GenerateConfig(lora=2), seed=3)
    names = set(trained_weights(with_adapters))
    assert names and all("lora_" in name for name in names)
    for name, one in trained_weights(again).items():
        torch.testing.assert_close(one, trained_weights(with_adapters)[name], rtol=0, atol=0)
    whole = adapted(language_model(kind), GenerateConfig(lora=0), seed=3)
    assert len(trained_weights(whole)) == len(list(whole.parameters()))


def test_models_that_cannot_write(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("model")
    with pytest.raises(UserError, match="takes a causal language model"):
        load_language_model(ModelConfig())
    model, encode = language_model("qwen2"), tokenizer()
    encode.eos_token = None
    with pytest.raises(UserError, match="has no end token"):
        check_tokenizer(model, encode, "mine")
    encode = tokenizer()
    encode.add_tokens([f"new{n}" for n in range(20)])
    with pytest.raises(UserError, match="resize_token_embeddings"):
        check_tokenizer(model, encode, "mine")
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(UserError, match="holds an adapter"):
        load_language_model(ModelConfig(name=str(folder)))


def test_lengths() -> None:
    tokens = tokenise_completions(rows(), tokenizer(), 64, "plain")
    assert np.array_equal(
        tokens.lengths, [len(a) + len(b) for a, b in zip(tokens.prompts, tokens.completions, strict=True)]
    )
    assert len(tokens.take([1])) == 1


@pytest.mark.parametrize("template", ["plain", "chat"])
def test_each_token_knows_where_in_its_completion_it_ends(template: str) -> None:
    """One pass of the tokenizer gives the tokens and their places."""
    encode = tokenizer()
    spaced = pl.DataFrame({"prompt": ["play jazz", "stop"], "completion": ["  music on", "music off now "]})
    calls: list[list[str]] = []

    def counted(texts: list[str], **more: object) -> object:
        calls.append(texts)
        return encode(texts, **more)

    class Counted:
        def __getattr__(self, name: str) -> object:
            return getattr(encode, name)

        __call__ = staticmethod(counted)

    tokens = tokenise_completions(load_texts(spaced), Counted(), 4, template)  # type: ignore[arg-type]
    assert len(calls) == 2, "once for the prompts, once for the completions"
    assert tokens.ends is not None
    for row, completion in enumerate(spaced["completion"]):
        ends = tokens.ends[row].tolist()
        assert len(ends) == len(tokens.completions[row]) and ends[-1] <= len(completion)
        pieces = [completion[a:b].strip() for a, b in zip([0, *ends], ends, strict=False)]
        assert pieces == completion.split()[: len(ends)] + [""] * (len(ends) - len(completion.split()))
    assert tokens.take([1]).ends[0].tolist() == tokens.ends[1].tolist()  # type: ignore[index]


def test_a_tokenizer_that_does_not_tell_places_gives_none() -> None:
    encode = tokenizer()

    class Slow:
        is_fast = False

        def __getattr__(self, name: str) -> object:
            return getattr(encode, name)

        def __call__(self, texts: list[str], return_offsets_mapping: bool = False, **more: object) -> object:
            if return_offsets_mapping:
                raise NotImplementedError("a tokenizer in Python has no offsets")
            return encode(texts, **more)

    tokens = tokenise_completions(rows(), Slow(), 64, "plain")
    assert tokens.ends is None and tokens.take([0]).ends is None
