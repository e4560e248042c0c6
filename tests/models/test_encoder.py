"""Load encoders from names and folders: first layers, safetensors only, one line for what cannot be loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoModel
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

from thresher.config import ModelConfig
from thresher.errors import UserError
from thresher.models.encoder import build_encoder, embedding_layer, layer_stack, load_encoder
from thresher.models.tokens import tokenise
from tiny import SHAPES, VOCABULARY, tiny_model, tokenizer_of


def load(name: str | Path, **options: object):
    return load_encoder(ModelConfig(name=str(name), **options))  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", sorted(SHAPES))
def test_the_first_layers_are_the_same_layers(kind, tmp_path):
    folder = tiny_model(kind, tmp_path / kind)
    whole, _ = load(folder)
    first, _ = load(folder, layers=1)
    assert (len(layer_stack(whole)), len(layer_stack(first))) == (2, 1)
    kept = first.state_dict()
    assert all(torch.equal(kept[name], value) for name, value in whole.state_dict().items() if name in kept)
    assert embedding_layer(first) is not first


@pytest.mark.parametrize("kind", ["bert", "qwen2"])
@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_weights_that_were_saved_in_half_precision_are_read_in_full(kind, half, tmp_path):
    folder = tiny_model(kind, tmp_path / kind)
    AutoModel.from_pretrained(folder).to(half).save_pretrained(folder)
    assert {one.dtype for one in load(folder)[0].parameters()} == {torch.float32}
    assert {one.dtype for one in build_encoder(folder)[0].parameters()} == {torch.float32}


def test_the_bundled_encoder_keeps_three_of_its_six_layers():
    encoder, tokenizer = load("minilm")
    assert len(layer_stack(encoder)) == 3
    assert len(layer_stack(load("minilm", layers="all")[0])) == 6
    assert tokenizer.pad_token_id is not None
    assert encoder.pooler is None


@pytest.mark.parametrize(
    ("break_it", "says"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (
            lambda folder: (folder / "model.safetensors").rename(folder / "pytorch_model.bin"),
            "pickled weights are refused",
        ),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"not weights"), "cannot be loaded"),
    ],
)
def test_a_folder_that_cannot_be_loaded_gets_one_line(break_it, says, tmp_path):
    folder = tiny_model("bert", tmp_path / "bert")
    break_it(folder)
    with pytest.raises(UserError, match=says) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["/no/such/folder", "no-such-name-on-any-hub"])
def test_an_unknown_model_gets_one_line(name):
    with pytest.raises(UserError, match=name) as caught:
        load(name)
    assert "\n" not in str(caught.value)


def test_more_layers_than_there_are_is_refused(tmp_path):
    with pytest.raises(UserError, match="has 2 layers, so 5 cannot be kept; give 1 to 2"):
        load(tiny_model("bert", tmp_path / "bert"), layers=5)


NARROW = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 24}
STRANGE = [
    ("fnet", {**NARROW, "max_position_embeddings": 64}, "depends on the padding"),
    ("convbert", {**NARROW, "embedding_size": 16, "max_position_embeddings": 64}, "depends on the padding"),
    ("layoutlm", {**NARROW, "max_position_embeddings": 64}, "cannot be run on text alone"),
    (
        "t5",
        {"d_model": 16, "d_kv": 8, "d_ff": 24, "num_layers": 2, "num_heads": 2},
        "t5': T5Model is an encoder-decoder; give an encoder or a decoder-only model",
    ),
]


@pytest.mark.parametrize(("kind", "shape", "says"), STRANGE, ids=[one[0] for one in STRANGE])
def test_a_model_that_gives_rows_no_independent_vector_gets_one_line(kind, shape, says, tmp_path):
    folder = saved(tmp_path / kind, kind, **shape)
    with pytest.raises(UserError, match=says) as caught:
        load(folder)
    assert "\n" not in str(caught.value)


def saved(folder: Path, kind: str, **shape: object) -> Path:
    torch.manual_seed(0)
    model = AutoModel.from_config(CONFIG_MAPPING[kind](vocab_size=len(VOCABULARY), **shape))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3)
    model.save_pretrained(folder)
    tokenizer_of("roberta").save_pretrained(folder)
    return folder


def test_a_padding_token_beyond_the_embeddings_is_refused(tmp_path):
    folder = saved(tmp_path / "gpt2", "gpt2", n_embd=16, n_layer=2, n_head=2)
    tokenizer = tokenizer_of("gpt2")
    tokenizer.add_special_tokens({"pad_token": "[ANOTHER PAD]"})
    tokenizer.save_pretrained(folder)
    with pytest.raises(
        UserError, match=rf"pads with token {len(VOCABULARY)} but has only {len(VOCABULARY)} embeddings; set"
    ):
        load(folder)


@pytest.mark.parametrize(
    ("kind", "positions"), [("bert", 64), ("roberta", 63), ("gpt2", 64), ("qwen2", None)]
)
def test_rows_are_cut_to_the_positions_there_are(kind, positions, tmp_path):
    encoder, tokenizer = load(tiny_model(kind, tmp_path / kind))
    tokens = tokenise([["play music " * 200, "play"]], tokenizer, 1000)
    assert tokens.lengths[0] == positions if positions else tokens.lengths[0] > 64
    assert tokens.truncated.tolist() == [positions is not None, False]
    encoder(**tokens.batch([0, 1]))
