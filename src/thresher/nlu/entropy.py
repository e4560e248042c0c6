"""Slot-trail entropy and intent entropy: measures of the variety of the training rows of an intent or a domain.

Source: Anand et al., EMNLP 2023, appendix C.6.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable

import polars as pl

from thresher.nlu.rows.bio import tags_of
from thresher.nlu.rows.checked import words
from thresher.nlu.rows.pipe import OTHER
from thresher.nlu.rows.table import Utterance, utterances


def trail(row: Utterance) -> str:
    """The slot-label trail: the label of every word in order, with the word kept where it is in a slot.

    >>> from thresher.nlu.rows import Slot
    >>> trail(Utterance("play howard shore please", "music", "play", (Slot(5, 17, "Artist"),)))
    'Other howard|Artist shore|Artist Other'
    """
    spans = words(row.text)
    labels = [tag.partition("-")[2] for tag in tags_of(spans, row.slots)]
    return " ".join(
        f"{row.text[start:end].lower()}|{label}" if label else OTHER
        for (start, end), label in zip(spans, labels, strict=True)
    )


def entropy(values: Iterable[Hashable]) -> float:
    """H = - sum over distinct values of P log2 P, with P their share; bits, 0 and up.

    >>> entropy("aabb"), entropy("aaaa")
    (1.0, 0.0)
    """
    found = Counter(values)
    total = sum(found.values())
    return math.fsum(-count / total * math.log2(count / total) for count in found.values()) + 0.0


def trail_entropy(rows: pl.DataFrame) -> pl.DataFrame:
    """H(intent) = - sum over trails P(t) log2 P(t), over the training rows of every domain and intent.

    Returns
    -------
    `domain, intent, rows, trails` (distinct ones), `trail_entropy` (bits), sorted by domain and intent.

    >>> from thresher.nlu.rows import as_table
    >>> stop, halt = Utterance("stop", "music", "stop", id="1"), Utterance("stop it", "music", "stop", id="2")
    >>> trail_entropy(as_table([stop, halt])).row(0)
    ('music', 'stop', 2, 2, 1.0)
    """
    trails: dict[tuple[str, str], list[str]] = {}
    for row in utterances(rows):
        trails.setdefault((row.domain, row.intent), []).append(trail(row))
    return pl.DataFrame(
        [(*key, len(own), len(set(own)), entropy(own)) for key, own in sorted(trails.items())],
        schema=["domain", "intent", "rows", "trails", "trail_entropy"],
        orient="row",
    )


def domain_entropy(rows: pl.DataFrame) -> pl.DataFrame:
    """Entropy of the intents and of the slot trails of every domain, as in the paper's table 10.

    Returns
    -------
    `domain, rows, intents, intent_entropy, trail_entropy, mean_intent_trail_entropy` in bits: the entropy of all trails of
    the domain (the paper's column), and the mean of H(intent) over the domain's rows. Highest trail entropy first.
    """
    intents: dict[str, list[str]] = {}
    trails: dict[str, list[str]] = {}
    for row in utterances(rows):
        intents.setdefault(row.domain, []).append(row.intent)
        trails.setdefault(row.domain, []).append(trail(row))
    means = (
        trail_entropy(rows)
        .group_by("domain")
        .agg(mean=(pl.col("trail_entropy") * pl.col("rows")).sum() / pl.col("rows").sum())
    )
    mean = dict(means.iter_rows())
    return pl.DataFrame(
        [
            (name, len(own), len(set(own)), entropy(own), entropy(trails[name]), mean[name])
            for name, own in sorted(intents.items())
        ],
        schema=["domain", "rows", "intents", "intent_entropy", "trail_entropy", "mean_intent_trail_entropy"],
        orient="row",
    ).sort("trail_entropy", descending=True, maintain_order=True)


def row_entropy(rows: pl.DataFrame) -> pl.Series:
    """H(intent) of every row's domain and intent, in the order of the rows; (N,) bits."""
    found = trail_entropy(rows).select("domain", "intent", "trail_entropy")
    return rows.join(found, on=["domain", "intent"], how="left", maintain_order="left")["trail_entropy"]
