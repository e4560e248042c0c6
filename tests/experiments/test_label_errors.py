"""How many labels are wrong: where some were planted, where rows are merely hard, and where a model has learned little."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from scipy.special import softmax

from thresher.experiments.guesses import Guess
from thresher.experiments.label_errors import early_probabilities, list_length, skill, wrong_chances
from thresher.experiments.suspects import suspects_table
from thresher.experiments.suspects_length import length, lines, list_facts
from thresher.scores import MissingSignal


def planted(share: float, rows: int = 2000, classes: int = 10, hard: float = 0.2, seed: int = 0):
    """Labels of which a share was drawn anew, and the probabilities of a model that is unsure of some rows and knows of what."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(rows, classes))
    lead = np.where(rng.random(rows) < hard, 1.0, 9.0)
    logits[np.arange(rows), rng.integers(0, classes, rows)] += lead
    p = softmax(logits, axis=1)
    true = np.array([rng.choice(classes, p=one) for one in p])
    label = np.where(rng.random(rows) < share, rng.integers(0, classes, rows), true)
    return label, p, label != true


@pytest.mark.parametrize("share", [0, 0.02, 0.05, 0.1])
@pytest.mark.parametrize("sharper", [0.5, 1, 2])
def test_the_number_of_planted_errors_is_estimated_whether_or_not_the_model_is_too_sure(share, sharper):
    label, p, wrong = planted(share)
    chances = wrong_chances(label, softmax(sharper * np.log(p), axis=1))
    assert chances.sum() == pytest.approx(wrong.sum(), abs=0.15 * wrong.sum() + 8)
    assert ((chances >= 0) & (chances <= 1)).all()


@pytest.mark.parametrize("classes", [2, 3, 40])
def test_the_chances_are_the_shares_of_wrong_labels_among_rows_that_have_them(classes):
    label, p, wrong = planted(0.1, rows=6000, classes=classes)
    chances = wrong_chances(label, p)
    for low, high in ((0, 0.1), (0.1, 0.9), (0.9, 1.01)):
        among = (chances >= low) & (chances < high)
        spread = np.sqrt((chances * (1 - chances))[among].sum())
        assert wrong[among].sum() == pytest.approx(chances[among].sum(), abs=4 * spread + 1)


def test_hard_rows_alone_are_not_taken_for_wrong_ones():
    label, p, _ = planted(0, hard=0.6)
    assert (p.argmax(axis=1) != label).mean() > 0.2
    assert wrong_chances(label, p).sum() < 0.01 * len(label)


def table_of(label: np.ndarray, p: np.ndarray) -> tuple[pl.DataFrame, list[str]]:
    names = [f"c{k}" for k in range(p.shape[1])]
    own = p[np.arange(len(label)), label]
    table = pl.DataFrame(
        {"id": [f"r{i}" for i in range(len(label))], "label": [names[k] for k in label], "aum": np.log(own)}
    )
    return table, names


@pytest.mark.parametrize("share", [0.02, 0.05, 0.1])
def test_the_list_is_about_as_long_as_labels_are_wrong_and_holds_what_it_says(share):
    label, p, wrong = planted(share)
    table, names = table_of(label, p)
    chances = wrong_chances(label, p)
    every = suspects_table(table, Guess.of(label, p), names, chances=chances)
    found = every.head(length(every, table.height, chances))
    assert 0.8 * wrong.sum() <= found.height <= 1.3 * wrong.sum()
    among = sum(wrong[int(id[1:])] for id in found["id"])
    facts = list_facts(found, table, "auto", skill(label, p), chances)
    assert among == pytest.approx(facts["expected"], abs=0.1 * among + 3)
    (line,) = lines(facts)
    expected, total = round(facts["expected"]), round(facts["total"])
    assert line == (
        f"{found.height} of 2,000 rows, by aum; about {expected} of these {found.height} are expected to be wrong, of"
        f" about {total} in all"
    )


def test_the_length_is_that_of_the_largest_expected_f1():
    chances = np.random.default_rng(0).random(50)
    f1 = [2 * sum(chances[:n]) / (n + 40.0) for n in range(1, 51)]
    assert list_length(chances, 40.0) == f1.index(max(f1)) + 1
    assert list_length(np.array([]), 3.0) == 0
    assert list_length(np.zeros(5), 0.5) == 1


def test_a_model_that_has_learned_little_says_so_first_and_lists_the_hardest_few():
    rng = np.random.default_rng(0)
    label, p = rng.integers(0, 20, 2000), rng.dirichlet(np.ones(20), 2000)
    learned = skill(label, p)
    assert learned.accuracy < 0.08 and not learned.enough
    table, names = table_of(label, p)
    every = suspects_table(table, Guess.of(label, p), names)
    assert every.height > 1800 and every["p_wrong"].null_count() == every.height
    found = every.head(length(every, table.height, None))
    assert found.height == 100
    first, second = lines(list_facts(found, table, "auto", learned, None))
    assert first == (
        "the model has learned too little to say which labels are wrong: it predicts"
        f" {learned.accuracy:.1%} of them, the largest class alone {learned.largest:.1%}"
    )
    assert second == "100 of 2,000 rows, by aum; train longer before reading it"


@pytest.mark.parametrize(
    ("accuracy", "largest", "enough"),
    [(0.08, 0.05, False), (0.96, 0.95, False), (0.55, 0.5, False), (0.7, 0.34, True), (0.9, 0.01, True)],
)
def test_enough_is_a_third_of_the_way_from_the_largest_class_to_all_rows(accuracy, largest, enough):
    n = 1000
    label = np.r_[np.zeros(round(largest * n), int), 1 + np.arange(n - round(largest * n))]
    p = np.full((n, n), 1e-6)
    right = round(accuracy * n)
    p[np.arange(n), np.r_[label[:right], (label[right:] + 1) % n]] = 1
    assert skill(label, p).enough == enough


def test_probabilities_are_of_folds_that_left_the_row_out_or_of_the_checkpoint_nearest_to_epoch_two():
    rng = np.random.default_rng(0)
    logits, held_out = rng.normal(size=(2, 4, 3, 5)), rng.normal(size=(2, 4, 5))
    ids = pl.Series("id", list("abcd"))
    checkpoints = pl.DataFrame({"index": [0, 1, 2], "epoch": [1.0, 2.1, 3.0]})
    runs = [
        pl.DataFrame({"id": ids}).with_columns(
            logits=a.astype(np.float32), held_out_logits=b.astype(np.float32)
        )
        for a, b in zip(logits, held_out, strict=True)
    ]
    runs[1] = runs[1][[2, 0, 3, 1]]
    expected = softmax(held_out, axis=2).mean(axis=0)
    np.testing.assert_allclose(early_probabilities([(run, checkpoints) for run in runs]), expected, rtol=1e-5)
    runs[1] = runs[1].drop("held_out_logits")
    expected = softmax(logits[:, :, 1], axis=2).mean(axis=0)
    np.testing.assert_allclose(early_probabilities([(run, checkpoints) for run in runs]), expected, rtol=1e-5)
    with pytest.raises(MissingSignal):
        early_probabilities([(runs[0], checkpoints), (runs[1][:2], checkpoints)])


def test_of_one_class_no_label_is_wrong():
    assert wrong_chances(np.zeros(3, int), np.ones((3, 1))).tolist() == [0, 0, 0]
