"""What a row's words alone say of its label: held-out margins of a linear model on a bag of words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from thresher.config import MeasureConfig, RunConfig, frozen_layers
from thresher.rows import Rows, read_rows
from thresher.run import Run
from thresher.run.files import digest
from thresher.run.integrity import metadata, table_problem, write_table
from thresher.training.folds import fold_trainings, left_out

FOLDS = 5
_KEY = b"thresher.words"


def word_margins(rows: Rows, repeats: int = 2) -> NDArray[np.float64]:
    """Probability of the label less the largest other one, by models of the words that have not seen the row; -1 to 1, (N,).

    Texts are bags of words and pairs of neighbouring words that stand in two rows or more, tf-idf weighted. Of several texts of a
    row each has a bag of its own, and every one after the first another of the words that no text before it has. For every
    class a logistic regression against the rest is fitted by stochastic gradient descent (ten passes), on four of five parts of
    the rows, and their probabilities are divided by their sum. Mean over `repeats` divisions, which depend on the ids and not on
    the order of the rows. The same everywhere where there is one class, or no word that stands twice.

    >>> import thresher as th
    >>> texts = {"text": ["turn it on", "turn this on", "play it", "play this"] * 5, "label": ["on", "on", "play", "play"] * 5}
    >>> rows = th.load(pl.DataFrame(texts), text="text", label="label")
    >>> bool((word_margins(rows) > 0).all())
    True
    """
    from sklearn.linear_model import SGDClassifier

    order = rows.table["id"].arg_sort().to_numpy()
    label = rows.labels()[order]
    ids = rows.table["id"].gather(order)
    bags = bags_of_words([rows.table[name].gather(order).to_list() for name in rows.text])  # (N, words)
    if not bags.shape[1]:
        return np.zeros(len(label))
    every, total = np.arange(len(label)), np.zeros(len(label))
    for repeat in range(repeats):
        found = np.zeros((len(label), len(rows.classes)))
        for fold in fold_trainings(repeat, FOLDS):
            out = left_out(fold, ids, label, FOLDS, seed=0)
            known = np.unique(label[~out])
            if not out.any() or len(known) < 2:
                continue
            model = SGDClassifier(
                loss="log_loss", alpha=1e-5, max_iter=10, tol=None, random_state=repeat, n_jobs=-1
            )
            model.fit(bags[~out], label[~out])
            found[np.ix_(out, known)] = model.predict_proba(bags[out])
        own = found[every, label].copy()
        found[every, label] = 0
        total += own - found.max(axis=1)
    values = np.empty(len(label))
    values[order] = total / repeats
    return values


def bags_of_words(texts: Sequence[Sequence[str]]) -> Any:
    """tf-idf weights of the words and pairs of words in each text of the rows, a sparse matrix (N, words); no columns where no
    word stands in two rows.

    >>> bags_of_words([["a dog ran", "a cat ran"], ["the dog", "the dog slept"]]).shape  # a, ran | the, dog, the dog | the
    (2, 6)
    """
    from scipy.sparse import csr_matrix, hstack
    from sklearn.feature_extraction.text import TfidfVectorizer

    def counted() -> Any:
        return TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")

    split = counted().build_tokenizer()

    def new(at: int) -> Iterator[str]:
        for row in zip(*texts[: at + 1], strict=True):
            *before, words = (split(text.lower()) for text in row)
            known = set().union(*before)
            yield " ".join(word for word in words if word not in known)

    bags = [csr_matrix((len(texts[0]), 0))]
    for at, column in enumerate(texts):
        for kept in (column, new(at)) if at else (column,):
            try:
                bags.append(counted().fit_transform(kept))
            except ValueError:  # no word is left
                continue
    return hstack(bags).tocsr()


def are_wanted(config: RunConfig, measure: MeasureConfig) -> bool:
    """Whether rows are to be scored by their words: where that is asked for, or a frozen encoder stands in for the model.

    >>> from thresher.config import DataConfig, ProxyConfig
    >>> run = RunConfig(data=DataConfig(train="train.jsonl", text=("text",), label="label"))
    >>> proxied = run.model_copy(update={"proxy": ProxyConfig(encoder="frozen")})
    >>> are_wanted(run, run.measure), are_wanted(proxied, run.measure)
    (False, True)
    """
    return frozen_layers(config.proxy.encoder) is not None if measure.words == "auto" else measure.words


def write_words(run: Run) -> Path:
    """Make sure that the margins of a run's rows are there, a table `id, word_margin`; returns their file."""
    path, rows = run.words_file, read_rows(run.rows_file)
    ids, texts = rows.table["id"], [rows.table[name].to_list() for name in rows.text]
    made_with = digest({"ids": ids.to_list(), "texts": texts, "labels": rows.labels().tolist()}).encode()
    if table_problem(path) is None and metadata(path).get(_KEY) == made_with:
        return path
    table = pl.DataFrame({"id": ids, "word_margin": word_margins(rows)})
    write_table(path, table, {_KEY: made_with})
    return path
