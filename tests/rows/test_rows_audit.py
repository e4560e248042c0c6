"""The audit before training, against plain counting."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from thresher.rows import Rows, audit, audit_lines, load, normalised

texts = st.sampled_from(
    [
        "stop",
        "Stop",
        " stop ",
        "ＳＴＯＰ",
        "go",
        "go now",
        "go\tnow",
        "",
        " ",
        "straße",
        "STRASSE",
        "ﬁt",
        "fit",
    ]
)
rows_of = st.lists(st.tuples(texts, st.sampled_from("abc")), min_size=1, max_size=25).map(
    lambda rows: [("one", "a"), ("two", "b"), ("two", "b"), *rows]
)


def plain(text: str) -> str:
    """The stated normalisation, word for word."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def made(rows: list[tuple[str, str]], classes: tuple[str, ...] | None = None) -> Rows:
    frame = pl.DataFrame({"t": [t for t, _ in rows], "count": [y for _, y in rows]})
    return load(frame, text="t", label="count", classes=classes)


@settings(max_examples=100, deadline=None)
@given(rows_of, rows_of)
def test_counts_are_those_of_plain_counting(
    train: list[tuple[str, str]], test: list[tuple[str, str]]
) -> None:
    rows = made(train)
    test = [one for one in test if one[1] in rows.classes]
    held = made(test, rows.classes)
    report = audit(rows, held)
    json.dumps(report)
    labels: dict[str, list[str]] = {}
    for text, label in train:
        labels.setdefault(plain(text), []).append(label)
    assert report["n"] == len(train)
    assert report["classes"] == {name: [y for _, y in train].count(name) for name in rows.classes}
    assert report["duplicates"]["rows"] == sum(len(found) - len(set(found)) for found in labels.values())
    conflicting = {key: found for key, found in labels.items() if len(set(found)) > 1}
    assert report["conflicting"]["texts"] == len(conflicting)
    assert report["conflicting"]["rows"] == sum(map(len, conflicting.values()))
    for one in report["conflicting"]["examples"]:
        assert one["labels"] == Counter(conflicting[plain(one["texts"][0])])
    assert report["empty"]["rows"] == len(labels.get("", []))
    assert report["singletons"] == sorted(name for name, n in Counter(y for _, y in train).items() if n == 1)
    seen = {plain(text) for text, _ in test}
    ids, test_ids = rows.table["id"].to_list(), held.table["id"].to_list()
    assert report["overlap"]["test_ids"] == [
        i for i, (t, _) in zip(test_ids, test, strict=True) if plain(t) in labels
    ]
    assert report["overlap"]["train_ids"] == [
        i for i, (t, _) in zip(ids, train, strict=True) if plain(t) in seen
    ]
    assert report["overlap"]["test_rows_in_train"] == len(report["overlap"]["test_ids"])
    assert report["overlap"]["train_rows_in_test"] == len(report["overlap"]["train_ids"])


@settings(max_examples=300)
@given(st.text())
@example("ͅ")
@example("ŉ ΐ ẞ ﬃ")
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalised(text)
    assert normalised(once) == once
    assert unicodedata.is_normalized("NFKC", once)
    assert normalised(text.upper().lower()) == normalised(text.upper().lower().casefold())


def test_a_pair_is_equal_where_both_texts_are_and_empty_where_one_is() -> None:
    pairs = [("a b", "c"), ("a", "b c"), ("A  b", "C"), ("", "x"), ("x", " "), ("x", "y")]
    frame = pl.DataFrame(
        {"p": [p for p, _ in pairs], "h": [h for _, h in pairs], "y": ["0", "1", "0", "1", "0", "1"]}
    )
    rows = load(frame, text=("p", "h"), label="y")
    report = audit(rows)
    assert report["duplicates"]["rows"] == 1
    assert report["duplicates"]["examples"][0]["texts"] == ["a b", "c"]
    assert report["duplicates"]["examples"][0]["ids"] == [rows.table["id"][0], rows.table["id"][2]]
    assert report["empty"] == {"rows": 2, "ids": rows.table["id"].to_list()[3:5]}
    assert report["overlap"] is None
    assert report["test"] is None


def test_groups_are_counted_by_value_largest_first() -> None:
    frame = pl.DataFrame({"t": list("abcd"), "y": [0, 1, 0, 1], "g": ["x", "y", "y", None]})
    report = audit(load(frame, text="t", label="y", groups="g"))
    assert list(report["groups"]["g"].items()) == [("y", 2), ("", 1), ("x", 1)]


def test_examples_are_the_worst_five_and_cut() -> None:
    rows = [(f"text {n} " + "long " * 200, "ab"[n % 2]) for n in range(8) for _ in range(n + 1)]
    report = audit(made(rows))
    examples = report["duplicates"]["examples"]
    assert [one["rows"] for one in examples] == [8, 7, 6, 5, 4]
    assert all(len(one["texts"][0]) == 300 and len(one["ids"]) <= 5 for one in examples)


def test_only_what_matters_is_said() -> None:
    lines = audit_lines(audit(made([("one", "a"), ("two", "b"), ("three", "b"), ("four", "a")])))
    assert lines == ["4 rows, 2 classes (smallest: a, 2; largest: b, 2)"]


def test_everything_odd_is_said_in_a_sentence() -> None:
    train = made([("stop", "a"), ("Stop", "a"), ("stop", "b"), ("", "b"), ("go", "c"), ("walk", "b")])
    test = made([("STOP", "a"), ("run", "b")], train.classes)
    lines = audit_lines(audit(train, test))
    assert lines[1:4] == [
        '1 row repeats the text and label of an earlier row, e.g. "stop" (2 times)',
        '1 text has more than one label (3 rows), e.g. "stop": a 2, b 1',
        f"1 row has an empty text: {train.table['id'][3]}",
    ]
    assert lines[4:] == [
        "1 class has a single row: c",
        "2 test rows",
        "1 of them (50.0%) also occurs in the training set; read the results on unseen texts as well",
        "1 class without a test row: c",
    ]


@given(
    st.lists(
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=2, max_size=4, unique=True
    )
)
@settings(max_examples=100, deadline=None)
@example(["\x1b[31mred\x07", "a\nb", "\u202eevil"])
def test_lines_for_the_terminal_contain_no_control_characters(values: list[str]) -> None:
    # Private use and unassigned characters print as boxes: only controls, separators and direction marks are dangerous.
    labels = [f"{value}." for value in values]
    frame = pl.DataFrame({"t": [values[0]] * (2 * len(labels)), "y": labels * 2})
    for line in audit_lines(audit(load(frame, text="t", label="y"))):
        assert not any(
            unicodedata.category(one) in ("Cc", "Zl", "Zp") or one in "\u202a\u202e\u2066\u2069"
            for one in line
        )


@pytest.mark.data
def test_the_known_overlap_of_the_real_voice_commands_is_found(shared_data: Path) -> None:
    train = load(shared_data / "hwu64" / "train.jsonl", text="utterance", label="domain", groups="intent")
    test = load(shared_data / "slurp", text="utterance", label="domain", classes=train.classes)
    report = audit(train, test)
    assert (report["n"], report["test"]["n"], len(report["classes"])) == (9960, 5007, 18)
    assert report["overlap"]["test_rows_in_train"] == 1973


@pytest.mark.data
def test_real_files_come_back_whole(shared_data: Path, tmp_path: Path) -> None:
    from thresher.rows import write_back

    snli = shared_data / "snli" / "train.jsonl"
    rows = load(snli, text=("premise", "hypothesis"), label="label", id="id")
    assert (len(rows), rows.classes) == (14758, ("contradiction", "entailment", "neutral"))
    kept, _ = write_back(rows, [True] * len(rows), tmp_path / "kept")
    assert kept.read_bytes() == snli.read_bytes()
    clinc = load(
        shared_data / "clinc150" / "train.jsonl", text="text", label="intent", groups="domain", id="id"
    )
    held = load(
        shared_data / "clinc150" / "test.jsonl", text="text", label="intent", id="id", classes=clinc.classes
    )
    report = audit(clinc, held)
    assert set(report["classes"].values()) == {100}
    assert (len(report["classes"]), len(report["groups"]["domain"])) == (150, 10)
    assert report["overlap"]["test_rows_in_train"] == 2


def test_classes_that_look_alike_are_reported() -> None:
    frame = pl.DataFrame({"t": list("abcd"), "y": ["Alarm", "alarm ", "music", "music"]})
    report = audit(load(frame, text="t", label="y"))
    assert report["alike"] == [["Alarm", "alarm "]]
    assert audit_lines(report)[-1] == "class names that differ only in case or white space: Alarm, 'alarm '"
