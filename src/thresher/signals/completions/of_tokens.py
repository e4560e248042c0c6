"""Tokenised completions as rows of the measuring pass."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from thresher.models.completions import Completions
from thresher.signals.completions.empty_prompt import empty_prompt
from thresher.signals.completions.rows import CompletionTokensOfRows


def rows_to_measure(tokens: Completions, tokenizer: PreTrainedTokenizerBase) -> CompletionTokensOfRows:
    """The same rows, with the empty prompt of their template."""
    return CompletionTokensOfRows(
        [one.tolist() for one in tokens.prompts],
        [one.tolist() for one in tokens.completions],
        empty_prompt(tokenizer, chat=tokens.template == "chat"),
    )
