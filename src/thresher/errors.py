"""The exception that a user sees, and the kinds of it that code tells apart."""

from __future__ import annotations


class UserError(Exception):
    """Invalid input: one line that names the place and the remedy.

    The command line prints the message and exits with code 2; the Python API raises it.

    >>> raise UserError("train.jsonl: no column 'text'; it has id, utterance, label")
    Traceback (most recent call last):
    ...
    thresher.errors.UserError: train.jsonl: no column 'text'; it has id, utterance, label
    """


class NoColumn(UserError):
    """A source does not have the requested `column`."""

    def __init__(self, message: str, column: str = "") -> None:
        super().__init__(message)
        self.column = column
