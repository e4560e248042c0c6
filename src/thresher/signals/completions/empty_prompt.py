"""The tokens that stand before a completion whose prompt is empty."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from thresher.errors import UserError


def empty_prompt(tokenizer: PreTrainedTokenizerBase, chat: bool) -> list[int]:
    """What the tokenizer makes of no prompt at all: the first of these that has a token.

    1. `chat`: the tokenizer's chat template of one empty user message, up to where the answer begins; else the empty text,
       which has a token where the tokenizer puts a first one before every text.
    2. The first token of a text (`bos_token`), or
    3. the end token (`eos_token`): in pretraining a new text follows it.

    So every completion token has something that predicts it, its first one included, with the prompt and without it: the two
    losses are means over the same tokens. Cherry LLM does the same where it scores an answer alone (its template remains before
    it, "### Response:"); 2 and 3 are how lm-evaluation-harness scores a text without a context.

    Raises UserError: the tokenizer has none of them.
    """
    if chat:
        messages = [{"role": "user", "content": ""}]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        found = tokenizer(text, add_special_tokens=False)["input_ids"]
    else:
        found = tokenizer("")["input_ids"]
        # An end token that the tokenizer adds to every text belongs to the completion.
        found = found[:-1] if len(found) > 1 and found[-1] == tokenizer.eos_token_id else found
    if found:
        return [int(token) for token in found]
    first = tokenizer.bos_token_id if tokenizer.bos_token_id is not None else tokenizer.eos_token_id
    if first is None:
        raise UserError(
            "the tokenizer has neither a first nor an end token, so a completion cannot be scored without its prompt; set its"
            " eos_token"
        )
    return [int(first)]
