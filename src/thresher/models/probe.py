"""Check that a text's vector does not depend on padding, by encoding a short text alone and in a batch with a longer one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from thresher.errors import UserError
from thresher.models.tokens import pad_batch, tokenise
from thresher.wording import shown

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

TEXTS = ("to be", "to be or not to be, that is the question")
# Relative to the largest value. Rounding differs between batch shapes by about 1e-5; the effect of padding is of order 1.
TOLERANCE = 1e-3


def check_encoder(encoder: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, name: str) -> None:
    """Refuse an encoder that cannot encode texts, or whose vectors depend on the padding of the batch.

    Some architectures, such as FNet (Fourier mixing) and ConvBERT (convolutions), mix padding into the tokens. The scores of
    a row would then depend on the other rows of its batch.

    Raises UserError: one line that says what is wrong with the model called `name`.
    """
    if not getattr(tokenizer, "is_fast", False):
        raise UserError(
            f"model '{name}': has a slow tokenizer ({type(tokenizer).__name__}), which does not report truncated rows; save a"
            " fast one with the model (tokenizer.json)"
        )
    if len(tokenizer) <= len(tokenizer.all_special_tokens):
        raise UserError(
            f"model '{name}': its tokenizer has no vocabulary; put tokenizer.json beside the model"
        )
    if getattr(encoder.config, "is_encoder_decoder", False):
        raise UserError(
            f"model '{name}': {type(encoder).__name__} is an encoder-decoder; give an encoder or a decoder-only model"
        )
    tokens = tokenise([TEXTS], tokenizer, len(TEXTS[1]))
    try:
        table = getattr(encoder.get_input_embeddings(), "weight", None)
        if table is not None and tokens.pad >= len(table):
            raise UserError(
                f"model '{name}': pads with token {tokens.pad} but has only {len(table)} embeddings; set another pad_token, or"
                " resize the embeddings"
            )
        alone, beside = (_hidden(encoder, pad_batch(tokens, rows)) for rows in ([0], [0, 1]))
    except (RuntimeError, ValueError, TypeError, IndexError, AttributeError) as error:
        raise UserError(
            f"model '{name}': {type(encoder).__name__} cannot be run on text alone ({shown(error, 120)}); give an encoder, or"
            " a decoder-only model"
        ) from error
    length = alone.shape[1]
    if not torch.allclose(beside[:1, :length], alone, rtol=0, atol=TOLERANCE * float(alone.abs().max())):
        raise UserError(
            f"model '{name}': the output of {type(encoder).__name__} for a text depends on the padding, so scores would depend"
            " on the other rows of the batch; choose another architecture"
        )


def _hidden(encoder: PreTrainedModel, batch: dict[str, Tensor]) -> Tensor:
    mode = encoder.training
    try:
        with torch.no_grad():
            hidden: Tensor = encoder.eval()(**batch).last_hidden_state
    finally:
        encoder.train(mode)
    if hidden.shape[:2] != batch["input_ids"].shape:
        raise ValueError(f"hidden states {tuple(hidden.shape)} for tokens {tuple(batch['input_ids'].shape)}")
    return hidden


def positions_of(encoder: PreTrainedModel) -> int | None:
    """The longest row that the position embeddings allow, or None if the encoder has none.

    If the padding token has its own position (RoBERTa), rows start after it.
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
