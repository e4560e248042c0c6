"""Suspects: rows whose most probable label is another one, sorted by a score, with true reasons."""

from __future__ import annotations

import csv
import io

import numpy as np
import polars as pl
import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from bare_run import bare_run
from thresher.errors import UserError
from thresher.experiments.guesses import Guess, mean_probabilities
from thresher.experiments.suspects import suspects, suspects_table, with_texts
from thresher.experiments.suspects_files import argilla_records
from thresher.rows.export import safe_csv
from thresher.scores import MissingSignal

CLASSES = ["off", "on", "=alarm"]


def random_case(seed: int, rows: int) -> tuple[pl.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 3, rows)
    p = rng.dirichlet(np.ones(3) * 0.5, rows)
    table = pl.DataFrame(
        {
            "id": [f"r{i}" for i in range(rows)],
            "label": [CLASSES[k] for k in label],
            "confidence": p[np.arange(rows), label],
            "aum": rng.normal(size=rows),
            "correctness": rng.choice([0.0, 0.5, 1.0], rows),
            "el2n": rng.random(rows),
        }
    )
    return table, p


def guess(table: pl.DataFrame, p: np.ndarray, classes: list[str] = CLASSES) -> Guess:
    return Guess.of(np.array([classes.index(name) for name in table["label"]]), p)


@settings(max_examples=30)
@given(
    seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 50), by=st.sampled_from(["confidence", "aum", "el2n"])
)
def test_the_list_holds_the_rows_of_another_likely_label_hardest_first(seed, rows, by):
    table, p = random_case(seed, rows)
    expected = []
    for row, chance in zip(table.iter_rows(named=True), p.tolist(), strict=True):
        likely = CLASSES[chance.index(max(chance))]
        if likely != row["label"]:
            suspicion = row[by] if by == "el2n" else -row[by]  # of confidence and AUM, low is hard
            expected.append((-suspicion, row["id"], row["label"], likely))
    expected.sort()
    found = suspects_table(table, guess(table, p), CLASSES, by)
    assert found.select("id", "given", "likely").rows() == [tuple(one[1:]) for one in expected]
    assert found["rank"].to_list() == list(range(1, len(expected) + 1))
    assert (found["p_likely"] > found["p_given"]).all()


def mean_ranks(table: pl.DataFrame) -> list[float]:
    """The mean of the ranks by AUM and word margin, low first, counted row by row; equal values share the middle rank."""
    found = []
    for row in table.iter_rows(named=True):
        ranks = []
        for name in ("aum", "word_margin"):
            below = sum(value < row[name] for value in table[name])
            equal = sum(value == row[name] for value in table[name])
            ranks.append(below + (equal + 1) / 2)
        found.append(sum(ranks) / 2 / table.height)
    return found


@settings(max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 40), coarse=st.booleans())
def test_the_default_order_is_the_mean_of_the_ranks_by_aum_and_word_margin(seed, rows, coarse):
    table, p = random_case(seed, rows)
    margins = np.random.default_rng(seed).uniform(-1, 1, rows)
    table = table.with_columns(word_margin=margins)
    if coarse:  # many equal values
        table = table.with_columns(pl.col("aum", "word_margin").round(0))
    score = mean_ranks(table)
    expected = []
    for at, (row, chance) in enumerate(zip(table.iter_rows(named=True), p.tolist(), strict=True)):
        if CLASSES[chance.index(max(chance))] != row["label"]:
            given_chance = chance[CLASSES.index(row["label"])]
            expected.append((score[at], given_chance, row["id"]))
    found = suspects_table(table, guess(table, p), CLASSES)
    assert found["id"].to_list() == [id for _, _, id in sorted(expected)]
    np.testing.assert_allclose(found["score"], [one for one, _, _ in sorted(expected)])


def test_without_word_margins_the_default_order_is_that_of_aum():
    table, p = random_case(3, 50)
    assert suspects_table(table, guess(table, p), CLASSES).equals(
        suspects_table(table, guess(table, p), CLASSES, "aum")
    )


def test_rows_that_nothing_tells_apart_stand_in_the_order_of_the_hashes_of_their_ids():
    ids = [f"r{i}" for i in range(40)]
    table = pl.DataFrame({"id": ids, "label": "on", "aum": -1.0, "word_margin": 0.5})
    found = suspects_table(table, guess(table, np.tile([0.8, 0.1, 0.1], (40, 1))), CLASSES)
    assert found["id"].to_list() == sorted(ids, key=lambda id: xxhash.xxh64_intdigest(id.encode()))
    shuffled = suspects_table(table[::-1], guess(table[::-1], np.tile([0.8, 0.1, 0.1], (40, 1))), CLASSES)
    assert shuffled["id"].to_list() == found["id"].to_list()


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_every_reason_is_true_of_its_row_and_every_true_one_is_given(seed):
    table, p = random_case(seed, 60)
    found = suspects_table(table, guess(table, p), CLASSES)
    few = round(0.05 * 60)
    hardest = {
        name: set(table.sort(name, descending=name == "el2n").head(few)["id"]) for name in ("aum", "el2n")
    }
    for row in found.join(table, on="id").iter_rows(named=True):
        assert ("never right" in row["why"]) == (row["correctness"] == 0)
        assert ("another label led" in row["why"]) == (row["aum"] < 0)
        for name, ids in hardest.items():
            named = row["why"].rpartition("among the hardest 5% by ")[2].split(", ")
            assert (name in named) == (row["id"] in ids)
        assert f"'{row['likely']}' had {row['p_likely']:.0%}" in row["why"]


def test_many_rows_of_equal_score_are_not_among_the_hardest():
    table = pl.DataFrame(
        {"id": list("abcd"), "label": ["on"] * 4, "confidence": [0.1] * 4, "correctness": [0.5] * 4}
    )
    found = suspects_table(table, guess(table, np.tile([0.8, 0.1, 0.1], (4, 1))), CLASSES)
    assert found.height == 4 and not found["why"].str.contains("hardest").any()


def test_probabilities_are_averaged_over_checkpoints_and_runs_by_id():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(2, 5, 4, 3)).astype(np.float32)  # runs, rows, checkpoints, classes
    ids = [f"r{i}" for i in range(5)]
    runs = [pl.DataFrame({"id": ids}).with_columns(logits=one) for one in logits]
    expected = np.zeros((5, 3))
    for run in logits.astype(float):
        for checkpoint in range(4):
            for row in range(5):
                e = np.exp(run[row, checkpoint])
                expected[row] += e / e.sum() / 8
    np.testing.assert_allclose(mean_probabilities([runs[0], runs[1][[3, 0, 4, 2, 1]]]), expected, rtol=1e-6)


def test_without_the_logits_of_every_row_there_are_no_probabilities():
    told = pl.DataFrame({"id": ["a", "b"]}).with_columns(logits=np.zeros((2, 1, 3), np.float32))
    with pytest.raises(MissingSignal, match="'logits' was not measured"):
        mean_probabilities([told.drop("logits")])
    with pytest.raises(MissingSignal, match="'logits' was not measured for every row"):
        mean_probabilities([told, told[:1]])


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠"])
def test_no_cell_can_start_a_formula(start):
    table = pl.DataFrame(
        {f"{start}x": [f'{start}HYPERLINK("http://x")', "plain", None], "n": [-1.0, 2.0, 3.0]}
    )
    head, *rows = csv.reader(io.StringIO(safe_csv(table), newline=""))
    assert head == [f"'{start}x", "n"]
    assert [row[0] for row in rows] == [f'\'{start}HYPERLINK("http://x")', "plain", ""]
    assert [float(row[1]) for row in rows] == [-1.0, 2.0, 3.0]


@given(st.lists(st.text(max_size=8), min_size=1, max_size=6))
def test_csv_preserves_every_text_except_for_the_apostrophe(texts):
    # The reader of Python's csv ends a record at NUL in some versions.
    texts = [text.replace("\0", "") for text in texts]
    written = safe_csv(pl.DataFrame({"text": texts, "id": [str(i) for i in range(len(texts))]}))
    rows = list(csv.reader(io.StringIO(written, newline="")))[1:]
    for text, (cell, _) in zip(texts, rows, strict=True):
        assert cell in (text, f"'{text}")
        assert not cell.startswith(tuple("=+-@\t\r\n"))


def test_two_text_columns_and_names_of_ours():
    table, p = random_case(1, 30)
    listed = suspects_table(table, guess(table, p), CLASSES)
    rows = pl.DataFrame({"id": [f"r{i}" for i in range(30)], "why": ["w"] * 30, "premise": ["p"] * 30})
    found = with_texts(listed, rows, ["premise", "why"])
    assert found.columns[:5] == ["rank", "id", "premise", "why_text", "given"]
    assert found.columns[-1] == "why" and found["why"].str.contains("on average").all()
    records = argilla_records(found, ["premise", "why_text"])
    assert records[0]["fields"] == {"premise": "p", "why_text": "w"}
    assert [record["id"] for record in records] == listed["id"].to_list()
    assert records[0]["metadata"]["rank"] == 1


@pytest.mark.parametrize("top", [0, -1])
def test_fewer_than_one_suspect_is_refused(tmp_path, top):
    with pytest.raises(UserError, match=f"^top is {top}; it must be at least 1$"):
        suspects(bare_run(tmp_path), None, "confidence", top, "table")
    with pytest.raises(UserError, match="`score` has not been run"):  # 1 is enough
        suspects(bare_run(tmp_path), None, "confidence", 1, "table")


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_a_column_with_a_missing_value_cannot_be_sorted_by(value):
    table = pl.DataFrame({"id": ["a", "b"], "label": ["on", "off"], "mine": [0.5, value]})
    with pytest.raises(
        UserError, match=r"^column 'mine' is not a finite number for 1 rows; give another score with by$"
    ):
        suspects_table(
            table, guess(table, np.array([[0.9, 0.1], [0.8, 0.2]]), ["on", "off"]), ["on", "off"], by="mine"
        )


def test_a_column_of_text_cannot_be_sorted_by():
    table = pl.DataFrame({"id": ["a", "b"], "label": ["on", "off"], "room": ["hall", "bath"]})
    with pytest.raises(UserError, match=r"^column 'room' is String, not a number; give a score with by$"):
        suspects_table(
            table, guess(table, np.array([[0.9, 0.1], [0.8, 0.2]]), ["on", "off"]), ["on", "off"], by="room"
        )
