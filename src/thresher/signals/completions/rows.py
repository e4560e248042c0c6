"""Rows whose target is a text, as tokens, and batches of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from thresher.errors import UserError


@dataclass(frozen=True)
class CompletionTokensOfRows:
    """N rows: the token ids of each prompt and of each completion, the completion with its end token.

    A model reads prompt and completion as one line; the completion tokens are what it is measured on. `empty_prompt` are the
    tokens that stand before a completion without its prompt, for `loss_alone`; see `empty_prompt()`.

    Raises UserError: a row whose prompt or completion has no token.

    >>> rows = CompletionTokensOfRows(prompts=[[5, 6], [7]], completions=[[8, 2], [9, 9, 2]])
    >>> len(rows), rows.lengths.tolist()
    (2, [4, 4])
    """

    prompts: Sequence[Sequence[int]]
    completions: Sequence[Sequence[int]]
    empty_prompt: Sequence[int] = ()
    lengths: NDArray[np.int64] = field(init=False, repr=False)  # (N,) tokens of prompt and completion
    n_completion: NDArray[np.int64] = field(init=False, repr=False)  # (N,) tokens of the completion

    def __post_init__(self) -> None:
        if len(self.prompts) != len(self.completions):
            raise UserError(f"there are {len(self.prompts)} prompts and {len(self.completions)} completions")
        for row, (prompt, completion) in enumerate(zip(self.prompts, self.completions, strict=True)):
            if not len(completion):
                raise UserError(f"row {row}: the completion has no token; leave the row out")
            if not len(prompt):
                raise UserError(
                    f"row {row}: the prompt has no token, so nothing predicts the first one of the completion; begin it with"
                    " the tokens of the empty prompt"
                )
        n_completion = np.array([len(completion) for completion in self.completions], np.int64)
        object.__setattr__(self, "n_completion", n_completion)
        object.__setattr__(
            self, "lengths", n_completion + np.array([len(prompt) for prompt in self.prompts], np.int64)
        )

    def __len__(self) -> int:
        return len(self.prompts)

    def without_prompts(self) -> CompletionTokensOfRows:
        """The same completions after the empty prompt.

        Raises UserError: there is no empty prompt.
        """
        if not len(self.empty_prompt):
            raise UserError(
                "loss_alone needs the tokens of the empty prompt, those that stand before a completion without its prompt"
            )
        return replace(self, prompts=[self.empty_prompt] * len(self))

    def batch(self, rows: NDArray[np.int64], device: torch.device) -> CompletionBatch:
        """Some rows, padded at the end to the longest of them."""
        width = int(self.lengths[rows].max())
        ids = np.zeros((len(rows), width), np.int64)
        mask = np.zeros((len(rows), width), np.int64)
        places = []
        for line, row in enumerate(rows.tolist()):
            prompt, completion = self.prompts[row], self.completions[row]
            end = len(prompt) + len(completion)
            ids[line, : len(prompt)], ids[line, len(prompt) : end], mask[line, :end] = prompt, completion, 1
            places.append(line * width + np.arange(len(prompt), end))
        at = torch.from_numpy(np.concatenate(places)).to(device)
        tokens = torch.from_numpy(ids).to(device)
        return CompletionBatch(
            inputs={
                "input_ids": tokens,
                "attention_mask": torch.from_numpy(mask).to(device),
                "position_ids": torch.arange(width, device=device).expand(len(rows), width),
            },
            labels=tokens.flatten()[at],
            places=at - 1,
            row=at // width,
            number=torch.from_numpy(self.n_completion[rows]).to(device),
        )


@dataclass(frozen=True)
class CompletionBatch:
    """B rows of at most T tokens, with n completion tokens in all.

    `inputs`: what the model takes, each (B, T). Of each completion token, row after row, `labels` (n,) is its id, `places` (n,)
    the position that predicts it, in B x T, and `row` (n,) its row in the batch. `number` (B,): completion tokens of each row.
    """

    inputs: dict[str, Tensor]
    labels: Tensor
    places: Tensor
    row: Tensor
    number: Tensor
