"""Token ids once, then length-sorted, padding-safe batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from thresher.errors import UserError

# What a tokeniser keeps beside the ids (offsets, the words themselves) is some 6 KB per row.
BLOCK_ROWS = 10_000


@dataclass(frozen=True)
class Tokens:
    """Token ids of N rows, unpadded.

    `ids` and `types` hold one integer array per row (`types` is None where the model has no segments), `truncated` tells
    whether a row was longer than the model takes, `pad` is the id that fills a batch.
    """

    ids: list[np.ndarray]
    types: list[np.ndarray] | None
    truncated: np.ndarray
    pad: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def lengths(self) -> np.ndarray:
        """True tokens per row, special tokens included."""
        return np.fromiter((len(row) for row in self.ids), np.int64, len(self.ids))

    def take(self, rows: Sequence[int] | np.ndarray) -> Tokens:
        """The same for chosen rows."""
        types = None if self.types is None else [self.types[i] for i in rows]
        return Tokens(
            [self.ids[i] for i in rows], types, self.truncated[np.asarray(rows, np.int64)], self.pad
        )

    def batch(
        self, rows: Sequence[int] | np.ndarray, device: torch.device | str = "cpu"
    ) -> dict[str, Tensor]:
        """The given rows, as the model takes them: see `pad_batch`."""
        return pad_batch(self, rows, device)


def tokenise(texts: Sequence[Sequence[str]], tokenizer: Any, max_length: int) -> Tokens:
    """Tokenise one or two text columns, cutting rows to `max_length` tokens (the longer text of a pair first).

    Parameters
    ----------
    texts
        one or two columns of N texts.
    tokenizer
        a fast Hugging Face tokenizer.
    max_length
        tokens per row, special tokens included; fewer where the tokenizer's `model_max_length` says so.

    Raises
    ------
    UserError
        special tokens alone fill a row.
    """
    n = len(texts[0])
    if n == 0:
        return Tokens([], None, np.zeros(0, bool), 0)
    special = tokenizer.num_special_tokens_to_add(pair=len(texts) == 2)
    longest = min(max_length, tokenizer.model_max_length)
    if longest <= special:
        raise UserError(
            f"rows of {longest} tokens have no room for text: {special} of them are"
            " special tokens; give a larger --max-length"
        )
    # A text without any token (an empty one, in a vocabulary without special tokens) still needs a position to pool.
    start = next(
        (
            t
            for t in (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
            if t is not None
        ),
        0,
    )
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
    columns: list[list[str]], tokenizer: Any, longest: int, start: int
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
    """Row numbers in batches of rows of similar length, at most `batch_tokens` padded tokens each (one row at least).

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
    """A right-padded batch of the given rows, as the model takes it."""
    width = max(len(tokens.ids[i]) for i in rows)
    ids = np.full((len(rows), width), tokens.pad, np.int64)
    mask = np.zeros((len(rows), width), np.int64)
    types = None if tokens.types is None else np.zeros((len(rows), width), np.int64)
    for at, i in enumerate(rows):
        length = len(tokens.ids[i])
        ids[at, :length] = tokens.ids[i]
        mask[at, :length] = 1
        if types is not None and tokens.types is not None:
            types[at, :length] = tokens.types[i]
    batch = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
    if types is not None:
        batch["token_type_ids"] = torch.from_numpy(types)
    if torch.device(device).type == "cuda":
        # From pinned memory the copy runs beside the computation.
        batch = {name: tensor.pin_memory() for name, tensor in batch.items()}
    return {name: to_device(tensor, device) for name, tensor in batch.items()}


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """A tensor on a device; the copy is waited for where the source may be released before it is done."""
    # CUDA keeps the source or a copy of it; MPS reads from memory that may hold something else by then.
    return tensor.to(device, non_blocking=torch.device(device).type == "cuda")
