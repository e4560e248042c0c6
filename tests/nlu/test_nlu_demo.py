"""The rows of the five-minute example."""

from __future__ import annotations

from pathlib import Path

import pytest

from thresher.nlu.demo import home_rows
from thresher.nlu.rows import load_utterances, save_utterances

pytest.importorskip("home_assistant_intents")


def test_the_rows_are_read_back_unchanged_and_no_test_text_is_trained_on(tmp_path: Path) -> None:
    train, test = home_rows(per_intent=10)
    for name, rows in (("train", train), ("test", test)):
        save_utterances(rows, tmp_path / f"{name}.jsonl")
        again = load_utterances(tmp_path / f"{name}.jsonl").rows
        columns = ["id", "text", "domain", "intent", "slots"]
        assert again.select(columns).equals(rows.select(columns))
    assert not set(train["text"]) & set(test["text"])
