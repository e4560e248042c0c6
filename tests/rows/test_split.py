"""Rows held out to test on: no text on both sides, in proportion by class and group, and kept when rows are written back."""

from __future__ import annotations

import json
import random
from collections import Counter
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from thresher.rows import Rows, load, normalised, read_rows, save_rows, write_back
from thresher.rows.split import FEWEST, hold_out, split_off

# Few texts, so that many are equal once they are normalised, within a class and across classes.
lines = st.lists(
    st.tuples(st.integers(0, 40), st.sampled_from("abc"), st.sampled_from(["hall", "kitchen"])),
    min_size=4,
    max_size=120,
).filter(lambda found: len({label for _, label, _ in found}) > 1)
shares = st.floats(0.01, 0.5)


def rows_of(found: list[tuple[Any, str, str]], same_text: bool = False) -> Rows:
    """Rows with a text of each number; equal ones differ in case. Unless `same_text`, no two texts are equal."""
    texts = [
        (f"Text {number}" if place % 2 else f"text  {number}") if same_text else f"text {place}"
        for place, (number, _, _) in enumerate(found)
    ]
    frame = {"t": texts, "y": [label for _, label, _ in found], "room": [room for _, _, room in found]}
    return load(pl.DataFrame(frame), text="t", label="y", groups=["room"])


def texts_of(rows: Rows) -> set[str]:
    return set(map(normalised, rows.table["t"]))


def own_texts(rows: Rows) -> dict[str, int]:
    """Per class, its different texts that no other class has."""
    labels: dict[str, set[str]] = {}
    for text, label in rows.table.select("t", "y").iter_rows():
        labels.setdefault(normalised(text), set()).add(label)
    return Counter(next(iter(found)) for found in labels.values() if len(found) == 1)


@settings(max_examples=60, deadline=None)
@given(found=lines, share=shares, seed=st.integers(0, 3))
def test_every_row_is_on_one_side_and_so_are_all_rows_of_its_text(
    found: list[tuple[Any, str, str]], share: float, seed: int
) -> None:
    rows = rows_of(found, same_text=True)
    train, held_out = hold_out(rows, share, seed)
    assert not texts_of(train) & texts_of(held_out)
    assert sorted([*train.table["id"], *held_out.table["id"]]) == sorted(rows.table["id"])
    order = {id: place for place, id in enumerate(rows.table["id"])}
    for side in (train, held_out):
        places = [order[id] for id in side.table["id"]]
        assert places == sorted(places)
    assert train.source.held_out is not None
    assert [rows.table["id"][int(row)] for row in train.source.held_out.rows] == held_out.table[
        "id"
    ].to_list()


@settings(max_examples=60, deadline=None)
@given(found=lines, share=shares, seed=st.integers(0, 3))
@example(found=[(0, "a", "hall")] * 5 + [(0, "b", "hall")] * 5, share=0.2, seed=0)
def test_of_different_texts_each_class_and_each_group_in_it_gives_its_share_to_within_a_row(
    found: list[tuple[Any, str, str]], share: float, seed: int
) -> None:
    rows = rows_of(found)
    held_out = hold_out(rows, share, seed)[1]
    for columns in (["y"], ["y", "room"]):
        sizes = Counter(rows.table.select(columns).iter_rows())
        tested = Counter(held_out.table.select(columns).iter_rows())
        for value, size in sizes.items():
            large = sum(row[0] == value[0] for row in rows.table.select("y").iter_rows()) >= FEWEST
            assert abs(tested[value] - large * share * size) < 1 + 1e-6, value
    assert len(held_out) <= share * len(rows) + 1e-6


@settings(max_examples=60, deadline=None)
@given(found=lines, share=shares, seed=st.integers(0, 3))
def test_no_class_is_lost_and_those_with_few_texts_of_their_own_stay_whole_and_are_named(
    found: list[tuple[Any, str, str]], share: float, seed: int
) -> None:
    rows = rows_of(found, same_text=True)
    train, held_out = hold_out(rows, share, seed)
    assert set(train.table["y"]) == set(rows.classes)
    assert train.classes == held_out.classes == rows.classes
    few = tuple(name for name in rows.classes if own_texts(rows).get(name, 0) < FEWEST)
    assert train.source.held_out is not None and train.source.held_out.too_small == few
    assert not set(few) & set(held_out.table["y"])


@settings(max_examples=30, deadline=None)
@given(found=lines, share=shares, order=st.randoms(use_true_random=False))
def test_which_texts_are_held_out_does_not_depend_on_the_order_of_the_rows(
    found: list[tuple[Any, str, str]], share: float, order: random.Random
) -> None:
    shuffled = order.sample(found, len(found))
    one, two = (hold_out(rows_of(each, same_text=True), share, 1)[1] for each in (found, shuffled))
    assert texts_of(one) == texts_of(two)


def test_the_exact_share_of_a_class_and_another_draw_with_another_seed() -> None:
    rows = rows_of([(0, "a", "hall")] * 100 + [(0, "b", "hall")] * 50)
    draws = [hold_out(rows, 0.2, seed)[1] for seed in (0, 1)]
    for held_out in draws:
        assert Counter(held_out.table["y"]) == {"a": 20, "b": 10}
    assert texts_of(draws[0]) != texts_of(draws[1])


def test_small_classes_share_the_rows_that_none_of_them_could_give_alone() -> None:
    """Half a row of each of 20 classes makes 10 rows, of 10 classes."""
    rows = rows_of([(0, f"class {n:02}", "hall") for n in range(20) for _ in range(10)])
    held_out = hold_out(rows, 0.05)[1]
    assert sorted(Counter(held_out.table["y"]).values()) == [1] * 10


def test_a_text_that_fills_a_class_stays_in_training_and_takes_nothing_from_the_others() -> None:
    yes = [("yes", "a", "hall")] * 50 + [(n, "a", "hall") for n in range(10)]
    rows = rows_of(yes + [(n, "b", "hall") for n in range(100, 150)], same_text=True)
    held_out = hold_out(rows, 0.2)[1]
    assert "text yes" not in texts_of(held_out)
    assert 10 <= (held_out.table["y"] == "b").sum() <= 11


def test_copies_are_held_out_as_often_as_texts_that_stand_once() -> None:
    once_or_twice = [(n, "a", "hall") for n in range(100) for _ in range(1 + n % 2)]
    rows = rows_of([*once_or_twice, (100, "b", "hall")], same_text=True)
    copies = Counter(Counter(map(normalised, hold_out(rows, 0.2)[1].table["t"])).values())
    assert copies == {1: 10, 2: 10}


def test_a_text_with_two_labels_is_trained_on() -> None:
    both = [(n, label, "hall") for n in range(20) for label in "ab"]
    rows = rows_of(both + [(n, "a", "hall") for n in range(20, 40)], same_text=True)
    train, held_out = hold_out(rows, 0.5)
    assert {f"text {n}" for n in range(20)} <= texts_of(train)
    assert len(held_out) == 10
    assert train.source.held_out is not None and train.source.held_out.too_small == ("b",)


def inputs(folder: Path) -> dict[str, Any]:
    """The same 20 rows in every kind of input; the text of each is its number."""
    records = [{"t": f"text {n}", "y": "ab"[n % 2], "extra": n} for n in range(20)]
    written = folder / "train.jsonl"
    written.write_text("".join(json.dumps(record) + "  \n" for record in records))
    frame = pl.DataFrame(records)
    frame.write_csv(folder / "train.csv")
    frame.write_parquet(folder / "train.parquet")
    dataset = datasets.Dataset.from_list(records)
    dataset.save_to_disk(str(folder / "saved"))
    names = ("train.csv", "train.parquet", "saved")
    return {
        "jsonl": written,
        **{name: folder / name for name in names},
        "frame": frame,
        "dataset": dataset,
    }


@pytest.mark.parametrize("kind", ["jsonl", "train.csv", "train.parquet", "saved", "frame", "dataset"])
@pytest.mark.parametrize("where", [(), ("extra!=3",)], ids=["all rows", "some rows"])
def test_held_out_rows_are_kept_in_the_order_of_the_input(
    tmp_path: Path, kind: str, where: tuple[str, ...]
) -> None:
    """Those that `load` left out are in neither file; the rows may come from a run folder."""
    rows = load(inputs(tmp_path)[kind], text="t", label="y", where=where)
    train, held_out = hold_out(rows, 0.2)
    save_rows(train, tmp_path / "rows.parquet")
    save_rows(held_out, tmp_path / "test.parquet")
    again = read_rows(tmp_path / "rows.parquet")
    keep = np.arange(len(train)) % 2 == 0
    for number, given_rows in enumerate((train, again)):
        kept, dropped = write_back(given_rows, keep, tmp_path / str(number) / "kept")
        chosen = {*train.table["t"].filter(pl.Series(keep)), *held_out.table["t"]}
        all_texts = rows.table["t"].to_list()
        assert load(kept, text="t", label="y").table["t"].to_list() == [t for t in all_texts if t in chosen]
        assert load(dropped, text="t", label="y").table["t"].to_list() == [
            t for t in all_texts if t not in chosen
        ]
    assert read_rows(tmp_path / "test.parquet").hash() == held_out.hash()


def test_rows_set_aside_of_rows_that_were_filtered_can_be_saved(tmp_path: Path) -> None:
    rows = load(inputs(tmp_path)["jsonl"], text="t", label="y", where=["extra!=3"])
    for side in split_off(rows, 0.3):
        save_rows(side, tmp_path / "rows.parquet")
        assert read_rows(tmp_path / "rows.parquet").table.equals(side.table)
