"""Scores on the encoder's features, and scores made from other scores: against loops over all pairs of rows."""

from __future__ import annotations

import hashlib
import math
import re

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thresher.errors import UserError
from thresher.scores import MissingSignal, score_runs, score_table, scores
from thresher.scores import neighbours as neighbours_module
from thresher.scores.d2 import d2
from thresher.scores.duplicates import duplicates
from thresher.scores.ensemble import ensemble
from thresher.scores.neighbours import nearest
from thresher.scores.prototypicality import prototypicality

NONE = pl.DataFrame()


def table(features: np.ndarray, label: list[int] | None = None, **more: list[float]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "id": [f"row {i}" for i in range(len(features))],
            "label": label if label is not None else [0] * len(features),
            "features": features.astype(np.float32),
            **more,
        }
    )


@st.composite
def feature_tables(draw: st.DrawFn) -> pl.DataFrame:
    rows = draw(st.integers(1, 14))
    # Whole numbers: equal rows, opposite rows, rows of zeros.
    features = np.array(
        draw(st.lists(st.lists(st.integers(-2, 2), min_size=3, max_size=3), min_size=rows, max_size=rows))
    )
    label = draw(st.lists(st.integers(0, 2), min_size=rows, max_size=rows))
    return table(features.astype(float), label)


def hashed(row_id: str) -> bytes:
    return hashlib.blake2b(row_id.encode(), digest_size=16).digest()


def cosine(a: list[float], b: list[float]) -> float:
    lengths = math.sqrt(sum(x * x for x in a)) * math.sqrt(sum(y * y for y in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / lengths if lengths else 0.0


@given(signals=feature_tables(), keep_one=st.booleans(), block=st.integers(1, 5))
def test_duplicates_is_the_similarity_to_the_nearest_row_of_the_class(signals, keep_one, block):
    rows = list(signals.iter_rows(named=True))
    expected = []
    for row in rows:
        others = [
            cosine(row["features"], other["features"])
            for other in rows
            if other["label"] == row["label"]
            and other["id"] != row["id"]
            and (not keep_one or hashed(other["id"]) < hashed(row["id"]))
        ]
        expected.append(max(others, default=-1.0))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("thresher.scores.duplicates.BLOCK", block)
        found = duplicates(signals, NONE, keep_one=keep_one)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_of_equal_texts_one_is_kept_and_the_others_are_dropped_first():
    rng = np.random.default_rng(0)
    distinct = rng.normal(size=(10, 8))
    signals = table(np.concatenate([distinct, distinct, distinct]))
    found = duplicates(signals, NONE).to_numpy()
    easiest = set(np.argsort(-found)[:20].tolist())  # low is hard
    left = [i % 10 for i in range(30) if i not in easiest]
    assert sorted(left) == list(range(10))
    assert (duplicates(signals, NONE, keep_one=False) > 1 - 1e-6).all()


@given(signals=feature_tables(), metric=st.sampled_from(["euclidean", "cosine"]))
def test_prototypicality_is_the_distance_to_the_centre_of_the_class(signals, metric):
    rows = list(signals.iter_rows(named=True))
    expected = []
    for row in rows:
        own = [other["features"] for other in rows if other["label"] == row["label"]]
        if metric == "cosine":
            lengths = [math.sqrt(sum(x * x for x in f)) or 1.0 for f in own]
            own = [[x / length for x in f] for f, length in zip(own, lengths, strict=True)]
        centre = [sum(values) / len(own) for values in zip(*own, strict=True)]
        if metric == "cosine":
            expected.append(1 - cosine(row["features"], centre))
        else:
            expected.append(math.dist(row["features"], centre))
    found = prototypicality(signals, NONE, metric=metric)
    # A centre that is zero but for rounding has no direction.
    sure = np.array([abs(e - 1) > 1e-4 for e in expected]) | (metric == "euclidean")
    np.testing.assert_allclose(found.to_numpy()[sure], np.array(expected)[sure], atol=1e-5)


def plain_d2(
    features: list[list[float]], ids: list[str], s: list[float], k: int, forward: float, reverse: float
):
    """The rows in the order in which they are picked, one argmax over all rows at a time."""
    order = sorted(range(len(ids)), key=lambda i: hashed(ids[i]))
    low, high = min(s), max(s)
    scaled = [(v - low) / (high - low) if high > low else 1.0 for v in s]
    near: dict[int, list[tuple[int, float]]] = {}
    for i in order:
        others = sorted(
            (j for j in order if j != i), key=lambda j: -round(cosine(features[i], features[j]), 5)
        )
        near[i] = [(j, math.sqrt(max(0.0, 2 - 2 * cosine(features[i], features[j])))) for j in others[:k]]
    x = {i: scaled[i] + sum(math.exp(-forward * d) * scaled[j] for j, d in near[i]) for i in order}
    picked: list[int] = []
    while len(picked) < len(ids):
        best = max((i for i in order if i not in picked), key=lambda i: x[i])
        picked.append(best)
        for j, d in near[best]:
            x[j] -= math.exp(-reverse * d) * x[best]
    return picked


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    rows=st.integers(1, 25),
    k=st.integers(1, 4),
    forward=st.sampled_from([0.3, 1.0]),
    reverse=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_d2_picks_in_the_order_of_message_passing(seed, rows, k, forward, reverse):
    rng = np.random.default_rng(seed)
    signals = table(rng.normal(size=(rows, 3)))
    difficulty = rng.random(rows)
    scored = pl.DataFrame({"id": signals["id"], "el2n_mean": difficulty})
    found = d2(scored, signals, neighbours=k, gamma_forward=forward, gamma_reverse=reverse)
    features = signals["features"].to_numpy().astype(float).tolist()
    expected = plain_d2(features, signals["id"].to_list(), difficulty.tolist(), k, forward, reverse)
    assert np.argsort(-found.to_numpy()).tolist() == expected
    assert sorted(found.to_list()) == pytest.approx([(i + 1) / rows for i in range(rows)])


def test_d2_leaves_the_copies_of_a_hard_row_for_later():
    rng = np.random.default_rng(3)
    features = rng.normal(size=(30, 16))
    features[1] = features[2] = features[0]
    difficulty = [1.0, 0.99, 0.98, *rng.uniform(0.5, 0.9, 27)]
    signals = table(features)
    found = d2(pl.DataFrame({"id": signals["id"], "el2n_mean": difficulty}), signals, neighbours=2)
    place = found.rank(descending=True).to_list()
    assert place[0] == 1 and min(place[1:3]) > 5


def test_d2_can_use_any_score_oriented_to_its_hard_end():
    signals = table(np.random.default_rng(0).normal(size=(12, 4)))
    values = np.random.default_rng(1).normal(size=12)
    scored = pl.DataFrame({"id": signals["id"], "aum": values, "loss": -values})
    assert d2(scored, signals, by="aum").equals(d2(scored, signals, by="loss"))
    with pytest.raises(MissingSignal, match="it needs el2n_mean, which was not computed"):
        d2(scored, signals)
    with pytest.raises(UserError, match="'hardness' is not a score or a column"):
        d2(scored, signals, by="hardness")
    with pytest.raises(UserError, match="'neighbours' is 0; it must be at least 1"):
        d2(scored, signals, by="aum", neighbours=0)


@given(seed=st.integers(0, 1000), rows=st.integers(1, 40), k=st.integers(1, 6), block=st.integers(1, 9))
def test_nearest_neighbours_are_exact_in_any_blocks(seed, rows, k, block):
    vectors = np.random.default_rng(seed).normal(size=(rows, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours_module, "BLOCK", block)
        found = nearest(vectors, k)
    for i in range(rows):
        others = sorted((j for j in range(rows) if j != i), key=lambda j: -float(vectors[i] @ vectors[j]))
        assert found.place[i].tolist() == others[: min(k, rows - 1)]


def test_among_equally_near_rows_the_first_are_taken():
    same = np.tile(np.array([[1.0, 0.0]], dtype=np.float32), (7, 1))
    assert nearest(same, 3).place.tolist()[0] == [1, 2, 3]
    assert nearest(same, 3).place.tolist()[6] == [0, 1, 2]


@given(
    values=st.lists(st.tuples(*[st.sampled_from([-1.0, 0.0, 0.5, 2.0])] * 3), min_size=1, max_size=12),
    of=st.sampled_from([("aum", "loss"), ("loss",), ("vog", "aum", "loss"), ("loss", "mine")]),
)
def test_ensemble_is_the_mean_of_the_ranks(values, of):
    columns = {name: [row[i] for row in values] for i, name in enumerate(("aum", "loss", "vog"))}
    scored = pl.DataFrame(
        {"id": range(len(values)), **columns, "vog_class": columns["vog"], "mine": columns["aum"]}
    )
    turn = {"aum": -1, "loss": 1, "vog": 1, "mine": 1}
    expected = []
    for i in range(len(values)):
        ranks = []
        for name in of:
            hardness = [turn[name] * v for v in scored[name]]
            below = sum(v < hardness[i] for v in hardness)
            equal = sum(v == hardness[i] for v in hardness)
            ranks.append((below + (equal + 1) / 2) / len(values))
        expected.append(sum(ranks) / len(ranks))
    np.testing.assert_allclose(ensemble(scored, NONE, of=of), expected, rtol=1e-12)


def test_an_ensemble_is_in_the_table_like_any_score_and_names_missing_ones():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20, 4, 3)).astype(np.float32)
    signals = table(rng.normal(size=(20, 4)), rng.integers(0, 3, 20).tolist()).with_columns(logits=logits)
    trained = pl.DataFrame({"index": range(4), "epoch": [1.0, 2.0, 3.0, 4.0]})
    found, about = score_runs([(signals, trained)], {"ensemble": {"of": "aum,loss"}})
    assert found["ensemble"].equals(ensemble(found, signals, of=("aum", "loss")))
    assert {"ensemble_class", "ensemble_dataset", "d2"} <= set(found.columns)
    assert about["scores"]["ensemble"]["options"] == {"of": ("aum", "loss")}
    found, about = score_runs([(signals, trained)])
    assert "ensemble" not in found.columns
    assert about["skipped"]["ensemble"] == "it needs vog, which was not computed"


NOT_OF_A_ROW = [name for name, entry in scores().items() if entry.reads != "row"]


@given(data=st.data(), seed=st.integers(0, 100))
def test_no_score_of_several_rows_depends_on_their_order_or_on_the_blocks(data, seed):
    rng = np.random.default_rng(seed)
    rows = data.draw(st.integers(2, 20))
    # Of one class there is no second view: whoever names it is right every time.
    labels = [0, 1, *rng.integers(0, 2, rows - 2).tolist()]
    signals = table(rng.normal(size=(rows, 4)).round(1), labels).with_columns(
        logits=rng.normal(size=(rows, 3, 2)).astype(np.float32),
        held_out_logits=rng.normal(size=(rows, 2)).astype(np.float32),
        word_margin=rng.uniform(0.01, 1, rows),
    )
    trained = pl.DataFrame({"index": range(3), "epoch": [1.0, 2.0, 3.0]})
    order = data.draw(st.permutations(range(rows)))
    options = {"ensemble": {"of": "aum,el2n_mean"}, "pvi": {"null": "prior"}}
    whole = score_table([(signals, trained)], options)
    assert set(NOT_OF_A_ROW) <= set(whole.columns)
    assert score_table([(signals[order], trained)], options).equals(whole[order])


def test_without_features_and_with_too_many_rows_the_scores_say_so(monkeypatch):
    signals = table(np.eye(4))
    scored = pl.DataFrame({"id": signals["id"], "el2n_mean": [0.0, 1.0, 2.0, 3.0]})
    calls = {
        "duplicates": lambda frame: duplicates(frame, NONE),
        "prototypicality": lambda frame: prototypicality(frame, NONE),
        "d2": lambda frame: d2(scored, frame),
    }
    for call in calls.values():
        with pytest.raises(MissingSignal, match="'features' was not measured"):
            call(signals.drop("features"))
    monkeypatch.setattr(neighbours_module, "_MOST_PAIRS", 15)
    for name in ("duplicates", "d2"):
        with pytest.raises(MissingSignal, match=re.escape("16 pairs of rows to compare, more than the 15")):
            calls[name](signals)
