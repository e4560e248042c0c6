"""What each diet chooses, against its definition."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from thresher.errors import UserError
from thresher.training.diets import EpochRows, EpochState, check_options, find
from thresher.training.diets.data_diet import data_diet
from thresher.training.diets.infobatch import infobatch
from thresher.training.diets.iterative import iterative


def epoch_state(
    score, epoch: int = 1, epochs: int = 8, seed: int = 0, label=None, last=None, again=None
) -> EpochState:
    score = np.asarray(score, np.float64)
    label = np.zeros(len(score), np.int64) if label is None else np.asarray(label)
    return EpochState(
        epoch, epochs, score, score, label, last, np.random.default_rng(seed), again or (lambda: score)
    )


scores = st.lists(st.floats(0, 10), min_size=2, max_size=40)


@given(scores, st.sampled_from([0.0, 0.3, 0.5, 0.9]))
def test_infobatch_expects_the_gradient_of_all_rows(score, r):
    # Rows stand for their gradients: over the draws, weight times kept must average to one for every row.
    total = np.zeros(len(score))
    draws = 200
    for seed in range(draws):
        rows = infobatch(epoch_state(score, seed=seed), r=r)
        total += rows.keep * rows.weight
    spread = np.sqrt(r / (1 - r) / draws)
    assert np.abs(total / draws - 1).max() <= 6 * spread + 1e-6
    hard = np.asarray(score) >= np.mean(score)
    assert (total[hard] == draws).all()


def test_infobatch_keeps_unknown_rows_and_everything_in_the_last_epochs():
    score = [0.1, np.nan, 0.1, 5.0]
    kept = np.array([infobatch(epoch_state(score, seed=seed), r=0.9).keep for seed in range(50)])
    assert kept[:, [1, 3]].all()
    assert not kept[:, [0, 2]].all()
    assert infobatch(epoch_state([np.nan] * 3, epoch=0)).keep.all()
    for epoch, all_rows in ((5, False), (6, True), (7, True)):
        rows = infobatch(epoch_state([0.1] * 99 + [9.0], epoch=epoch), r=0.9, full=0.25)
        assert rows.keep.all() == all_rows == (rows.weight is None)


@given(scores, st.sampled_from([0.0, 0.25, 0.5, 0.8]), st.sampled_from([0.0, 0.1]))
def test_data_diet_keeps_the_hardest_rows_except_the_very_hardest(score, prune, skip):
    count = len(score)
    keep = data_diet(epoch_state(score), prune=prune, skip=skip).keep
    wanted = max(1, round((1 - prune) * count))
    assert keep.sum() == wanted
    left_out_hard = min(round(skip * count), count - wanted)
    ranked = np.sort(score)[::-1][left_out_hard : left_out_hard + wanted]
    assert np.array_equal(np.sort(np.asarray(score)[keep])[::-1], ranked)


def test_data_diet_rescores_every_few_epochs():
    first, later = np.array([1.0, 2.0, 3.0, 4.0]), np.array([4.0, 3.0, 2.0, 1.0])
    asked = []

    def again():
        asked.append(True)
        return later

    last = None
    chosen = []
    for epoch in range(6):
        last = data_diet(epoch_state(first, epoch=epoch, last=last, again=again), prune=0.5, after=2, every=2)
        chosen.append(last.keep.tolist())
    assert chosen[:2] == [[True] * 4] * 2
    assert chosen[2] == chosen[3] == [False, False, True, True]
    assert chosen[4] == chosen[5] == [True, True, False, False]
    assert len(asked) == 1


@given(st.integers(1, 4), st.integers(1, 3), st.sampled_from([0.3, 0.7, 0.9]))
def test_iterative_cuts_in_equal_factors_and_never_adds_rows_back(cuts, every, prune):
    random = np.random.default_rng(0)
    count, last, sizes = 200, None, []
    for epoch in range(1 + cuts * every + 2):
        rows = iterative(
            epoch_state(random.random(count), epoch=epoch, last=last), prune=prune, cuts=cuts, every=every
        )
        assert last is None or not (rows.keep & ~last.keep).any()
        sizes.append(int(rows.keep.sum()))
        last = rows
    expected = [count]
    for cut in range(cuts):
        expected += [round(count * (1 - prune) ** ((cut + 1) / cuts))] * every
    assert sizes == (expected + [expected[-1]] * len(sizes))[: len(sizes)]


def test_iterative_restarts_only_at_a_cut():
    last, restarts = None, []
    for epoch in range(6):
        last = iterative(
            epoch_state(np.arange(20.0), epoch=epoch, last=last), prune=0.5, cuts=2, every=2, restart=True
        )
        restarts.append(last.restart)
    assert restarts == [False, True, False, True, False, False]


@given(st.integers(0, 50), st.integers(2, 5), st.sampled_from([0.3, 0.5, 0.8]))
def test_by_class_keeps_the_same_share_of_every_class(seed, classes, prune):
    random = np.random.default_rng(seed)
    label = random.integers(0, classes, 120)
    # One class is harder than all others: without classes it would take everything.
    score = random.random(120) + 10 * (label == 0)
    keep = data_diet(epoch_state(score, label=label), prune=prune, by_class=True).keep
    assert keep.sum() == round((1 - prune) * 120)
    for one in range(classes):
        mine = label == one
        assert abs(keep[mine].sum() - (1 - prune) * mine.sum()) <= 1.5
        assert not mine.any() or score[mine & keep].min() >= score[mine & ~keep].max(initial=-1)


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("slimfast", {}, "unknown diet 'slimfast'; known diets: data-diet, infobatch, iterative"),
        ("infobatch", {"q": 1}, "has no option 'q'; it has r, full"),
        ("infobatch", {"r": "much"}, "'r' is 'much'; it takes a number"),
        ("infobatch", {"r": 1.0}, "r is 1.0"),
        ("data-diet", {"prune": 1.5}, "prune 1.5"),
        ("data-diet", {"after": 0.5}, "'after' is '0.5'; it takes a whole number"),
        ("data-diet", {"by_class": 2}, "'by_class' is '2'; it takes true or false"),
        ("data-diet", {"after": -1}, "after -1"),
        ("data-diet", {"every": -1}, "every -1"),
        ("iterative", {"cuts": 0}, "cuts 0"),
        ("iterative", {"every": -1}, "every -1"),
        ("iterative", {"restart": -1}, "'restart' is '-1'; it takes true or false"),
    ],
)
def test_options_are_checked_before_anything_is_trained(name, options, said):
    with pytest.raises(UserError, match=said):
        check_options(name, options)


def test_options_come_from_text_too():
    assert check_options("iterative", {"prune": "0.5", "restart": "1", "cuts": "2"}) == {
        **find("iterative").defaults,
        "prune": 0.5,
        "restart": True,
        "cuts": 2,
    }
    assert isinstance(find("infobatch").function(epoch_state([1.0, 2.0])), EpochRows)
