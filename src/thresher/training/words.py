"""Score rows by their words alone: held-out margins of a linear model on a bag of words."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
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
from thresher.training.recipe import MANY

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

WORD = r"(?u)\b\w+\b"
HASHED = 1 << 18  # columns
BLOCK_ROWS = 1 << 16
_KEY = b"thresher.words"


def by_vocabulary(texts: Iterable[str]) -> csr_matrix:
    """tf-idf weights with a column per word or pair that occurs in at least two of the texts.

    Raises ValueError: there is none.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer

    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, sublinear_tf=True, token_pattern=WORD)
    return vectorizer.fit_transform(texts)


def by_hash(texts: Iterable[str]) -> csr_matrix:
    """The same with `HASHED` columns, which words share by their hash: many texts have too many pairs for a vocabulary.

    Source: Weinberger et al. (2009), "Feature Hashing for Large Scale Multitask Learning", ICML.
    """
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

    hasher = HashingVectorizer(
        n_features=HASHED,
        ngram_range=(1, 2),
        alternate_sign=False,
        norm=None,
        token_pattern=WORD,
        dtype=np.float32,
    )
    counts = hasher.transform(texts)
    return TfidfTransformer(sublinear_tf=True).fit(counts).transform(counts, copy=False)


@dataclass(frozen=True)
class Passes:
    """How often rows are visited: partitions, folds of each, passes of gradient descent; and how their words are weighed."""

    repeats: int
    folds: int
    each: int
    weigh: Callable[[Iterable[str]], csr_matrix]


OF_SOME, OF_MANY = Passes(2, 5, 10, by_vocabulary), Passes(1, 2, 4, by_hash)


def word_margins(rows: Rows, passes: Passes = OF_SOME) -> NDArray[np.float64]:
    """The held-out margin of every row: probability of its label minus the largest other probability, -1 to 1, (N,).

    Features are the tf-idf weights of `bags_of_words`. One-against-rest logistic regressions are fitted by stochastic
    gradient descent in cross-validation, and their probabilities are normalised to sum to one. The margin is the mean over
    some partitions into folds, which depend on the ids and not on the order of the rows. It is zero for all rows if no word
    occurs in two rows.

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
    bags = bags_of_words([rows.table[name].gather(order) for name in rows.text], passes.weigh)  # (N, words)
    if not bags.shape[1]:
        return np.zeros(len(label))
    total = np.zeros(len(label))
    for repeat in range(passes.repeats):
        for fold in fold_trainings(repeat, passes.folds):
            out = left_out(fold, ids, label, passes.folds, seed=0)
            known = np.unique(label[~out])
            if not out.any() or len(known) < 2:
                continue
            model = SGDClassifier(
                loss="log_loss", alpha=1e-5, max_iter=passes.each, tol=None, random_state=repeat, n_jobs=-1
            )
            model.fit(bags[~out], label[~out])
            held_out = np.flatnonzero(out)
            for start in range(0, len(held_out), BLOCK_ROWS):
                at = held_out[start : start + BLOCK_ROWS]
                found = np.zeros((len(at), len(rows.classes)))
                found[:, known] = model.predict_proba(bags[at])
                every = np.arange(len(at))
                own = found[every, label[at]].copy()
                found[every, label[at]] = 0
                total[at] += own - found.max(axis=1)
    values = np.empty(len(label))
    values[order] = total / passes.repeats
    return values


def bags_of_words(
    texts: Sequence[Collection[str]], weigh: Callable[[Iterable[str]], csr_matrix] = by_vocabulary
) -> csr_matrix:
    """The tf-idf weights of words and of pairs of adjacent words that occur in at least two rows, sparse (N, words).

    Each text column has its own columns in the matrix. For every text after the first there are further columns that count
    only the words that do not occur in the texts before it. `weigh` makes the columns of a text.

    >>> bags_of_words([["a dog ran", "a cat ran"], ["the dog", "the dog slept"]]).shape  # a, ran | the, dog, the dog | the
    (2, 6)
    """
    from scipy.sparse import csr_matrix, hstack

    split = re.compile(WORD).findall

    def new_words(at: int) -> Iterator[str]:
        for row in zip(*texts[: at + 1], strict=True):
            *before, words = (split(text.lower()) for text in row)
            known = set().union(*before)
            yield " ".join(word for word in words if word not in known)

    bags: list[csr_matrix] = []
    for at, column in enumerate(texts):
        for texts_of in (column, new_words(at)) if at else (column,):
            with suppress(ValueError):  # no word occurs in two rows
                bags.append(weigh(texts_of))
    if len(bags) < 2:  # not copied: of many rows the words take the most memory
        return bags[0] if bags else csr_matrix((len(texts[0]), 0))
    return hstack(bags, format="csr")


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
    made_with = digest({"rows": rows.hash(), "text": len(rows.text)}).encode()
    if table_problem(path) is None and metadata(path).get(_KEY) == made_with:
        return path
    margins = word_margins(rows, OF_MANY if len(rows) > MANY else OF_SOME)
    table = pl.DataFrame({"id": rows.table["id"], "word_margin": margins})
    write_table(path, table, {_KEY: made_with})
    return path
