"""The figures on the page against plain counting."""

from __future__ import annotations

import json
import math
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from fake_run import fake_run
from hypothesis import given
from hypothesis import strategies as st

from thresher.report import arms, verdict
from thresher.report.distributions import bins, distributions, form_counts
from thresher.report.examples import examples
from thresher.report.format import interval, percent, points, score_value, script_json, visible
from thresher.report.groups import groups
from thresher.report.page import TEMPLATE
from thresher.report.read import Selection, read_run, shown_selection
from thresher.run.integrity import write_table

numbers = st.floats(-1e6, 1e6, allow_nan=False).map(lambda value: float(f"{value:.6g}"))
scores = st.one_of(
    st.lists(numbers, min_size=1, max_size=120),
    st.lists(st.sampled_from([0.0, 1.0, 2.5]), min_size=1, max_size=60),
)


@given(st.text())
def test_no_control_character_is_left(text: str) -> None:
    shown = visible(text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown)
    plain = "".join(letter for letter in text if letter.isprintable())
    assert plain == "".join(letter for letter in plain if letter in shown)


@given(
    st.recursive(
        st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=20,
    )
)
def test_json_survives_and_cannot_end_its_script(value: object) -> None:
    text = script_json(value)
    assert json.loads(text) == value
    assert not set("<>&\u2028\u2029") & set(text)


@given(scores)
def test_bins_are_ascending_and_hold_single_values_apart(values: list[float]) -> None:
    edges, distinct = bins(np.array(values))
    assert all(np.diff(edges) > 0)
    if distinct is not None:
        assert list(distinct) == sorted(set(values))
        assert all(
            left <= value <= right for left, value, right in zip(edges, distinct, edges[1:], strict=False)
        )
    else:
        assert len(edges) == 49


@given(scores)
def test_counts_are_those_of_a_loop(values: list[float]) -> None:
    # Classes 0 and 1 are shown, class 2 counts among all rows only.
    label, kept = np.arange(len(values)) % 3, np.random.default_rng(len(values)).random(len(values)) < 0.6
    found = form_counts(np.array(values), label, min(2, len(values)), kept)
    edges, _ = bins(np.array(values))
    expected = np.zeros((2, 1 + min(2, len(values)), len(edges) - 1), dtype=int)
    for value, one, keep in zip(values, label, kept, strict=True):
        place = 0
        while place < len(edges) - 2 and value >= edges[place + 1]:
            place += 1
        expected[0 if keep else 1, 0, place] += 1
        if one < 2:
            expected[0 if keep else 1, 1 + one, place] += 1
    assert found["counts"] == expected.tolist()
    assert found["outside"] == sum(value < edges[0] or value > edges[-1] for value in values)
    assert np.sum(found["counts"], axis=(0, 2))[0] == len(values)


def test_distributions_list_classes_by_size_and_split_off_what_was_removed() -> None:
    table = pl.DataFrame({"id": list("abcd"), "label": ["x", "y", "y", "z"], "pvi": [3.0, 1.0, 2.0, 2.0]})
    found = distributions(table, {"pvi": {"hard": "low"}}, np.array([True, False, True, True]))
    assert found["classes"] == ["y", "x", "z"] and found["rows"] == [2, 1, 1]
    form = found["scores"]["pvi"]["forms"]["raw"]
    assert form["values"] == [1.0, 2.0, 3.0]
    assert form["counts"] == [
        [[0, 2, 1], [0, 1, 0], [0, 0, 1], [0, 1, 0]],
        [[1, 0, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]],
    ]
    assert form["summary"][1][:2] == [1.5, 0.5] and form["summary"][0][4] == 2.0


def test_no_picture_holds_a_row_of_the_data(tmp_path: Path) -> None:
    files = read_run(fake_run(tmp_path / "run", n=400))
    assert files.scores is not None
    text = script_json(distributions(files.scores, files.about["scores"], None))
    assert "row-1" not in text and len(text) < 60_000


def test_examples_are_the_ten_at_either_end(tmp_path: Path) -> None:
    files = read_run(fake_run(tmp_path / "run", n=300))
    assert files.scores is not None
    selection = shown_selection(files)
    assert selection is not None
    kept = dict(selection.table.select("id", "kept").iter_rows())
    for score in examples(files, selection):
        column = "vog_class" if score["name"] == "vog" else score["name"]
        assert score["column"] == column
        value = dict(files.scores.select("id", column).iter_rows())
        ordered = sorted(value.values(), reverse=score["hard"] == "high")
        for end, expected in zip(score["ends"], (ordered[:10], ordered[::-1][:10]), strict=True):
            assert [value[row["id"]] for row in end["rows"]] == expected
            assert [row["value"] for row in end["rows"]] == [score_value(one) for one in expected]
            assert all(row["kept"] == kept[row["id"]] for row in end["rows"])


def test_ties_are_counted_and_not_the_first_rows_of_the_file(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run", n=300, upto="score")
    table = pl.read_parquet(run.scores_file).with_columns(forgetting=pl.lit(0.0))
    table.write_parquet(run.scores_file)
    (forgetting,) = [score for score in examples(read_run(run), None) if score["name"] == "forgetting"]
    _, easy = forgetting["ends"]
    assert easy["ties"] == "300 rows share the value 0; 10 of them are shown."
    assert [row["id"] for row in easy["rows"]] != [f"row-{index}" for index in range(10)]
    # The order of the rows in the file does not choose the examples.
    table.reverse().write_parquet(run.scores_file)
    (again,) = [score for score in examples(read_run(run), None) if score["name"] == "forgetting"]
    assert [row["id"] for row in again["ends"][1]["rows"]] == [row["id"] for row in easy["rows"]]


def test_groups_count_what_was_removed_before_anything_is_compared(tmp_path: Path) -> None:
    files = read_run(fake_run(tmp_path / "run", n=300, upto="select"))
    selection = shown_selection(files)
    found = groups(files, selection, None)
    assert found is not None and selection is not None and files.rows is not None
    assert found["names"] == ["label", "domain"] and found["measured"] == 0
    kept = set(selection.table.filter("kept")["id"])
    for line in found["lines"]:
        column = "intent" if line["group"] == "label" else line["group"]
        ids = files.rows.filter(pl.col(column) == line["value"])["id"].to_list()
        assert line["n_train"] == len(ids)
        assert line["removed"] == pytest.approx(sum(one not in kept for one in ids) / len(ids))
        assert line["small"] == (len(ids) < 20)


def test_groups_beyond_the_largest_are_counted_not_listed(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run", n=500, upto="select")
    rows = pl.read_parquet(run.rows_file).with_columns(domain=pl.col("id"))
    write_table(run.rows_file, rows)
    files = read_run(run)
    found = groups(files, shown_selection(files), None)
    assert found is not None and found["omitted"] == {"domain": 100}
    assert sum(line["group"] == "domain" for line in found["lines"]) == 400


def test_the_largest_loss_comes_first_and_what_was_not_measured_last(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "run", n=900)
    files = read_run(run)
    selection = shown_selection(files)
    assert selection is not None
    entry = files.compared[selection.name]
    del entry["groups"]["domain"]["home"]["kept-full"]
    found = groups(files, selection, entry)
    assert found is not None
    changes = [line["change"] for line in found["lines"]]
    measured = [change for change in changes if change is not None]
    assert changes == sorted(measured) + [None] * (len(changes) - len(measured)) and None in changes


def spans(low: float, high: float) -> dict[str, float]:
    return {"mean": (low + high) / 2, "low": low, "high": high}


@pytest.mark.parametrize(
    ("full", "badge", "words"),
    [
        (spans(-0.02, -0.01), "Loses accuracy", "1.5 points below full data"),
        (spans(-0.006, 0.004), "No loss detected", "0.1 points below full data"),
        (spans(-0.05, 0.05), "Inconclusive", "level with full data"),
        (spans(0.01, 0.03), "Gains accuracy", "2.0 points above full data"),
        (spans(0.0, 0.0), "No loss detected", "level with full data"),
    ],
)
def test_what_the_verdict_claims_follows_from_the_interval(
    full: dict[str, float], badge: str, words: str
) -> None:
    entry = {
        "settings": {"seeds": [0, 1, 2, 3, 4], "same_steps": True, "epochs": 3, "epochs_pruned": 5.5, "steps_full": 9,
                     "steps_pruned": 9, "n_full": 100, "n_kept": 55, "n_test": 50, "confidence": 0.95},
        "arms": {"kept": {"accuracy": {"mean": 0.8}}},
        "differences": {name: {"accuracy": full} for name in ("kept-full", "kept-random", "random-full")},
    }  # fmt: skip
    found = verdict.verdict(
        Selection("name", {"column": "pvi", "end": "hard", "strategy": "linear"}, pl.DataFrame()), entry
    )
    assert (found["against_full"]["badge"], found["loss"]) == (badge, words)
    assert found["manner"] == ", hard end, linear sampling"
    assert len(found["sure"]) == 1, "five seeds need no warning"
    assert (
        "the number of steps (9 on full data, 9 on" in found["fixed"][0]
        and "5.5 epochs against 3" in found["fixed"][0]
    )


def test_a_random_selection_is_not_said_to_follow_a_score() -> None:
    facts = {"column": "vog_class", "end": "easy", "strategy": "random"}
    found = verdict.selection_words(Selection("name", facts, pl.DataFrame()), 55, 100)
    assert (found["by"], found["manner"]) == ("", "random draw")


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=8))
def test_an_axis_holds_its_values_with_few_round_marks(values: list[float]) -> None:
    low, high, marks = arms.axis(values)
    assert low <= min(values) + 1e-6 and high >= max(values) - 1e-6
    assert 2 <= len(marks) <= 7 and [marks[0], marks[-1]] == [low, high]
    steps = {round(b - a, 8) for a, b in pairwise(marks)}
    (step,) = steps
    digit = step / 10 ** math.floor(math.log10(step) + 1e-9)
    assert any(abs(digit - nice) < 1e-6 for nice in (1, 2, 5))


def test_places_on_the_picture_are_those_of_the_axis(tmp_path: Path) -> None:
    files = read_run(fake_run(tmp_path / "run"))
    (entry,) = files.compared.values()
    figure = arms.differences_figure(entry, "accuracy")
    first, last = figure["ticks"][0], figure["ticks"][-1]
    low, high = (float(tick["text"].replace("−", "-")) / 100 for tick in (first, last))
    for row in figure["rows"]:
        found = entry["differences"][row["key"]]["accuracy"]
        for place, end in (("at", "mean"), ("from", "low"), ("to", "high")):
            assert row[place] == pytest.approx(100 * (found[end] - low) / (high - low), abs=0.01)
    assert figure["zero"] == pytest.approx(100 * -low / (high - low), abs=0.01)


@given(st.floats(-1, 1), st.integers(1, 2))
def test_points_have_a_sign_unless_they_round_to_zero(value: float, digits: int) -> None:
    text = points(value, digits)
    number = float(text.replace("−", "-"))
    assert abs(number - 100 * value) <= 0.5 * 10**-digits + 1e-9
    assert (text[0] in "+−") == (number != 0)


def test_what_was_not_measured_is_a_dash() -> None:
    assert (
        percent(None),
        percent(float("nan")),
        points(None),
        interval({"mean": 0.0, "low": None, "high": 1.0}),
    ) == ("–",) * 4


def palette(block: str) -> dict[str, str]:
    return dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", block))


def contrast(a: str, b: str) -> float:
    """Contrast ratio of two colours, WCAG 2.2."""

    def luminance(colour: str) -> float:
        channels = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_texts_and_marks_have_enough_contrast_in_both_themes(theme: str) -> None:
    style = (TEMPLATE / "page.css").read_text()
    light = palette(style.partition("@media")[0])
    dark = palette(style.partition(":root:not(.printing) {")[2].partition("}")[0])
    assert light.keys() == dark.keys()
    colours = light if theme == "light" else dark
    for ground in ("page", "card"):
        for text in ("ink", "soft", "accent"):
            assert contrast(colours[text], colours[ground]) >= 4.5, (text, ground)
    for text, ground in (
        ("good", "good-wash"),
        ("bad", "bad-wash"),
        ("look", "look-wash"),
        ("ink", "open-wash"),
        ("ink", "wash"),
    ):
        assert contrast(colours[text], colours[ground]) >= 4.5, text
    for mark in ("full", "kept", "random", *(f"score-{index}" for index in range(8))):
        assert contrast(colours[mark], colours["card"]) >= 3, mark
    assert len({colours[f"score-{index}"] for index in range(8)}) == 8
