"""What a proof reads off held-out completions, and what it says."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from thresher.experiments.compare_texts import contrast, look
from thresher.experiments.text_cells import measured_rows
from thresher.models.completions import tokenise_completions
from thresher.rows import load_texts
from tiny_language import language_model, pairs, tokenizer


def test_held_out_rows_one_at_a_time() -> None:
    """Loss and right tokens as the model gives them to each row alone; exact is what greedy decoding writes."""
    torch.manual_seed(0)
    model = language_model("llama")
    prompts, _ = pairs()
    encode = tokenizer()
    # The model's own answers for half of the rows: they are exactly right, the others are not.
    written = [greedy(model, encode, prompt, 4) for prompt in prompts]
    rows = load_texts(pl.DataFrame({"prompt": prompts, "completion": ["music stop"] * len(prompts)}))
    tokens = tokenise_completions(rows, encode, 64, "plain")
    tokens.completions[1::2] = [np.array(one) for one in written[1::2]]
    found = measured_rows(model, tokens, encode, 32)
    for row, (prompt, completion) in enumerate(zip(tokens.prompts, tokens.completions, strict=True)):
        ids = torch.tensor([[*prompt, *completion]])
        with torch.no_grad():
            logits = model(input_ids=ids).logits[0, len(prompt) - 1 : -1]
        target = torch.from_numpy(completion)
        loss = torch.nn.functional.cross_entropy(logits, target, reduction="sum")
        assert found["loss"][row] == pytest.approx(float(loss), rel=1e-4)
        assert found["right"][row] == int((logits.argmax(-1) == target).sum())
        assert found["tokens"][row] == len(completion)
        same = greedy(model, encode, prompts[row], len(completion)) == completion.tolist()
        assert found["exact"][row] == same
    assert 0 < found["exact"].sum() < len(found)


def greedy(model: Any, encode: Any, prompt: str, count: int) -> list[int]:
    """So many tokens after a prompt, each the most probable one."""
    ids = encode(prompt)["input_ids"]
    for _ in range(count):
        with torch.no_grad():
            ids = [*ids, int(model(input_ids=torch.tensor([ids])).logits[0, -1].argmax())]
    return ids[-count:]


def arms(rise: float, spread: float = 0.02) -> dict[str, dict[str, np.ndarray]]:
    """Arms of three seeds on 200 rows whose loss on the kept rows is higher by `rise` per token."""
    random = np.random.default_rng(0)
    size = random.integers(1, 20, 200).astype(float)
    base = random.gamma(2, 0.5, 200)

    def arm(more: float) -> dict[str, np.ndarray]:
        loss = (base + more + random.normal(0, spread, (3, 200))) * size
        right = np.rint(0.5 * size) + np.zeros((3, 1))
        return {
            "loss": loss,
            "right": right,
            "tokens": np.tile(size, (3, 1)),
            "exact": (loss < size).astype(float),
        }

    return {"full": arm(0.0), "kept": arm(rise), "random": arm(0.1)}


@pytest.mark.parametrize(("rise", "word"), [(0.0, "drop"), (0.2, "do not drop")])
def test_the_word_follows_from_the_rise_of_the_loss(rise: float, word: str) -> None:
    assert look(arms(rise), 3, 0.95, 0.02)["word"] == word


def test_a_wide_interval_decides_nothing() -> None:
    assert look(arms(0.0, spread=3.0), 3, 0.95, 0.02)["word"] in ("probably safe", "undecided")


def test_means_per_token_and_per_row() -> None:
    tested = arms(0.0)
    found = contrast(tested)["arms"]["full"]
    loss, size = tested["full"]["loss"], tested["full"]["tokens"]
    assert found["loss"]["values"] == pytest.approx([one.sum() / size[0].sum() for one in loss])
    assert found["exact"]["values"] == pytest.approx([one.mean() for one in tested["full"]["exact"]])
