"""A frozen encoder: the hidden states of a text are computed once per process and cached."""

from __future__ import annotations

import math
from functools import lru_cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from thresher.config import ModelConfig
from thresher.models.encoder import load_encoder
from thresher.models.tokens import length_sorted_batches

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

KEPT_TOKENS = 2**18  # 2 x 384 numbers each: 0.8 GB
BATCH_TOKENS = 4096


class FrozenEncoder(nn.Module):
    """A drop-in encoder that gives every token the concatenated hidden states of two layers, (B, T, 2 H).

    The layers are the last one, which represents the meaning of the sentence, and the one at a third of the depth, which still
    distinguishes words. The encoder is always in eval mode and its weights are not part of the module, so only heads are
    trained and saved. States are cached up to `KEPT_TOKENS` tokens; up to rounding, an answer does not depend on earlier texts.
    """

    def __init__(self, encoder: nn.Module) -> None:
        super().__init__()
        # In a tuple, so that torch does not register it as a submodule.
        self._whole = (encoder.eval().requires_grad_(False),)
        config: Any = encoder.config
        depth = int(config.num_hidden_layers)
        self.layers = (math.ceil(depth / 3), depth)
        width = 2 * int(config.hidden_size)
        self.config = SimpleNamespace(hidden_size=width, num_hidden_layers=0, model_type=config.model_type)
        self.embeddings = nn.Identity()
        self._kept: dict[bytes, Tensor] = {}
        self._tokens = 0

    @property
    def whole(self) -> Any:
        return self._whole[0]

    def get_input_embeddings(self) -> nn.Module:
        table: nn.Module = self.whole.get_input_embeddings()
        return table

    def forward(self, input_ids: Tensor, attention_mask: Tensor, **inputs: Any) -> SimpleNamespace:
        """Hidden states of a right-padded batch, zero at padding."""
        lengths = attention_mask.sum(1).tolist()
        keys = [row[:n].cpu().numpy().tobytes() for row, n in zip(input_ids, lengths, strict=True)]
        missing = {key: at for at, key in enumerate(keys) if key not in self._kept}
        found = dict(zip(missing, self._states(input_ids, lengths, list(missing.values())), strict=True))
        rows = [found[key] if key in found else self._kept[key] for key in keys]
        self._keep(found)
        states = nn.utils.rnn.pad_sequence(rows, batch_first=True)
        short = input_ids.shape[1] - states.shape[1]
        states = nn.functional.pad(states, (0, 0, 0, short)).to(input_ids.device)
        return SimpleNamespace(last_hidden_state=self.embeddings(states))

    def _states(self, input_ids: Tensor, lengths: list[int], rows: list[int]) -> list[Tensor]:
        """The states of some rows without padding, (T, 2 H) each."""
        found: list[Tensor] = [torch.empty(0)] * len(rows)
        sizes = torch.tensor([lengths[row] for row in rows], dtype=torch.int64)
        device = next(self.whole.parameters()).device
        with torch.no_grad():
            for batch in length_sorted_batches(sizes.numpy(), BATCH_TOKENS) if rows else ():
                width = int(sizes[batch].max())
                ids = input_ids[[rows[at] for at in batch], :width].to(device)
                mask = (torch.arange(width) < sizes[batch, None]).to(device, torch.int64)
                output = self.whole(input_ids=ids, attention_mask=mask, output_hidden_states=True)
                states = torch.cat([output.hidden_states[layer] for layer in self.layers], 2).float().cpu()
                for place, at in enumerate(batch):
                    found[at] = states[place, : int(sizes[at])].clone()
        return found

    def _keep(self, found: dict[bytes, Tensor]) -> None:
        for key, states in found.items():
            if self._tokens + len(states) <= KEPT_TOKENS:
                self._kept[key] = states
                self._tokens += len(states)


def stack_encoder(config: ModelConfig) -> tuple[nn.Module, PreTrainedTokenizerBase]:
    """The encoder of a stack's models and its tokenizer, frozen if the settings say so."""
    return _frozen(config) if config.freeze else load_encoder(config)


@lru_cache(maxsize=1)
def _frozen(config: ModelConfig) -> tuple[nn.Module, PreTrainedTokenizerBase]:
    # Shared by all models of a process, so that a text of several trainings is encoded once.
    encoder, tokenizer = load_encoder(config)
    return FrozenEncoder(encoder), tokenizer
