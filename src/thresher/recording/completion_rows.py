"""The dataset of a recorded language model as the rows of a run folder: ids, prompts, completions, and the user's own columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl
import pyarrow as pa
from numpy.typing import NDArray
from transformers import Trainer

from thresher.recording.datasets import column_names, plain, tokenizer_of
from thresher.recording.hf_compat import places_before
from thresher.recording.language_models import trl_trainer
from thresher.recording.step import IGNORED
from thresher.rows import Rows
from thresher.rows.table import Source

# The one class of rows whose target is a text.
TEXT = "text"
# What a preparation of the dataset adds; the rows to train on again are without it.
TOKENS = (
    "input_ids",
    "labels",
    "attention_mask",
    "token_type_ids",
    "position_ids",
    "completion_mask",
    "assistant_masks",
)
# Whole texts without a prompt, by their usual names.
WHOLE = ("text", "content")


def completion_rows(
    trainer: Trainer, ids: pl.Series, places: NDArray[np.int64], numbers: NDArray[np.int64]
) -> Rows:
    """The rows `numbers` (N,) of the dataset: id, prompt and completion.

    What a selection writes back is the place in the dataset that the user gave (`places` are those of all rows), the id, and the
    columns of the dataset, without those of tokens where there are others.
    """
    prompts, completions = prompts_and_completions(trainer)
    texts = {"prompt": prompts, "completion": completions} if any(prompts) else {"completion": completions}
    table = pl.DataFrame([ids, *(pl.Series(name, values, dtype=pl.String) for name, values in texts.items())])
    table = table[numbers].with_columns(label=pl.lit(TEXT))
    memory = own_columns(trainer.train_dataset, numbers)
    own = memory.column_names if memory is not None else []
    written = pa.table({"index": places[numbers], **({} if "id" in own else {"id": table["id"].to_arrow()})})
    for name in own or list(texts):
        column = memory[name] if memory is not None else table[name].to_arrow()
        if name not in written.column_names:
            written = written.append_column(name, column)
    source = Source("frame", memory=written)
    return Rows(table, tuple(texts), "label", (), (TEXT,), source, False, task="text")


def own_columns(dataset: object, numbers: NDArray[np.int64]) -> pa.Table | None:
    """The columns of some rows, those of tokens only where there are no others; None of a dataset without named columns."""
    names = column_names(dataset)
    if not names or not hasattr(dataset, "select_columns"):
        return None
    chosen = [name for name in names if name not in TOKENS] or list(names)
    if not set(chosen) - {"id", "source", "index"}:
        chosen = list(names)
    return dataset.select_columns(chosen).select(numbers).with_format("arrow")[:]


def prompts_and_completions(trainer: Trainer) -> tuple[list[str], list[str]]:
    """The prompt and the completion of every row of the dataset as texts; a prompt is "" where there is none.

    They are the columns of that name; without them the tokens before the first label and those from there on, decoded; without
    tokens the text.
    """
    dataset = trainer.train_dataset
    values, names, given = plain(dataset), column_names(dataset), tokenizer_of(trainer)
    tokenizer = getattr(given, "tokenizer", given)  # that of a processor
    if "prompt" in names and "completion" in names:
        end = str(getattr(tokenizer, "eos_token", None) or "")
        completions = [as_text(one) for one in values["completion"]]
        return [as_text(one) for one in values["prompt"]], [
            one.removesuffix(end) if end else one for one in completions
        ]
    if "input_ids" in names and tokenizer is not None and hasattr(tokenizer, "batch_decode"):
        tokens = list(values["input_ids"])
        labels = list(values["labels"]) if "labels" in names else tokens
        cuts = [first_label(label) for label in labels]
        pieces = list(zip(tokens, cuts, strict=True))
        parts = ([one[:cut] for one, cut in pieces], [one[cut:] for one, cut in pieces])
        prompts, completions = (tokenizer.batch_decode(part, skip_special_tokens=True) for part in parts)
        return prompts, completions
    whole = next((name for name in WHOLE if name in names), None)
    count = len(dataset)
    texts = [as_text(one) for one in values[whole]] if whole else [f"row {row}" for row in range(count)]
    return [""] * count, texts


def first_label(labels: Sequence[int]) -> int:
    """The place of the first label that is not ignored; the length where all are.

    >>> first_label([-100, -100, 7, -100, 8])
    2
    """
    return next((at for at, label in enumerate(labels) if label != IGNORED), len(labels))


def as_text(value: object) -> str:
    """A text, or the contents of messages one below the other.

    >>> as_text([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}])
    'Hi\\nHello'
    """
    if isinstance(value, Iterable) and not isinstance(value, str):
        return "\n".join(str(one.get("content", "")) if isinstance(one, dict) else str(one) for one in value)
    return str(value)


def places_of(trainer: Trainer) -> tuple[NDArray[np.int64], int]:
    """The place of each row of the dataset in the one that the user gave, (N,), and how many rows that had.

    `SFTTrainer` leaves out rows of which truncation leaves no label, and moves rows with `shuffle_dataset`; both are selections
    from a table with a line per given row, where it has made one. Elsewhere the dataset is the user's own.
    """
    dataset, args = trainer.train_dataset, trainer.args
    kwargs = getattr(args, "dataset_kwargs", None) or {}
    prepared = trl_trainer(trainer) == "SFTTrainer" and not kwargs.get("skip_prepare_dataset", False)
    if prepared and getattr(args, "max_length", None) is not None:
        before = places_before(dataset)
        if before is not None:
            return before, len(dataset.data)
    return np.arange(len(dataset)), len(dataset)


def left_out(trainer: Trainer, named: bool) -> str:
    """What `SFTTrainer` did to the rows that it was given; "" where it left them as they were. `named`: by a column of ids."""
    (places, given), args = places_of(trainer), trainer.args
    shuffled = getattr(args, "shuffle_dataset", False) and trl_trainer(trainer) == "SFTTrainer"
    if len(places) < given:
        by = "" if named else "; rows are named by their places in the dataset that it was given"
        cut = f"max_length={getattr(args, 'max_length', None)}"
        return f"SFTTrainer left out {given - len(places):,} of {given:,} rows, whose completions {cut} cuts off{by}"
    if shuffled and not named and (places == np.arange(given)).all():
        return (
            "shuffle_dataset moved the rows, which are named by their places in trainer.train_dataset; give the dataset a column"
            " `id` to know them by"
        )
    return ""
