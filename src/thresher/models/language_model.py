"""Load a causal language model by name or folder, and put LoRA adapters on it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from thresher.config import GenerateConfig, ModelConfig
from thresher.errors import UserError
from thresher.models.encoder import BUNDLED, first_layers, resolve
from thresher.models.gguf import converted, gguf_file
from thresher.quiet import quiet_transformers

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_language_model(config: ModelConfig) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """The pretrained causal language model in float32 (its first n layers), and its tokenizer.

    Of a folder with a .gguf file and no safetensors the model is converted once; see `thresher.models.gguf`.

    Raises UserError: an unknown model, an adapter without its model, pickled weights, more layers than it has, a tokenizer
    without an end token, or one that knows more tokens than the model.
    """
    source, options = source_of(config), {"trust_remote_code": config.trust_remote_code}
    try:
        with quiet_transformers():
            tokenizer = AutoTokenizer.from_pretrained(source, **options)
            settings = AutoConfig.from_pretrained(source, **options)
            first_layers(settings, config.layers if isinstance(config.layers, int) else None, config.name)
            model = AutoModelForCausalLM.from_pretrained(
                source, config=settings, use_safetensors=True, dtype=torch.float32, **options
            )
    except (OSError, ValueError, ImportError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"model '{config.name}' cannot be loaded as a language model: {reason}") from error
    model.config.use_cache = False
    check_tokenizer(model, tokenizer, config.name)
    return model, tokenizer


def source_of(config: ModelConfig) -> str:
    """The folder or hub name that a model is loaded from.

    Raises UserError: the bundled encoder, which writes no text, or a folder without weights.
    """
    if config.name == BUNDLED:
        raise UserError(
            "--task generate takes a causal language model; give --model NAME or FOLDER, such as"
            " HuggingFaceTB/SmolLM2-135M-Instruct"
        )
    file = gguf_file(Path(config.name).expanduser())
    return str(converted(file)) if file else resolve(config.name)


def check_tokenizer(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, name: str) -> None:
    """Refuse a tokenizer without an end token, and one whose tokens the model does not all have."""
    if tokenizer.eos_token_id is None:
        raise UserError(
            f"the tokenizer of '{name}' has no end token (eos_token), so the model cannot learn where a completion ends; set one"
            " and save the tokenizer again"
        )
    width = model.get_input_embeddings().weight.shape[0]
    if len(tokenizer) > width:
        raise UserError(
            f"the tokenizer of '{name}' has {len(tokenizer):,} tokens and the model {width:,}; call"
            " model.resize_token_embeddings and save the model again"
        )


def longest(model: PreTrainedModel, config: ModelConfig) -> int:
    """The tokens that a row may have: `max_length`, or what the model takes where that is less."""
    positions = getattr(model.config, "max_position_embeddings", None) or config.max_length
    return min(config.max_length, int(positions))


def adapted(model: PreTrainedModel, config: GenerateConfig, seed: int) -> PreTrainedModel:
    """The model with new LoRA adapters, whose weights alone train and are drawn from `seed`; the model itself with rank 0.

    Raises UserError: peft is not installed, or the model has no modules of these names.
    """
    if config.lora == 0:
        return model
    try:
        import peft
    except ImportError as error:
        raise UserError(
            "LoRA adapters need peft: pip install 'thresher[generate]', or train all the weights with --lora 0"
        ) from error
    names = list(config.targets)
    settings = peft.LoraConfig(
        r=config.lora,
        lora_alpha=config.alpha,  # type: ignore[arg-type]
        lora_dropout=0.0,
        target_modules=names[0] if names == ["all-linear"] else names,
        task_type="CAUSAL_LM",
    )
    torch.manual_seed(seed)
    try:
        return peft.get_peft_model(model, settings)
    except ValueError as error:
        raise UserError(
            f"LoRA: {str(error).splitlines()[0]}; name modules with --set generate.targets=..."
        ) from error


def trained_weights(model: PreTrainedModel) -> dict[str, Tensor]:
    """The weights that a training changes, by name: those of the adapters, or all."""
    return {name: one.detach() for name, one in model.named_parameters() if one.requires_grad}


@torch.no_grad()
def put_weights(model: PreTrainedModel, weights: dict[str, Tensor]) -> None:
    """Put the weights that a training left into a model of the same kind."""
    parameters = dict(model.named_parameters())
    for name, values in weights.items():
        parameters[name].copy_(values)
