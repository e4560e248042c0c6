"""Prompts and completions as tokens: each on its own, so that it is known which tokens a model is trained to write."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from thresher.errors import UserError
from thresher.rows import Rows
from thresher.rows.texts import MESSAGES
from thresher.wording import shown

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

IGNORED = -100
Template = Literal["chat", "plain"]
Spans = Sequence[tuple[int, int]]
# Of each row: the tokens of the prompt and of the completion, the text that the latter are of, and their places in it.
Encoded = tuple[list[list[int]], list[list[int]], list[str], list[Spans] | None]


@dataclass(frozen=True)
class Completions:
    """The token ids of N prompts and their completions, without padding.

    A completion ends with the end token where it was not cut. `truncated` (N,): whether it was. `pad`: the id that fills a batch.
    `ends`: where in its completion each completion token ends, in characters; None for a tokenizer that does not tell.
    """

    prompts: list[np.ndarray]
    completions: list[np.ndarray]
    truncated: np.ndarray
    pad: int
    template: Template
    ends: list[np.ndarray] | None

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens per row, (N,)."""
        pairs = zip(self.prompts, self.completions, strict=True)
        return np.fromiter((len(a) + len(b) for a, b in pairs), np.int64, len(self))

    def take(self, rows: Sequence[int] | np.ndarray) -> Completions:
        prompts, completions = ([one[i] for i in rows] for one in (self.prompts, self.completions))
        cut = self.truncated[np.asarray(rows, np.int64)]
        ends = None if self.ends is None else [self.ends[i] for i in rows]
        return Completions(prompts, completions, cut, self.pad, self.template, ends)

    def batch(self, rows: Sequence[int] | np.ndarray) -> dict[str, Tensor]:
        """Rows as a batch that is padded on the right: input_ids, attention_mask, and labels of the completion alone; (B, T)."""
        pairs = [(self.prompts[i], self.completions[i]) for i in rows]
        width = max(len(a) + len(b) for a, b in pairs)
        ids = np.full((len(pairs), width), self.pad, np.int64)
        mask, labels = np.zeros_like(ids), np.full_like(ids, IGNORED)
        for line, (prompt, completion) in enumerate(pairs):
            start, end = len(prompt), len(prompt) + len(completion)
            ids[line, :start], ids[line, start:end] = prompt, completion
            mask[line, :end], labels[line, start:end] = 1, completion
        named = {"input_ids": ids, "attention_mask": mask, "labels": labels}
        return {name: torch.from_numpy(values) for name, values in named.items()}


def template_of(tokenizer: PreTrainedTokenizerBase, wanted: str, rows: Rows) -> Template:
    """How rows become texts: by the model's chat template or one after the other.

    Raises UserError: chat messages, or `chat`, for a model without a chat template.
    """
    has, chats = bool(getattr(tokenizer, "chat_template", None)), MESSAGES in rows.table.columns
    if not has and (chats or wanted == "chat"):
        what = "chat messages need" if chats else "--set generate.template=chat needs"
        raise UserError(
            f"{what} a model with a chat template, and its tokenizer has none; give another --model, or a file with the columns"
            " prompt and completion"
        )
    return "chat" if chats or (has and wanted != "plain") else "plain"


def tokenise_completions(
    rows: Rows, tokenizer: PreTrainedTokenizerBase, max_length: int, template: Template
) -> Completions:
    """Tokenise rows whose target is a text.

        chat:   prompt = template(all messages but the last, and the start of an answer), completion = the rest, to its end token
        plain:  prompt = the prompt with the tokenizer's own start tokens, completion = its tokens and the end token

    A row of more than `max_length` tokens loses the end of its completion, never of its prompt.

    Raises UserError: a chat template that writes a completion into its prompt; completions of which the tokenizer makes no
    token; rows of whose completion nothing is left.
    """
    before, after, texts, spans = (by_chat if template == "chat" else by_text)(rows, tokenizer)
    refuse_no_tokens(rows, tokenizer, after)
    prompts, completions, cut = [], [], np.zeros(len(rows), bool)
    for row, (prompt, completion) in enumerate(zip(before, after, strict=True)):
        room = max(0, max_length - len(prompt))
        cut[row] = len(completion) > room
        prompts.append(np.asarray(prompt, np.int64))
        completions.append(np.asarray(completion[:room], np.int64))
    gone = [row for row, one in enumerate(completions) if not len(one)]
    if gone:
        first, tokens = rows.table["id"][gone[0]], len(prompts[gone[0]])
        raise UserError(
            f"{len(gone):,} rows have a prompt of {max_length} tokens or more, so nothing of their completions can be trained on"
            f" (first: '{shown(first)}', {tokens:,} tokens); raise --max-length, or drop them"
        )
    pad = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    ends = None
    if spans is not None:
        given = zip(rows.table[rows.text[1]].to_list(), texts, spans, map(len, completions), strict=True)
        ends = [ends_in(*one) for one in given]
    return Completions(prompts, completions, cut, int(pad), template, ends)


def refuse_no_tokens(
    rows: Rows, tokenizer: PreTrainedTokenizerBase, completions: Sequence[Sequence[int]]
) -> None:
    """Refuse rows whose completion is the end token alone."""
    end = tokenizer.eos_token_id
    none = [row for row, tokens in enumerate(completions) if all(token == end for token in tokens)]
    if none:
        raise UserError(
            f"the tokenizer makes no token of the completions of {len(none):,} of {len(rows):,} rows (first:"
            f" '{shown(rows.table['id'][none[0]])}', '{shown(rows.table[rows.text[1]][none[0]], 40)}'); does it belong to the"
            " model, and know the language of the rows? drop them, or give another --model"
        )


def by_text(rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Encoded:
    """Prompt and completion of each row, tokenised one after the other, with the end token."""
    prompt, completion = (rows.table[name].to_list() for name in rows.text)
    before = tokenizer(prompt)["input_ids"]
    after, spans = with_spans(tokenizer, completion)
    start, end = start_of(tokenizer), tokenizer.eos_token_id
    # Some tokenizers end every text with their end token: the completion alone is to have it.
    before = [one[:-1] if one and one[-1] == end else one for one in before]
    return [one or start for one in before], [[*one, end] for one in after], completion, spans


def start_of(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What stands in the place of an empty prompt: the first completion token needs one to be predicted from."""
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return [int(first)]


def by_chat(rows: Rows, tokenizer: PreTrainedTokenizerBase) -> Encoded:
    """Prompt and completion of each row as the chat template writes them; a completion ends with its first end token."""
    starts, rests = (list(part) for part in zip(*written(rows, tokenizer), strict=True))
    before = tokenizer(starts, add_special_tokens=False)["input_ids"]
    after, spans = with_spans(tokenizer, rests)
    end = tokenizer.eos_token_id
    cut = [one[: one.index(end) + 1] if end in one else [*one, end] for one in after]
    return before, cut, rests, spans


def with_spans(
    tokenizer: PreTrainedTokenizerBase, texts: list[str]
) -> tuple[list[list[int]], list[Spans] | None]:
    """The tokens of texts, without any that the tokenizer adds, and where in its text each begins and ends, if it tells."""
    found = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=bool(tokenizer.is_fast))
    return found["input_ids"], found.get("offset_mapping")


def ends_in(completion: str, text: str, spans: Spans, tokens: int) -> np.ndarray:
    """Where in its completion each of its tokens ends, in characters, from the spans of tokens in `text`; (tokens,).

    Tokens that a chat template adds after the completion, and the end token, end where the completion does.

    >>> ends_in("music on", "music on<end>", [(0, 5), (5, 8), (8, 13)], 3).tolist()
    [5, 8, 8]
    """
    # A template may strip the completion, or write something before it.
    start = max(0, text.find(completion.strip())) - (len(completion) - len(completion.lstrip()))
    own = np.full(tokens, len(completion), np.int64)
    ends = np.array([end - start for _, end in spans], np.int64)[:tokens]
    own[: len(ends)] = ends
    return np.maximum.accumulate(own.clip(0, len(completion))).astype(np.uint32)


def written(rows: Rows, tokenizer: PreTrainedTokenizerBase) -> list[tuple[str, str]]:
    """Each chat as the template writes it: up to the start of its last message, and the rest."""
    chats = (prompt_and_whole(tokenizer, chat) for chat in chats_of(rows))
    return [(prompt, whole[len(prompt) :]) for prompt, whole in chats]


def prompt_and_whole(tokenizer: PreTrainedTokenizerBase, chat: list[dict[str, str]]) -> tuple[str, str]:
    """A chat up to the start of its last message, and the whole of it.

    Raises UserError: the template does not take these messages, or does not write the one as the start of the other.
    """
    try:
        prompt = tokenizer.apply_chat_template(chat[:-1], tokenize=False, add_generation_prompt=True)
        whole = tokenizer.apply_chat_template(chat, tokenize=False)
    except Exception as error:  # templates raise what their authors chose
        raise UserError(
            f"the model's chat template does not take these messages ({shown(error, 100)}); see --messages"
        ) from error
    if not whole.startswith(prompt):
        raise UserError(
            "the model's chat template writes a chat with its answer otherwise than the start of it, so the completion cannot be"
            " told; add --set generate.template=plain, or give a template that adds to the end alone"
        )
    return prompt, whole


def chats_of(rows: Rows) -> Iterator[list[dict[str, str]]]:
    """The messages of each row: its own, or one of the user with the prompt and one of the assistant with the completion."""
    if MESSAGES in rows.table.columns:
        yield from map(json.loads, rows.table[MESSAGES])
        return
    for prompt, completion in rows.table.select(rows.text).iter_rows():
        yield [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
