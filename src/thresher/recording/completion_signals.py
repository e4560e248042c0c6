"""The signals of rows whose target is a text: what their completion tokens gave, as one number per row."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from thresher.recording.completion_tokens import CompletionTokens, rows_of_tokens
from thresher.recording.step import Step


def completion_signals(step: Step) -> dict[str, Tensor]:
    """Of B rows, means over the completion tokens of each; (B,) but for `token_right`.

    `loss`: cross-entropy, in nats. `error_norm`: |softmax - onehot|, the EL2N of a token. `margin`: the logit of the token minus
    the largest other one. `entropy`: of the predicted distribution, in nats. `accuracy`: share of the tokens that are the most
    probable ones; `correct`: whether all are. `n_completion`: their number; a row of none gets 0, and no record.
    `token_right` (B, L): whether each of the at most L tokens was right, False after the last one. `n_tokens`: with the prompt.
    """
    tokens = step.completion
    assert tokens is not None
    number = torch.bincount(tokens.row, minlength=len(step.rows))
    by_row = Places(tokens.row, number)
    return token_means(vars(tokens), by_row) | {"n_completion": number, "n_tokens": row_lengths(step)}


def token_means(values: Mapping[str, Tensor | None], by_row: Places) -> dict[str, Tensor]:
    """What is kept of rows from the values of their tokens (n,) that there are; see `completion_signals`."""
    log_probability, right = values["log_probability"], values["right"]
    assert log_probability is not None and right is not None
    means = {"loss": -log_probability, "accuracy": right.float()}
    means |= {
        name: found for name in ("entropy", "error_norm", "margin") if (found := values[name]) is not None
    }
    was_right = by_row.spread(right)
    return {
        **{name: by_row.mean(found) for name, found in means.items()},
        "correct": was_right.sum(1) == by_row.number,
        "token_right": was_right,
    }


class Places:
    """Where the tokens of a batch stand in a matrix with a line per row.

    `row` (n,) is the row of each, `number` (B,) how many a row has.
    """

    def __init__(self, row: Tensor, number: Tensor) -> None:
        self.row, self.number = row, number
        self.column = torch.arange(len(row), device=row.device) - (number.cumsum(0) - number)[row]
        self.width = int(number.max()) if len(row) else 0

    def spread(self, values: Tensor) -> Tensor:
        """Values (n,) as a matrix (B, L), 0 where a row has no token."""
        matrix = values.new_zeros(len(self.number), self.width)
        matrix[self.row, self.column] = values
        return matrix

    def mean(self, values: Tensor) -> Tensor:
        """The mean over the tokens of each row, (B,); the same whatever rows are in the batch."""
        return (self.spread(values.double()).sum(1) / self.number.clamp(min=1)).float()


def row_lengths(step: Step) -> Tensor:
    """The number of tokens of each row with its prompt, (B,); those of its line where nothing says which of them are padding."""
    if step.mask is not None and step.mask.shape == step.target.shape and len(step.target) == len(step.rows):
        return step.mask.sum(1)
    rows = rows_of_tokens(step).flatten()
    return torch.bincount(rows, minlength=len(step.rows))[: len(step.rows)]


def packed(right: np.ndarray, number: np.ndarray) -> np.ndarray:
    """Rows of truth values (B, L), of which the first `number` (B,) count, as bytes of 8 bits each; (B,) objects.

    >>> packed(np.array([[True, False, True], [True, False, False]]), np.array([3, 1])).tolist()
    [b'\\xa0', b'\\x80']
    """
    bits = np.packbits(right, axis=1)
    found = np.empty(len(bits), object)
    found[:] = [line[: -(-int(count) // 8)].tobytes() for line, count in zip(bits, number, strict=True)]
    return found


def forgotten(token_right: list[bytes], number: np.ndarray, row: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many tokens went from right to wrong at each record since the one before of the same row; and which were ever right.

    `token_right` and `number` of R records in order of `row` (R,) and time. The first is (R,), 0 at the first record of a row;
    the second counts, at the last record of a row, its tokens that were right at none of its records, and is 0 elsewhere.
    A record with another number of tokens than the one before it, as a random cut makes, begins anew.

    >>> bits, three = [b"\\xe0", b"\\xa0", b"\\xc0", b"\\x00"], np.array([3, 3, 3, 3])
    >>> [one.tolist() for one in forgotten(bits, three, np.array([0, 0, 0, 5]))]
    [[0, 1, 1, 0], [0, 0, 0, 3]]
    """
    events, never = np.zeros(len(number), np.int64), np.zeros(len(number), np.int64)
    ever = before = np.empty(0, np.uint8)
    for i, bits in enumerate(token_right):
        now = np.frombuffer(bits, np.uint8)
        same = i > 0 and row[i] == row[i - 1] and number[i] == number[i - 1]
        if same:
            events[i] = np.bitwise_count(before & ~now).sum()
        ever = ever | now if same else now
        before = now
        if i + 1 == len(number) or row[i + 1] != row[i]:
            never[i] = number[i] - np.bitwise_count(ever).sum()
    return events, never


__all__ = ["CompletionTokens", "Places", "completion_signals", "forgotten", "packed", "row_lengths"]
