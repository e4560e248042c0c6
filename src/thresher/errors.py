"""The one exception a user ever needs to see, and its kinds that code tells apart."""

from __future__ import annotations


class UserError(Exception):
    """A mistake in what was given: one line that names the place and the remedy.

    The command line prints the message and exits with code 2; the Python API raises it.

    >>> raise UserError("train.jsonl: no column 'text'; it has id, utterance, label")
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: train.jsonl: no column 'text'; it has id, utterance, label
    """


class NoColumn(UserError):
    """A column that a source does not have."""

    def __init__(self, message: str, column: str = "") -> None:
        super().__init__(message)
        self.column = column
