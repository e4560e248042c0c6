"""Tokenise texts and find the first token of every word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from thresher.models.tokens import Tokens, longest_row, tokenise
from thresher.nlu.rows.checked import words

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100  # a target that the cross entropy ignores


@dataclass(frozen=True)
class Encoded:
    """Tokens of N texts, the character spans of their words, and the position of each word's first token.

    Truncated words have no position, so `first[i]` may be shorter than `spans[i]`.
    """

    tokens: Tokens
    spans: list[list[tuple[int, int]]]
    first: list[npt.NDArray[np.int64]]

    def __len__(self) -> int:
        return len(self.spans)


def encode(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Encoded:
    """Tokens and words of texts.

    The first token of a word is the first one that ends after the word's first character, for any tokenizer.
    """
    tokens = tokenise([texts], tokenizer, max_length)
    spans = [words(text) for text in texts]
    if not texts:
        return Encoded(tokens, [], [])
    offsets = tokenizer(
        list(texts),
        truncation=True,
        max_length=longest_row(tokenizer, max_length),
        return_offsets_mapping=True,
        return_attention_mask=False,
    )["offset_mapping"]
    first = []
    for own, pairs in zip(spans, offsets, strict=True):
        real = [at for at, (start, end) in enumerate(pairs) if end > start]
        ends = np.array([pairs[at][1] for at in real], dtype=np.int64)
        found = np.searchsorted(ends, [start for start, _ in own], side="right")
        first.append(np.array([real[at] for at in found if at < len(real)], dtype=np.int64))
    return Encoded(tokens, spans, first)


def joint_labels(
    encoded: Encoded, intents: Sequence[int], tags: Sequence[Sequence[int]]
) -> npt.NDArray[np.int64]:
    """The targets of the joint model: the intent, then per token position the tag of the word that starts there.

    Returns (N, 1 + longest row) int64; `IGNORED` at positions where no word starts.
    """
    width = int(encoded.tokens.lengths.max(initial=0))
    labels = np.full((len(encoded), 1 + width), IGNORED, dtype=np.int64)
    labels[:, 0] = intents
    for row, (positions, own) in enumerate(zip(encoded.first, tags, strict=True)):
        labels[row, 1 + positions] = own[: len(positions)]
    return labels
