"""Word margins: the margins of a bag-of-words model on held-out rows."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import thresher as th
from thresher.errors import UserError
from thresher.rows import Rows, read_rows
from thresher.run import Run, Training
from thresher.training.words import word_margins, write_words
from tiny import tiny_model

WORDS = {
    "lamp": ["turn", "the", "lamp", "light", "on", "off", "bright"],
    "song": ["play", "that", "song", "tune", "loud", "next"],
}


def commands(count: int = 60, seed: int = 0) -> pl.DataFrame:
    random = np.random.default_rng(seed)
    labels = [("lamp", "song")[at % 2] for at in range(count)]
    texts = [" ".join(random.choice(WORDS[label], 5)) for label in labels]
    return pl.DataFrame({"text": texts, "label": labels})


def rows_of(table: pl.DataFrame, text: tuple[str, ...] = ("text",)) -> Rows:
    return th.load(table, text=list(text), label="label")


def weighted(bags: list[list[str]]) -> np.ndarray:
    """tf-idf of words and pairs that occur in two bags or more, rows of length 1."""
    bags = [words + [f"{a} {b}" for a, b in pairwise(words)] for words in bags]
    stands = {word: sum(word in bag for bag in bags) for bag in bags for word in bag}
    known = sorted(word for word, count in stands.items() if count >= 2)
    weights = np.zeros((len(bags), len(known)))
    for at, bag in enumerate(bags):
        for column, word in enumerate(known):
            if word in bag:
                idf = np.log((1 + len(bags)) / (1 + stands[word])) + 1
                weights[at, column] = (1 + np.log(bag.count(word))) * idf
        weights[at] /= np.sqrt((weights[at] ** 2).sum()) or 1
    return weights


def plainly(rows: Rows) -> dict[str, float]:
    """Margins by row id, words counted and weighted by hand."""
    from scipy.sparse import csr_matrix
    from sklearn.linear_model import SGDClassifier

    from thresher.training.folds import left_out

    table = rows.table.with_columns(y=rows.labels()).sort("id")
    texts = [[text.lower().split() for text in table[name]] for name in rows.text]
    bags = [weighted(texts[0])]
    if len(texts) == 2:
        new = [[word for word in b if word not in a] for a, b in zip(*texts, strict=True)]
        bags += [weighted(texts[1]), weighted(new)]
    weights = np.hstack(bags)
    label = table["y"].to_numpy()
    margins = np.zeros(len(label))
    for repeat in (0, 1):
        for part in range(5):
            out = left_out(Training("fold", repeat * 5 + part), table["id"], label, 5, 0)
            model = SGDClassifier(loss="log_loss", alpha=1e-5, max_iter=10, tol=None, random_state=repeat)
            model.fit(csr_matrix(weights[~out]), label[~out])
            scores = model.decision_function(weights[out])
            if scores.ndim == 1:  # of two classes, only one is returned
                scores = np.stack([-scores, scores], axis=1)
            chance = 1 / (1 + np.exp(-scores))  # (n, K)
            chance /= chance.sum(axis=1, keepdims=True)
            for at, row in zip(np.flatnonzero(out), chance, strict=True):
                margins[at] += (row[label[at]] - max(np.delete(row, label[at]))) / 2
    return dict(zip(table["id"], margins, strict=True))


def pairs(count: int = 80, seed: int = 0) -> pl.DataFrame:
    """Whether the word of the second text occurs in the first."""
    random = np.random.default_rng(seed)
    first, second, label = [], [], []
    for at in range(count):
        words = random.permutation(WORDS["lamp"])
        first.append(" ".join(words[:4]))
        label.append(("new", "old")[at % 2])
        second.append(f"is it {words[4] if label[-1] == 'new' else words[0]}")
    return pl.DataFrame({"text": first, "second": second, "label": label})


THIRD = pl.DataFrame({"text": ["stop now please", "stop this now", "please stop"] * 5, "label": "stop"})


@pytest.mark.parametrize(
    "rows",
    [
        rows_of(pl.concat([commands(), THIRD.unique(maintain_order=True)])),
        rows_of(pairs(), ("text", "second")),
    ],
    ids=["texts", "pairs"],
)
def test_the_margins_are_those_of_the_formula(rows: Rows):
    expected = plainly(rows)
    found = dict(zip(rows.table["id"], word_margins(rows), strict=True))
    assert found.keys() == expected.keys()
    np.testing.assert_allclose([found[one] for one in expected], list(expected.values()), atol=1e-6)


def test_of_a_pair_it_counts_which_words_are_new():
    assert (word_margins(rows_of(pairs(), ("text", "second"))) > 0).mean() > 0.95


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 99))
def test_the_order_of_the_rows_does_not_matter(seed: int):
    table = commands()
    shuffled = rows_of(table.sample(fraction=1, shuffle=True, seed=seed))
    one, other = rows_of(table), shuffled
    first = dict(zip(one.table["id"], word_margins(one), strict=True))
    assert dict(zip(other.table["id"], word_margins(other), strict=True)) == first


def test_a_wrong_label_is_hard_and_a_row_does_not_vouch_for_itself():
    table = commands()
    wrong = table["label"].to_list()
    wrong[0] = "song"
    found = word_margins(rows_of(table.with_columns(label=pl.Series(wrong))))
    assert found[0] < 0 < np.median(found)
    assert found[0] == found.min()


def test_words_of_all_texts_count():
    table = commands().with_columns(second=pl.col("text"), text=pl.lit("the same"))
    assert np.median(word_margins(rows_of(table, ("text", "second")))) > 0.5


@pytest.mark.parametrize(
    "table",
    [
        pl.DataFrame({"text": [f"word{at}" for at in range(8)], "label": ["a", "b"] * 4}),
        pl.DataFrame({"text": ["", " ", "?", "!"] * 2, "label": ["a", "b"] * 4}),
    ],
    ids=["no word stands twice", "no words"],
)
def test_rows_score_alike_if_words_predict_nothing(table: pl.DataFrame):
    assert set(word_margins(rows_of(table))) == {0.0}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("words")
    tiny_model("bert", folder / "tiny")
    settings_of_run = {"freeze": True, "epochs": 1, "batch_size": 8, "checkpoints": 2, "workers": 1}
    run = th.train(rows_of(commands()), out=folder / "RUN", model=str(folder / "tiny"), **settings_of_run)
    th.measure(run, words=True)
    return run


def test_a_run_has_the_score_if_it_was_requested(run: Run):
    expected = word_margins(read_rows(run.rows_file))
    np.testing.assert_array_equal(th.score(run)["word_margin"], expected)
    written = run.words_file.stat().st_mtime_ns
    assert write_words(run) == run.words_file and run.words_file.stat().st_mtime_ns == written


@pytest.mark.parametrize("damage", [lambda path: path.unlink(), lambda path: path.write_bytes(b"PAR1")])
def test_a_lost_or_damaged_table_is_rewritten(run: Run, damage):
    before = run.words_file.read_bytes()
    damage(run.words_file)
    if run.words_file.exists():
        with pytest.raises(UserError, match=r"words\.parquet: damaged.*measure"):
            th.score(run, force=True)
    th.measure(run, words=True)
    assert run.words_file.read_bytes() == before
