"""Whether an encoder gives every text a vector of its own: tried on a short text, alone and beside a longer one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from thresher.errors import UserError
from thresher.models.tokens import pad_batch, tokenise
from thresher.wording import shown

TEXTS = ("to be", "to be or not to be, that is the question")
# Rounding differs with the shape of a batch by some 1e-5 of the vectors' length; what padding adds is of the order of 1.
TOLERANCE = 1e-3


def check_encoder(encoder: nn.Module, tokenizer: Any, name: str) -> None:
    """Refuse an encoder that cannot take texts, or whose vectors depend on how far its batch is padded.

    Fourier mixing (FNet), convolutions (ConvBERT) and others mix padding into the true tokens; no score of such a model would
    hold for a row by itself.

    Raises
    ------
    UserError
        one line that says what is wrong with the model of this name.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise UserError(
            f"model '{name}': has a slow tokenizer ({type(tokenizer).__name__}), which does not tell which rows it cuts; save a"
            " fast one beside the model (tokenizer.json)"
        )
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise UserError(f"model '{name}': its tokenizer knows no words; put tokenizer.json beside the model")
    if getattr(encoder.config, "is_encoder_decoder", False):
        raise UserError(
            f"model '{name}': {type(encoder).__name__} is an encoder and a decoder; give one that is either"
        )
    tokens = tokenise([TEXTS], tokenizer, len(TEXTS[1]))
    try:
        table: Any = getattr(encoder.get_input_embeddings(), "weight", None)  # type: ignore[operator]
        if table is not None and tokens.pad >= len(table):
            raise UserError(
                f"model '{name}': pads with token {tokens.pad} and has embeddings of {len(table)}; set another pad_token, or"
                " resize its embeddings"
            )
        alone, beside = (_hidden(encoder, pad_batch(tokens, rows)) for rows in ([0], [0, 1]))
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise UserError(
            f"model '{name}': {type(encoder).__name__} cannot be run on texts alone ({shown(error, 120)}); give an encoder, or"
            " a decoder-only model"
        ) from error
    there = alone.shape[1]
    if not torch.allclose(beside[:1, :there], alone, rtol=0, atol=TOLERANCE * float(alone.abs().max())):
        raise UserError(
            f"model '{name}': what {type(encoder).__name__} makes of a text depends on the padding that longer texts beside it"
            " bring, so no score would be that of a row; give another architecture"
        )


def _hidden(encoder: nn.Module, batch: dict[str, Tensor]) -> Tensor:
    """Last hidden states (B, T, H), in eval mode."""
    mode = encoder.training
    try:
        with torch.no_grad():
            hidden: Tensor = encoder.eval()(**batch).last_hidden_state
    finally:
        encoder.train(mode)
    if hidden.shape[:2] != batch["input_ids"].shape:
        raise ValueError(f"hidden states {tuple(hidden.shape)} of tokens {tuple(batch['input_ids'].shape)}")
    return hidden


def positions_of(encoder: nn.Module) -> int | None:
    """The longest row that a table of positions takes, None where there is no such table.

    Where the padding token has a position of its own (RoBERTa), rows begin after it.
    """
    for name, module in encoder.named_modules():
        if isinstance(module, nn.Embedding) and name.split(".")[-1] in (
            "position_embeddings",
            "embed_positions",
            "wpe",
        ):
            before = 0 if module.padding_idx is None else module.padding_idx + 1
            stated = getattr(encoder.config, "max_position_embeddings", None) or module.num_embeddings
            return int(min(stated, module.num_embeddings - before))
    return None
