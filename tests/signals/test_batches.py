"""Batches hold every row once, within the budget, with the least padding of any partition of the sorted rows."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from thresher.signals.batches import BATCH_COST, tight_batches


@given(st.lists(st.integers(1, 90), min_size=1, max_size=8), st.integers(1, 300))
def test_no_cut_of_the_sorted_rows_costs_less(lengths, budget):
    batches = tight_batches(np.array(lengths), budget)
    assert sorted(np.concatenate(batches)) == list(range(len(lengths)))

    def cost(groups):
        return sum(BATCH_COST + len(group) * max(group) for group in groups)

    def fits(groups):
        return all(len(group) == 1 or len(group) * max(group) <= budget for group in groups)

    found = [[lengths[row] for row in batch] for batch in batches]
    down = sorted(lengths, reverse=True)
    places = range(1, len(down))
    cuts = (cut for count in range(len(down)) for cut in combinations(places, count))
    every = [[down[a:b] for a, b in zip((0, *cut), (*cut, len(down)), strict=True)] for cut in cuts]
    assert fits(found)
    assert cost(found) == min(cost(groups) for groups in every if fits(groups))
    assert [max(group) for group in found] == sorted((max(group) for group in found), reverse=True)


def test_rows_of_one_length_are_never_padded():
    lengths = np.array([11] * 100 + [23] * 100)
    for batch in tight_batches(lengths, 512):
        assert len(set(lengths[batch])) == 1


def test_no_rows_make_no_batches():
    assert tight_batches(np.array([], np.int64), 100) == []
