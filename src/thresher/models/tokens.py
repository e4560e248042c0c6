"""Tokenise texts once and make padded batches of rows of similar length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from thresher.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

# Besides the ids, a tokenizer holds about 6 KB per row (offsets, the words), so rows are tokenised in blocks.
BLOCK_ROWS = 10_000


@dataclass(frozen=True)
class Tokens:
    """The token ids of N rows, without padding.

    `ids` and `types` hold one integer array per row (`types` is None if the model has no segments); `truncated` (N,):
    whether a row exceeded the length limit; `pad` is the id that fills a batch.
    """

    ids: list[np.ndarray]
    types: list[np.ndarray] | None
    truncated: np.ndarray
    pad: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens per row, including special tokens, (N,)."""
        return np.fromiter((len(row) for row in self.ids), np.int64, len(self.ids))

    def take(self, rows: Sequence[int] | np.ndarray) -> Tokens:
        types = None if self.types is None else [self.types[i] for i in rows]
        return Tokens(
            [self.ids[i] for i in rows], types, self.truncated[np.asarray(rows, np.int64)], self.pad
        )

    def batch(
        self, rows: Sequence[int] | np.ndarray, device: torch.device | str = "cpu"
    ) -> dict[str, Tensor]:
        """The given rows as inputs of the model; see `pad_batch`."""
        return pad_batch(self, rows, device)


def longest_row(tokenizer: PreTrainedTokenizerFast, max_length: int) -> int:
    """The tokens that a row may have: `max_length`, or what the encoder takes where that is less."""
    return min(max_length, tokenizer.model_max_length)


def tokenise(texts: Sequence[Sequence[str]], tokenizer: PreTrainedTokenizerFast, max_length: int) -> Tokens:
    """Tokenise one or two text columns, truncating rows to `max_length` tokens (the longer text of a pair first).

    `texts`: one or two columns of N texts. `tokenizer`: a fast Hugging Face tokenizer. `max_length`: tokens per row, including
    special tokens; at most the tokenizer's `model_max_length`.

    Raises UserError: the special tokens alone fill a row.
    """
    n = len(texts[0])
    if n == 0:
        return Tokens([], None, np.zeros(0, bool), 0)
    special = tokenizer.num_special_tokens_to_add(pair=len(texts) == 2)
    longest = longest_row(tokenizer, max_length)
    if longest <= special:
        raise UserError(
            f"rows of {longest} tokens have no room for text: {special} of them are"
            " special tokens; increase --max-length"
        )
    # An empty text has no tokens if the vocabulary has no special tokens; pooling needs at least one.
    special_ids = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    start = next((one for one in special_ids if one is not None), 0)
    ids: list[np.ndarray] = []
    types: list[np.ndarray] = []
    truncated = np.zeros(n, bool)
    for first in range(0, n, BLOCK_ROWS):
        block = slice(first, first + BLOCK_ROWS)
        found, segments, truncated[block] = _tokenise_block(
            [list(column[block]) for column in texts], tokenizer, longest, start
        )
        ids += found
        types += segments
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else start
    return Tokens(ids, types or None, truncated, int(pad))


def _tokenise_block(
    columns: list[list[str]], tokenizer: PreTrainedTokenizerFast, longest: int, start: int
) -> tuple[list[np.ndarray], list[np.ndarray], list[bool]]:
    encoded = tokenizer(
        *columns,
        truncation="longest_first",
        max_length=longest,
        return_attention_mask=False,
    )
    ids = [np.asarray(row if row else [start], np.int32) for row in encoded["input_ids"]]
    types: list[np.ndarray] = []
    if "token_type_ids" in tokenizer.model_input_names and "token_type_ids" in encoded:
        types = [np.asarray(row if row else [0], np.int32) for row in encoded["token_type_ids"]]
    return ids, types, [bool(one.overflowing) for one in encoded.encodings]


def length_sorted_batches(lengths: np.ndarray, batch_tokens: int) -> list[np.ndarray]:
    """Row numbers in batches of similar length, each of at most `batch_tokens` tokens with padding, or of one row.

    >>> [batch.tolist() for batch in length_sorted_batches(np.array([3, 9, 3, 4]), 12)]
    [[1], [3, 0, 2]]
    """
    batches: list[np.ndarray] = []
    order = np.lexsort((np.arange(len(lengths)), -lengths))
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // max(1, int(lengths[order[start]])))
        batches.append(order[start : start + size])
        start += size
    return batches


def pad_batch(
    tokens: Tokens, rows: Sequence[int] | np.ndarray, device: torch.device | str = "cpu"
) -> dict[str, Tensor]:
    """A right-padded batch (B, T) of the given rows as inputs of the model."""
    ids = [tokens.ids[i] for i in rows]
    lengths = np.array([len(row) for row in ids])
    mask = np.arange(lengths.max()) < lengths[:, None]  # (B, T)

    def padded(values: list[np.ndarray], fill: int) -> Tensor:
        full = np.full(mask.shape, fill, np.int64)
        full[mask] = np.concatenate(values)
        return torch.from_numpy(full)

    batch = {
        "input_ids": padded(ids, tokens.pad),
        "attention_mask": torch.from_numpy(mask.astype(np.int64)),
    }
    if tokens.types is not None:
        batch["token_type_ids"] = padded([tokens.types[i] for i in rows], 0)
    if torch.device(device).type == "cuda":
        # A copy from pinned memory runs in parallel with the computation.
        batch = {name: tensor.pin_memory() for name, tensor in batch.items()}
    return {name: to_device(tensor, device) for name, tensor in batch.items()}


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """A tensor on a device. Only copies to CUDA are asynchronous."""
    # CUDA keeps the source alive until the copy is done; MPS may read memory that has been reused by then.
    return tensor.to(device, non_blocking=torch.device(device).type == "cuda")
