"""Tiny random models of the architectures that people fine-tune, saved as folders that `model.name` takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import AutoModel, PreTrainedTokenizerFast
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

WORDS = [
    "play",
    "some",
    "music",
    "turn",
    "on",
    "the",
    "light",
    "in",
    "kitchen",
    "what",
    "is",
    "weather",
    "a",
    "of",
    "set",
    "alarm",
]
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
VOCABULARY = {word: index for index, word in enumerate(SPECIAL + WORDS)}

SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
}
SHAPES: dict[str, dict[str, Any]] = {
    "bert": SMALL,
    "distilbert": {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 24, "max_position_embeddings": 64},
    "roberta": {**SMALL, "pad_token_id": 0},
    "modernbert": {**SMALL, "global_attn_every_n_layers": 2, "local_attention": 8, "pad_token_id": 0},
    "deberta-v2": SMALL,
    "gpt2": {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64},
    "qwen2": {**SMALL, "num_key_value_heads": 1},
}
# Decoder-only models whose norms are of another make: Gemma's gain is one more than its weight, Qwen3 normalises each head.
OTHER_NORMS: dict[str, dict[str, Any]] = {
    "llama": {**SMALL, "num_key_value_heads": 1},
    "gemma": {**SMALL, "num_key_value_heads": 1, "head_dim": 8},
    "qwen3": {**SMALL, "num_key_value_heads": 1, "head_dim": 8},
}
ENCODERS = ("bert", "distilbert", "roberta", "modernbert", "deberta-v2")


def tokenizer_of(kind: str) -> PreTrainedTokenizerFast:
    """A word-level tokenizer with the special tokens of an encoder, or none for decoder-only models."""
    tokenizer = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    names = ["input_ids", "attention_mask"]
    if kind in ENCODERS:
        pair = "[CLS] $A [SEP] $B:1 [SEP]:1"
        marks = [("[CLS]", VOCABULARY["[CLS]"]), ("[SEP]", VOCABULARY["[SEP]"])]
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", pair=pair, special_tokens=marks
        )
    if kind == "bert":
        names.insert(1, "token_type_ids")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="[UNK]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
        model_input_names=names,
    )


def tiny_model(kind: str, folder: Path, seed: int = 0) -> Path:
    """Save a tiny random model of an architecture, weights large enough that every gradient counts."""
    torch.manual_seed(seed)
    # Some tokenizer classes add special tokens of their own when they are loaded.
    config = CONFIG_MAPPING[kind](vocab_size=len(VOCABULARY) + 8, **(SHAPES | OTHER_NORMS)[kind])
    model = AutoModel.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3)
            elif "bias" in name:
                parameter.normal_(0, 0.1)
    model.save_pretrained(folder)
    tokenizer_of(kind).save_pretrained(folder)
    return folder
