"""Rows whose target is a text: loading, audit, splitting and writing back."""

from __future__ import annotations

import json
import random
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from datasets import Dataset

from thresher.errors import UserError
from thresher.rows import audit, audit_lines, load_texts, read_rows, save_rows, write_back
from thresher.rows.split import hold_out

CHAT = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Capital of Peru?"},
    {"role": "assistant", "content": "Lima"},
]


def lines_of(path: Path, rows: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_prompts_and_completions(tmp_path: Path) -> None:
    source = lines_of(
        tmp_path / "a.jsonl",
        [{"q": "2 + 2?", "a": "4", "from": "sums"}, {"q": "3 + 3?", "a": "6", "from": "sums"}],
    )
    rows = load_texts(source, prompt="q", completion="a", groups="from")
    assert rows.task == "text" and rows.text == ("q", "a") and rows.groups == ("from",)
    assert rows.table["a"].to_list() == ["4", "6"]
    again = read_rows(save(rows, tmp_path))
    assert again.hash() == rows.hash() and again.task == "text"


def save(rows: object, folder: Path) -> Path:
    save_rows(rows, folder / "rows.parquet")  # type: ignore[arg-type]
    return folder / "rows.parquet"


@pytest.mark.parametrize("as_text", [False, True])
def test_messages(tmp_path: Path, as_text: bool) -> None:
    """Lists of messages, or JSON of them; the last one is the completion, the others are the prompt, with their roles."""
    chat: object = json.dumps(CHAT) if as_text else CHAT
    rows = load_texts(lines_of(tmp_path / "a.jsonl", [{"messages": chat}]), messages="messages")
    assert rows.table["prompt"][0] == "system: Be brief.\nuser: Capital of Peru?"
    assert rows.table["completion"][0] == "Lima"


def test_prompts_and_completions_that_are_messages(tmp_path: Path) -> None:
    """The conversational form of trl: the same rows as one list of messages."""
    apart = load_texts(lines_of(tmp_path / "a.jsonl", [{"prompt": CHAT[:2], "completion": CHAT[2:]}]))
    whole = load_texts(lines_of(tmp_path / "b.jsonl", [{"messages": CHAT}]), messages="messages")
    assert apart.table.equals(whole.table)
    frame = pl.DataFrame({"prompt": [CHAT[:2]], "completion": [CHAT[2:]]})
    assert load_texts(frame).table.equals(whole.table)
    assert load_texts(Dataset.from_polars(frame)).table.equals(whole.table)


def test_kept_chats_are_written_as_they_came(tmp_path: Path) -> None:
    """With every key that thresher does not read, byte for byte."""
    source = tmp_path / "chats.jsonl"
    source.write_text("".join(f'{{"messages":{json.dumps(CHAT)}, "n" :{n}}}\n' for n in range(3)))
    rows = load_texts(source, messages="messages")
    kept, _ = write_back(rows, np.array([True, False, True]), tmp_path / "kept")
    lines = source.read_text().splitlines(True)
    assert kept.read_text() == lines[0] + lines[2]


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ({"messages": CHAT[:2]}, "the last is of 'user'"),
        ({"messages": [CHAT[2]]}, "after at least one other"),
        ({"messages": []}, "there are none"),
        ({"messages": "no JSON"}, "is text and no JSON"),
        ({"messages": [{"content": "x"}, CHAT[2]]}, "has no role"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image"}]}, CHAT[2]]},
            "has no text as its content",
        ),
        ({"messages": [CHAT[1], {"role": "assistant", "content": " "}]}, "empty completion"),
        ({"message": CHAT}, "no column 'messages'"),
    ],
)
def test_bad_messages(tmp_path: Path, row: dict[str, object], said: str) -> None:
    source = lines_of(tmp_path / "bad.jsonl", [row])
    with pytest.raises(UserError, match=said) as error:
        load_texts(source, messages="messages")
    assert "\n" not in str(error.value) and "bad.jsonl" in str(error.value)


def test_a_prompt_with_two_completions_is_told() -> None:
    frame = pl.DataFrame(
        {"prompt": ["Hi", "hi ", "Bye", "Bye", ""], "completion": ["Hello", "Hey", "Ciao", "Ciao", "?"]}
    )
    found = audit(load_texts(frame))
    assert found["conflicting"]["texts"] == 1 and found["conflicting"]["rows"] == 2
    assert found["duplicates"]["rows"] == 1 and found["empty"]["rows"] == 1
    said = "\n".join(audit_lines(found))
    assert '1 prompt has more than one completion (2 rows), e.g. "Hi": "Hello", "Hey"' in said
    assert "class" not in said and "label" not in said


def test_nearly_equal_rows_are_told() -> None:
    """As a plain comparison of all pairs finds them; rows that are equal after `normalised` are repeats."""
    draw = random.Random(0)
    words = [
        "light",
        "kitchen",
        "turn",
        "on",
        "alarm",
        "seven",
        "jazz",
        "play",
        "stop",
        "window",
        "door",
        "hall",
    ]
    prompts = [" ".join(draw.choices(words, k=20)) for _ in range(60)]
    prompts += [prompt + " please" for prompt in prompts[:5]] + [prompts[9].upper(), prompts[11][:40]]
    rows = load_texts(pl.DataFrame({"prompt": prompts, "completion": ["Done"] * len(prompts)}))
    found = audit(rows)["near_equal"]

    def runs(text: str) -> set[str]:
        split = (text + " done").split()
        return {" ".join(split[i : i + 3]) for i in range(len(split) - 2)}

    expected = {
        (i, j)
        for j, second in enumerate(prompts)
        for i, first in enumerate(prompts[:j])
        if first.lower() != second.lower()
        and len(runs(first) & runs(second)) >= 0.8 * len(runs(first) | runs(second))
    }
    assert expected == {(i, 60 + i) for i in range(5)}
    ids = rows.table["id"].to_list()
    assert (found["rows"], found["among"]) == (5, len(prompts))
    assert found["examples"] == [(ids[i], ids[j]) for i, j in sorted(expected, key=lambda pair: pair[1])]
    assert "5 rows are nearly equal to an earlier one" in "\n".join(audit_lines(audit(rows)))
    assert audit(rows)["duplicates"]["rows"] == 1


def test_a_test_prompt_in_the_training_rows_is_overlap() -> None:
    """Whatever its completion is."""
    train = load_texts(pl.DataFrame({"prompt": ["a", "b"], "completion": ["1", "2"]}))
    test = load_texts(pl.DataFrame({"prompt": ["A", "c"], "completion": ["9", "3"]}))
    overlap = audit(train, test)["overlap"]
    assert overlap is not None and overlap["test_rows_in_train"] == 1


def test_equal_prompts_are_held_out_together() -> None:
    prompts = [f"question {n // 2}" for n in range(60)]
    rows = load_texts(pl.DataFrame({"prompt": prompts, "completion": [str(n) for n in range(60)]}))
    train, held_out = hold_out(rows, 0.2)
    assert len(held_out) == 12 and len(train) == 48
    assert not set(train.table["prompt"]) & set(held_out.table["prompt"])
