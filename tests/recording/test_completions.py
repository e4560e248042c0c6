"""Recording a language model: what is recorded of a row is what the row alone gives, and the training is not changed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from transformers import Trainer

import thresher as th
import tiny_language as make
import tiny_trainers
from thresher.recording.completion_tokens import values_of

Build = Callable[[Path], Trainer]


def plain(kind: str, **more: Any) -> Build:
    return lambda folder: make.plain_trainer(make.language_model(kind), folder, **more)


def lora(kind: str, task: str | None, **more: Any) -> Build:
    return lambda folder: make.plain_trainer(make.adapted(make.language_model(kind), task), folder, **more)


def sft(kind: str, rows: Callable[[], Dataset] | None = None, **more: Any) -> Build:
    return lambda folder: make.sft_trainer(make.language_model(kind), folder, rows and rows(), **more)


def sft_lora(kind: str, task: str | None, **more: Any) -> Build:
    return lambda folder: make.sft_trainer(make.adapted(make.language_model(kind), task), folder, **more)


SETUPS: dict[str, Build] = {
    "Qwen2": plain("qwen2"),
    "Llama, padded on the left, accumulated": plain("llama", side="left", gradient_accumulation_steps=2),
    "Qwen2, rows laid end to end": plain("qwen2", flat=True),
    "Llama with LoRA": lora("llama", "CAUSAL_LM"),
    "Qwen2 with LoRA without task_type": lora("qwen2", None, gradient_accumulation_steps=2),
    "trl, Qwen2": sft("qwen2"),
    "trl, Llama, accumulated, without checkpointing": sft(
        "llama", gradient_accumulation_steps=2, gradient_checkpointing=False
    ),
    "trl, Qwen2 with LoRA": sft_lora("qwen2", "CAUSAL_LM"),
    "trl, Llama with LoRA without task_type": sft_lora("llama", None, gradient_accumulation_steps=2),
    "trl, padding_free": sft("qwen2", padding_free=True, max_length=None),
    "trl, assistant_only_loss": sft("llama", make.messages, assistant_only_loss=True),
    "trl, all tokens": sft("qwen2", completion_only_loss=False),
}
SAME = ("loss", "entropy", "accuracy", "error_norm")


@pytest.mark.parametrize("name", SETUPS)
def test_what_is_recorded_is_what_each_row_alone_gives_and_the_weights_stay(name, tmp_path):
    unwatched = SETUPS[name](tmp_path / "plain")
    unwatched.train()
    trainer = SETUPS[name](tmp_path / "t")
    th.watch(trainer, tmp_path / "run")
    noted = make.note_steps(trainer)
    trainer.train()
    expected, found = unwatched.model.state_dict(), trainer.model.state_dict()
    assert all(torch.equal(expected[name], found[name]) for name in expected)

    signals, _ = tiny_trainers.signals_of(tmp_path / "run")
    assert signals.height == len(noted) == make.ROWS
    columns = SAME if name.startswith("trl") else (*SAME, "margin")
    for row, visits in noted.items():
        line = signals.row(row, named=True)
        assert line["id"] == str(row)
        for column in columns:
            values = [visit[column] for visit in visits]
            np.testing.assert_allclose(line[column], values, rtol=1e-5, atol=1e-6, err_msg=column)
        tokens = np.array([visit["tokens"] for visit in visits])
        assert line["correct"] == tokens.all(1).tolist()
        assert line["n_completion"] == tokens.shape[1]
        assert line["n_tokens"] == visits[0]["length"]
        assert line["tokens_forgotten"] == (tokens[:-1] & ~tokens[1:]).sum()
        assert line["tokens_never_right"] == (~tokens.any(0)).sum()
    assert "LoRA" in name or signals["tokens_forgotten"].sum() > 0
    assert ("margin" in signals.columns) == ("margin" in columns)


def test_the_table_in_the_docs_is_that_of_these_tests():
    page = Path(__file__).parents[2] / "docs" / "reference" / "works-with.md"
    section = page.read_text(encoding="utf-8").partition("## Language models")[2].partition("\n## ")[0]
    assert re.findall(r"^\| (.+) \|$", section, re.MULTILINE)[1:] == list(SETUPS)


def values(logits: torch.Tensor, labels: list[int]) -> dict[str, torch.Tensor]:
    return values_of(logits.clone(), torch.arange(len(logits)), torch.tensor(labels))


@pytest.mark.parametrize("mixed", [False, True], ids=["float32", "under autocast"])
def test_values_of_tokens_in_a_wide_vocabulary_are_those_of_float64(mixed):
    """Also of a token that is almost certain, whose error is what is left beside it."""
    logits = 3 * torch.randn(6, 50_000, generator=torch.Generator().manual_seed(0))
    labels = [0, 7, 49_999, 11, 12, 13]
    logits[3, 11], logits[4, 12] = 40.0, 25.0
    with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
        found = values(logits, labels)
    p = torch.softmax(logits.double(), -1)
    others = p.clone()
    others[range(6), labels] = 0
    expected = {
        "log_probability": torch.log_softmax(logits.double(), -1)[range(6), labels],
        "entropy": -(p * torch.log_softmax(logits.double(), -1)).sum(-1),
        "error_norm": (others.square().sum(-1) + others.sum(-1).square()).sqrt(),
    }
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6, err_msg=name)


def test_of_equal_logits_the_first_token_is_the_predicted_one():
    logits = torch.tensor([[1.0, 3.0, 3.0], [1.0, 3.0, 3.0], [2.0, 1.0, 0.0]])
    assert values(logits, [1, 2, 0])["right"].tolist() == [True, False, True]
