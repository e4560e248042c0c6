"""Score rows by their words alone: held-out margins of a linear model on a bag of words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from thresher.config import MeasureConfig, RunConfig, frozen_layers
from thresher.rows import Rows, read_rows
from thresher.run import Run
from thresher.run.files import digest
from thresher.run.integrity import metadata, table_problem, write_table
from thresher.training.folds import fold_trainings, left_out

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

FOLDS = 5
_KEY = b"thresher.words"


def word_margins(rows: Rows, repeats: int = 2) -> NDArray[np.float64]:
    """The held-out margin of every row: probability of its label minus the largest other probability, -1 to 1, (N,).

    Features are the tf-idf weights of `bags_of_words`. One-against-rest logistic regressions are fitted by stochastic
    gradient descent (ten passes) in 5-fold cross-validation, and their probabilities are normalised to sum to one. The
    margin is the mean over `repeats` partitions into folds, which depend on the ids and not on the order of the rows. It is
    zero for all rows if no word occurs in two rows.

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


def bags_of_words(texts: Sequence[Sequence[str]]) -> csr_matrix:
    """The tf-idf weights of words and of pairs of adjacent words that occur in at least two rows, sparse (N, words).

    Each text column has its own columns in the matrix. For every text after the first there are further columns that count
    only the words that do not occur in the texts before it.

    >>> bags_of_words([["a dog ran", "a cat ran"], ["the dog", "the dog slept"]]).shape  # a, ran | the, dog, the dog | the
    (2, 6)
    """
    from scipy.sparse import csr_matrix, hstack
    from sklearn.feature_extraction.text import TfidfVectorizer

    def vectorizer() -> TfidfVectorizer:
        return TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=r"(?u)\b\w+\b")

    split = vectorizer().build_tokenizer()

    def new_words(at: int) -> Iterator[str]:
        for row in zip(*texts[: at + 1], strict=True):
            *before, words = (split(text.lower()) for text in row)
            known = set().union(*before)
            yield " ".join(word for word in words if word not in known)

    bags = [csr_matrix((len(texts[0]), 0))]
    for at, column in enumerate(texts):
        for texts_of in (column, new_words(at)) if at else (column,):
            with suppress(ValueError):  # no word occurs in two rows
                bags.append(vectorizer().fit_transform(texts_of))
    return hstack(bags).tocsr()


def are_wanted(config: RunConfig, measure: MeasureConfig) -> bool:
    """Whether to compute the word margins of a run: if configured, or if its scores come from a frozen proxy encoder.

    >>> from thresher.config import DataConfig, ProxyConfig
    >>> run = RunConfig(data=DataConfig(train="train.jsonl", text=("text",), label="label"))
    >>> proxied = run.model_copy(update={"proxy": ProxyConfig(encoder="frozen")})
    >>> are_wanted(run, run.measure), are_wanted(proxied, run.measure)
    (False, True)
    """
    return frozen_layers(config.proxy.encoder) is not None if measure.words == "auto" else measure.words


def write_words(run: Run) -> Path:
    """Write the word margins of a run's rows, a table `id, word_margin`, unless they are up to date; returns their file."""
    path, rows = run.words_file, read_rows(run.rows_file)
    ids, texts = rows.table["id"], [rows.table[name].to_list() for name in rows.text]
    made_with = digest({"ids": ids.to_list(), "texts": texts, "labels": rows.labels().tolist()}).encode()
    if table_problem(path) is None and metadata(path).get(_KEY) == made_with:
        return path
    table = pl.DataFrame({"id": ids, "word_margin": word_margins(rows)})
    write_table(path, table, {_KEY: made_with})
    return path
