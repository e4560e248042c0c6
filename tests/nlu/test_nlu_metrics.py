"""Metrics against cases counted by hand, against seqeval, and by simulation."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import rows as some_rows

from thresher.nlu.entropy import domain_entropy, entropy, row_entropy, trail, trail_entropy
from thresher.nlu.metrics import ERRORS, counts, relative_interval, sigma, slot_f1, slot_report
from thresher.nlu.metrics.counts import Parts, _overlapping
from thresher.nlu.rows import Slot, Utterance, as_table

# Four rows, "w0 w1 w2 w3 w4": characters 0-2, 3-5, 6-8, 9-11, 12-14.
TEXT = "w0 w1 w2 w3 w4"
WORD = [(0, 2), (3, 5), (6, 8), (9, 11), (12, 14)]


def slots(*spans: tuple[int, int, str]) -> tuple[Slot, ...]:
    return tuple(Slot(WORD[first][0], WORD[last][1], label) for first, last, label in spans)


TRUTH = [
    Utterance(TEXT, "alarm", "set", slots((0, 1, "time"), (3, 3, "date")), id="right"),
    Utterance(TEXT, "alarm", "set", slots((0, 1, "time"), (3, 3, "date")), id="slots wrong"),
    Utterance(TEXT, "music", "play", slots((2, 4, "artist")), id="intent wrong"),
    Utterance(TEXT, "music", "play", (), id="domain wrong"),
    Utterance(TEXT, "music", "stop", slots((1, 1, "artist")), id="not answered"),
]
PREDICTED = [
    TRUTH[0],
    # time is too short: a substitution; date has another label: a substitution; room is new: an insertion.
    Utterance(TEXT, "alarm", "set", slots((0, 0, "time"), (3, 3, "time"), (4, 4, "room")), id="slots wrong"),
    Utterance(TEXT, "music", "stop", slots((2, 4, "artist")), id="intent wrong"),
    Utterance(TEXT, "alarm", "play", slots((0, 0, "time")), id="domain wrong"),
]


def by_hand() -> pl.DataFrame:
    answers = as_table(PREDICTED).select("id", "domain", "intent", "slots")
    none = pl.DataFrame(
        {"id": ["not answered"], "domain": [None], "intent": [None], "slots": [None]}, schema=answers.schema
    )
    return counts(as_table(TRUTH), pl.concat([answers, none]).sample(fraction=1, shuffle=True, seed=1))


def test_the_counts_of_every_row() -> None:
    found = by_hand()
    assert found["id"].to_list() == [row.id for row in TRUTH]
    assert found["domain_error"].to_list() == [False, False, False, True, True]
    assert found["intent_error"].to_list() == [False, False, True, True, True]
    assert found["slots"].to_list() == [2, 2, 1, 0, 1]
    assert found["predicted_slots"].to_list() == [2, 3, 1, 1, 0]
    assert found["slot_errors"].to_list() == [0, 3, 0, 1, 1]


def test_every_metric_by_hand() -> None:
    found = by_hand()
    assert {name: metric(found).value for name, metric in ERRORS.items()} == pytest.approx(
        {
            "DCER": 2 / 5,
            "ICER": 3 / 5,
            "SEMER": (3 + 5) / (5 + 6),
            # 2 / (11/8 + 12/8): harmonic mean with the 7 predicted slots as reference
            "F-SEMER": 2 / ((5 + 6) / 8 + (5 + 7) / 8),
            "IRER": 4 / 5,
        }
    )
    assert slot_f1(found).value == pytest.approx(2 * 3 / (6 + 7))


def test_swapped_truth_and_prediction_have_the_same_number_of_errors() -> None:
    one, other = as_table(TRUTH[:4]), as_table(PREDICTED)
    there, back = counts(one, other), counts(other, one)
    assert there["slot_errors"].to_list() == back["slot_errors"].to_list()
    rate = [ERRORS["SEMER"](table).value for table in (there, back)]
    assert ERRORS["F-SEMER"](there).value == pytest.approx(2 / (1 / rate[0] + 1 / rate[1]))


def test_answers_to_other_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="the ids of the predictions differ from those of the test rows"):
        counts(as_table(TRUTH[:2]), as_table(TRUTH[1:3]))


@given(some_rows, st.randoms(use_true_random=False))
@settings(max_examples=40)
def test_slot_f1_is_seqevals(rows: list[Utterance], random: object) -> None:
    truth = as_table(rows)
    guesses = [
        Utterance(
            row.text, row.domain, row.intent, tuple(s for s in row.slots if random.random() < 0.6), id=row.id
        )  # type: ignore[attr-defined]
        for row in rows
    ]
    report = slot_report(truth, as_table(guesses))
    value = slot_f1(counts(truth, as_table(guesses))).value
    if report:
        assert value == pytest.approx(float(report["micro avg"]["f1-score"]))
    else:
        assert math.isnan(value)


spans = st.lists(st.integers(0, 12), min_size=2, max_size=8, unique=True).map(sorted)


@given(spans, spans)
def test_the_number_of_pairs_of_overlapping_slots_is_maximal(left: list[int], right: list[int]) -> None:
    one = [Slot(a, b, "x") for a, b in zip(left[::2], left[1::2], strict=False)]
    other = [Slot(a, b, "y") for a, b in zip(right[::2], right[1::2], strict=False)]

    def best(rest: list[Slot], free: list[Slot]) -> int:
        if not rest:
            return 0
        head, tail = rest[0], rest[1:]
        fits = [slot for slot in free if slot.start < head.end and head.start < slot.end]
        return max([best(tail, free), *(1 + best(tail, [s for s in free if s != slot]) for slot in fits)])

    assert _overlapping(one, other) == best(one, other)


def test_the_relative_interval_covers_the_truth() -> None:
    """150 studies of three samples, pruned rows a quarter worse: 95% intervals cover +25%, and mostly leave zero out."""
    rng = np.random.default_rng(0)
    n, covered, misses_zero = 500, 0, 0
    for study in range(150):
        hard = 0.75 * rng.beta(0.4, 1.6, n)  # the rows' own difficulty, shared by all trainings
        arms = [
            [
                Parts((rng.random(n) < hard * (worse + rng.normal(0, 0.03))).astype(float), np.ones(n))
                for _ in range(3)
            ]
            for worse in (1.25, 1.0)
        ]
        found = relative_interval(arms[0], arms[1], bootstrap=100, seed=study)
        covered += found["low"] <= 0.25 <= found["high"]
        misses_zero += found["low"] > 0
    assert covered >= 0.88 * 150
    assert misses_zero > 50


def test_pairs_of_equal_arms_have_no_difference() -> None:
    parts = [Parts(np.arange(50) % 3 == 0, np.ones(50)) for _ in range(2)]
    found = relative_interval(parts, parts)
    assert (found["mean"], found["low"], found["high"]) == (0.0, 0.0, 0.0)
    with pytest.raises(ValueError):
        relative_interval(parts, parts[:1])
    nothing = [Parts(np.zeros(9), np.ones(9))]
    assert math.isnan(relative_interval(nothing, nothing)["low"])


def test_sigma_of_the_paper() -> None:
    assert sigma(0.0604, 0.52) == pytest.approx(-11.7, abs=0.1)


def test_entropy_by_hand() -> None:
    rows = [
        Utterance("play jazz", "music", "play", (Slot(5, 9, "genre"),)),
        Utterance("spin JAZZ", "music", "play", (Slot(5, 9, "genre"),)),
        Utterance("play rock", "music", "play", (Slot(5, 9, "genre"),)),
        Utterance("stop", "music", "stop"),
    ]
    table = as_table(rows)
    assert trail(rows[1]) == "Other jazz|genre"
    two_to_one = -(2 / 3 * math.log2(2 / 3) + 1 / 3 * math.log2(1 / 3))
    found = trail_entropy(table)
    assert found["trails"].to_list() == [2, 1]
    assert found["trail_entropy"].to_list() == pytest.approx([two_to_one, 0.0])
    assert row_entropy(table).to_list() == pytest.approx([two_to_one] * 3 + [0.0])
    (domain,) = domain_entropy(table).to_dicts()
    assert domain["intent_entropy"] == pytest.approx(entropy("aaab"))
    assert domain["trail_entropy"] == pytest.approx(1.5)  # 1/2, 1/4, 1/4
    assert domain["mean_intent_trail_entropy"] == pytest.approx(0.75 * two_to_one)


@given(st.lists(st.sampled_from("abcd"), min_size=1, max_size=30))
def test_entropy_lies_between_zero_and_the_logarithm_of_the_kinds(values: list[str]) -> None:
    assert 0 <= entropy(values) <= math.log2(len(set(values))) + 1e-9


def test_arms_that_differ_in_no_resample_have_no_interval() -> None:
    none, one = np.zeros(5), np.array([1.0, 0, 0, 0, 0])
    found = relative_interval([Parts(none, np.ones(5))], [Parts(one, np.ones(5))])
    assert found["mean"] == -1 and math.isnan(found["low"]) and math.isnan(found["high"])
