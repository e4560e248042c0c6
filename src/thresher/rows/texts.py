"""Load rows whose target is a text: prompts and completions, or chat messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from thresher.errors import UserError
from thresher.rows import validate
from thresher.rows.given_names import check_names, names_given
from thresher.rows.ids import content_id_column
from thresher.rows.read.sheet import Cells, Sheet
from thresher.rows.sheets import given_ids, read_sheets, selected_rows
from thresher.rows.table import ID, Rows
from thresher.wording import shown

if TYPE_CHECKING:
    from thresher.rows.sheets import Data

# The one class of rows whose target is a text, and the column of their messages as JSON.
TEXT = "text"
MESSAGES = "messages as JSON"
LAST = "assistant"
NAMES = ("prompt", "completion")


def load_texts(
    source: Data,
    *,
    prompt: str | None = None,
    completion: str | None = None,
    messages: str | None = None,
    id: str | None = None,
    groups: str | Iterable[str] | None = (),
    where: str | Iterable[str] = (),
) -> Rows:
    """Read and check rows with a prompt and a completion, or with chat messages.

    Parameters
    ----------
    source
        as `load` takes it.
    prompt, completion
        the names of the two columns, by default "prompt" and "completion": texts, or lists of messages as trl takes them.
    messages
        instead, the name of a column of chat messages: lists of {"role", "content"}, also written as JSON. The last message is
        the completion, and must be the assistant's; those before it are the prompt.
    id, groups, where
        as `load` takes them.

    Returns
    -------
    Rows
        with the task "text": the columns id, prompt, completion and groups, and a constant label.

    Raises
    ------
    UserError
        one line that names file, line or column and the remedy: a missing column, an empty completion, messages without content
        or without a last message of the assistant.

    >>> frame = pl.DataFrame({"prompt": ["2 + 2?", "Capital of Peru?"], "completion": ["4", "Lima"]})
    >>> rows = load_texts(frame)
    >>> rows.task, rows.text, len(rows)
    ('text', ('prompt', 'completion'), 2)
    """
    names = names_given(groups, "groups")
    texts = NAMES if messages else (prompt or NAMES[0], completion or NAMES[1])
    given = (messages,) if messages else texts
    label = "label" if "label" not in (*texts, *names) else "target"
    check_names(given, label, id, names)
    wanted = (*given, *names, *([id] if id else []))
    sheets, origin, selected, place = read_sheets(source, wanted, where, "prompts and completions")
    columns = columns_of(sheets, given, messages)
    refuse_empty(columns[texts[1]], place)
    columns |= {column: pl.concat([validate.group(sheet, column) for sheet in sheets]) for column in names}
    if id is None:
        own = [MESSAGES] if MESSAGES in columns else list(texts)
        kinds = pl.Series([TEXT] * len(columns[texts[0]]))
        ids = content_id_column(zip(*(columns[column] for column in own), strict=True), kinds)
    else:
        ids = given_ids(sheets, id, place)
    table = pl.DataFrame({ID: ids, **columns}).with_columns(pl.lit(TEXT).alias(label))
    return Rows(table, texts, label, names, (TEXT,), selected_rows(origin, selected), False, task="text")


def columns_of(sheets: list[Sheet], given: tuple[str, ...], messages: str | None) -> dict[str, pl.Series]:
    """The columns of texts: prompt and completion, and of chats the messages as JSON.

    A prompt and a completion may also be lists of messages, as trl takes them: together they are a chat.
    """
    if messages is None and not any(map(in_messages, (sheet.columns[given[0]] for sheet in sheets))):
        return {column: pl.concat([validate.texts(sheet, column) for sheet in sheets]) for column in given}
    names = NAMES if messages else given
    chats = []
    for sheet in sheets:
        for row, values in enumerate(zip(*(sheet.columns[column] for column in given), strict=True)):
            place = sheet.place(row)
            turns = [
                turn
                for value, column in zip(values, given, strict=True)
                for turn in turns_of(value, place, column)
            ]
            chats.append(chat_of(turns, place, " + ".join(given)))
    return {
        names[0]: pl.Series([as_prompt(chat[:-1]) for chat in chats], dtype=pl.String),
        names[1]: pl.Series([chat[-1]["content"] for chat in chats], dtype=pl.String),
        MESSAGES: pl.Series([json.dumps(chat, ensure_ascii=False) for chat in chats], dtype=pl.String),
    }


def in_messages(values: Cells) -> bool:
    """Whether a column of prompts has lists of messages, and not texts."""
    return any(isinstance(value, list | tuple | np.ndarray) for value in values)


def turns_of(value: object, place: str, column: str) -> list[object]:
    """The messages of a cell, which may be written as JSON."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except ValueError as error:
            raise UserError(
                f"{place}: column '{shown(column)}' is text and no JSON ({shown(error)})"
            ) from error
    return list(value) if isinstance(value, list | tuple | np.ndarray) else []


def chat_of(turns: list[Any], place: str, column: str) -> list[dict[str, str]]:
    """The messages of one row.

    Raises UserError: one has no role or no text, or the last is not the assistant's.

    >>> chat_of([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}], "line 1", "messages")[-1]
    {'role': 'assistant', 'content': 'Hello'}
    """
    for turn in turns:
        if not isinstance(turn, Mapping) or not isinstance(turn.get("role"), str):
            raise UserError(
                f"{place}: a message of column '{shown(column)}' has no role; it needs role and content"
            )
        if not isinstance(turn.get("content"), str):
            raise UserError(
                f"{place}: the message of '{shown(turn['role'])}' in column '{shown(column)}' has no text as its content"
                " (images and tool calls are not supported)"
            )
    if len(turns) < 2 or turns[-1]["role"] != LAST:
        last = f"the last is of '{shown(turns[-1]['role'])}'" if turns else "there are none"
        raise UserError(
            f"{place}: column '{shown(column)}' needs messages of which the last one is the {LAST}'s, after at least one other;"
            f" {last}"
        )
    return [{"role": str(turn["role"]), "content": str(turn["content"])} for turn in turns]


def as_prompt(turns: list[dict[str, str]]) -> str:
    """The messages before the last as one text to read: the content of a single one, else with the roles.

    >>> as_prompt([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}])
    'system: Be brief.\\nuser: Hi'
    """
    if len(turns) == 1:
        return turns[0]["content"]
    return "\n".join(f"{turn['role']}: {turn['content']}" for turn in turns)


def refuse_empty(completions: pl.Series, place: Callable[[int], str]) -> None:
    """Refuse rows without a completion: there is nothing to learn from them."""
    empty = completions.str.strip_chars() == ""
    if empty.any():
        count, first = int(empty.sum()), int(empty.arg_max() or 0)
        rows = f"the {count:,} rows like it" if count > 1 else "the row"
        raise UserError(f"{place(first)}: empty completion; drop {rows} with --where, or fill it in")
