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


@dataclass(frozen=True)
class Completions:
    """The token ids of N prompts and their completions, without padding.

    A completion ends with the end token where it was not cut. `truncated` (N,): whether it was. `pad`: the id that fills a batch.
    """

    prompts: list[np.ndarray]
    completions: list[np.ndarray]
    truncated: np.ndarray
    pad: int
    template: Template

    def __len__(self) -> int:
        return len(self.prompts)

    @property
    def lengths(self) -> np.ndarray:
        """Tokens per row, (N,)."""
        pairs = zip(self.prompts, self.completions, strict=True)
        return np.fromiter((len(a) + len(b) for a, b in pairs), np.int64, len(self))

    def take(self, rows: Sequence[int] | np.ndarray) -> Completions:
        """The tokens of some rows."""
        prompts, completions = ([one[i] for i in rows] for one in (self.prompts, self.completions))
        cut = self.truncated[np.asarray(rows, np.int64)]
        return Completions(prompts, completions, cut, self.pad, self.template)

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

    Raises
    ------
    UserError
        chat messages, or `chat`, for a model without a chat template.
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

    Raises
    ------
    UserError
        a chat template that writes a completion into its prompt; completions of which the tokenizer makes no token; rows of
        whose completion nothing is left.
    """
    encode = by_chat if template == "chat" else by_text
    pairs = encode(rows, tokenizer)
    refuse_no_tokens(rows, tokenizer, [completion for _, completion in pairs])
    prompts, completions, cut = [], [], np.zeros(len(pairs), bool)
    for row, (prompt, completion) in enumerate(pairs):
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
    return Completions(prompts, completions, cut, int(pad), template)


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


def by_text(rows: Rows, tokenizer: PreTrainedTokenizerBase) -> list[tuple[list[int], list[int]]]:
    """Prompt and completion of each row, tokenised one after the other, with the end token."""
    prompt, completion = (rows.table[name].to_list() for name in rows.text)
    before = tokenizer(prompt)["input_ids"]
    after = tokenizer(completion, add_special_tokens=False)["input_ids"]
    start, end = start_of(tokenizer), tokenizer.eos_token_id
    # Some tokenizers end every text with their end token: the completion alone is to have it.
    before = [one[:-1] if one and one[-1] == end else one for one in before]
    return [(a or start, [*b, end]) for a, b in zip(before, after, strict=True)]


def start_of(tokenizer: PreTrainedTokenizerBase) -> list[int]:
    """What stands in the place of an empty prompt: the first completion token needs one to be predicted from."""
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    return [int(first)]


def by_chat(rows: Rows, tokenizer: PreTrainedTokenizerBase) -> list[tuple[list[int], list[int]]]:
    """Prompt and completion of each row as the chat template writes them; a completion ends with its first end token."""
    texts = zip(*written(rows, tokenizer), strict=True)
    before, after = (tokenizer(list(part), add_special_tokens=False)["input_ids"] for part in texts)
    end = tokenizer.eos_token_id
    cut = [one[: one.index(end) + 1] if end in one else [*one, end] for one in after]
    return list(zip(before, cut, strict=True))


def ends_of_tokens(rows: Rows, tokenizer: PreTrainedTokenizerBase, tokens: Completions) -> np.ndarray | None:
    """Where in its completion each completion token ends, in characters: an array per row; (N,).

    Tokens that a chat template adds after the completion, and the end token, end where the completion does. None for a
    tokenizer that does not tell (`is_fast` is False).
    """
    if not tokenizer.is_fast:
        return None
    completions = rows.table[rows.text[1]].to_list()
    texts = completions
    if tokens.template == "chat":
        texts = [rest for _, rest in written(rows, tokenizer)]
    offsets = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    found = np.empty(len(rows), object)
    for row, (text, completion, spans) in enumerate(zip(texts, completions, offsets, strict=True)):
        # A template may strip the completion, or write something before it.
        start = max(0, text.find(completion.strip())) - (len(completion) - len(completion.lstrip()))
        ends = np.array([end - start for _, end in spans], np.int64)
        own = np.full(len(tokens.completions[row]), len(completion), np.int64)
        own[: len(ends)] = ends[: len(own)]
        found[row] = np.maximum.accumulate(own.clip(0, len(completion))).astype(np.uint32)
    return found


def written(rows: Rows, tokenizer: PreTrainedTokenizerBase) -> list[tuple[str, str]]:
    """Each chat as the template writes it: up to the start of its last message, and the rest."""
    chats = (prompt_and_whole(tokenizer, chat) for chat in chats_of(rows))
    return [(prompt, whole[len(prompt) :]) for prompt, whole in chats]


def prompt_and_whole(tokenizer: PreTrainedTokenizerBase, chat: list[dict[str, str]]) -> tuple[str, str]:
    """A chat up to the start of its last message, and the whole of it.

    Raises
    ------
    UserError
        the template does not take these messages, or does not write the one as the start of the other.
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
