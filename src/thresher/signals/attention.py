"""Attention for short texts on a CPU: plain matrix products instead of a kernel made for long ones."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import eager_mask

from thresher.recording.hf_compat import attention_of

NAME = "thresher_short"
# Beyond this many tokens torch's fused kernel is faster.
WIDEST = 48
# Below this width, that of a vector register, softmax falls back to one number at a time.
LANES = 16


def short_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    **others: Any,
) -> tuple[Tensor, None]:
    """softmax(Q K^T * scaling + mask) V, (batch, heads, T, d) to (batch, T, heads, d); at most 48 tokens, or torch's own.

    Fewer than 16 tokens are padded to 16; padded keys are masked and padded queries cut off, so the result is that of the
    width T. `attention_mask` is added to the scores; its absence means that every token sees every other.
    """
    heads, tokens, width = query.shape[1:]
    scaling = width**-0.5 if scaling is None else scaling
    plain = query.device.type == "cpu" and not dropout and others.get("position_bias") is None
    if not plain or max(tokens, key.shape[2]) > WIDEST or key.shape[2] != tokens:
        return sdpa_attention_forward(
            module, query, key, value, attention_mask, dropout=dropout, scaling=scaling, **others
        )
    groups = heads // key.shape[1]
    more = max(0, LANES - tokens)
    wide = (-1, heads, tokens + more)
    # (batch * heads, T + more, d)
    q, k, v = (
        pad(each, (0, 0, 0, more)).flatten(0, 1)
        for each in (query * scaling, repeat_kv(key, groups), repeat_kv(value, groups))
    )
    # Added to a score, the softmax of it is 0; minus infinity would make rows of padding not a number.
    least = torch.finfo(query.dtype).min
    scores = torch.bmm(q, k.mT).view(*wide, tokens + more)
    if attention_mask is not None:
        # (batch, 1, T, T), or (batch, 1, 1, T) where all tokens see the same ones
        rows_more = more if attention_mask.shape[2] == tokens else 0
        scores = scores + pad(pad(attention_mask, (0, more), value=least), (0, 0, 0, rows_more))
    elif more:
        scores = scores + pad(query.new_zeros(tokens), (0, more), value=least)
    out = torch.bmm(scores.softmax(-1).flatten(0, 1), v).view(*wide, value.shape[-1])
    return out[:, :, :tokens].transpose(1, 2).contiguous(), None


AttentionInterface.register(NAME, short_attention)
AttentionMaskInterface.register(NAME, eager_mask)


def use_short_attention(encoder: Any) -> None:
    """Have an encoder that would attend by torch's fused kernel attend by `short_attention`; any other is left as it is."""
    if attention_of(encoder) == "sdpa":
        encoder.set_attn_implementation(NAME)
