"""The largest keys equal those of sorting, for any key; and the quotas of groups."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thresher.errors import UserError
from thresher.selection.quotas import quotas
from thresher.selection.top_k import largest, largest_of_groups

ties = st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1), st.integers(2**63 - 2, 2**63 + 2))
KEYS = [-0.0, 0.0, 1.5, math.inf, -math.inf, -2.0, 1e-300, -5e-324, 5e-324]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_the_rows_with_the_largest_key_and_tie_of_each_group_are_kept(data: st.DataObject) -> None:
    key = st.one_of(st.sampled_from(KEYS), st.floats(allow_nan=False))
    rows = data.draw(
        st.lists(
            st.tuples(key, ties, st.integers(0, 4)), min_size=1, max_size=40, unique_by=lambda row: row[1]
        )
    )
    keys, hashes, group = (list(column) for column in zip(*rows, strict=True))
    quota = [data.draw(st.integers(0, group.count(g))) for g in range(5)]
    expected = set()
    for g in range(5):
        ordered = sorted(
            (row for row in range(len(rows)) if group[row] == g),
            key=lambda row: (keys[row], hashes[row]),
            reverse=True,
        )
        expected |= set(ordered[: quota[g]])
    given = np.array(keys), np.array(hashes, np.uint64), np.array(group, np.int32)
    assert set(np.flatnonzero(largest_of_groups(*given, np.array(quota)))) == expected
    whole = data.draw(st.integers(0, len(rows)))
    of_all = sorted(range(len(rows)), key=lambda row: (keys[row], hashes[row]), reverse=True)[:whole]
    assert set(np.flatnonzero(largest(*given[:2], whole))) == set(of_all)


@pytest.mark.parametrize("groups", [1, 7, 1000, 200_000])
def test_any_number_of_groups(groups: int) -> None:
    generator = np.random.default_rng(0)
    key, tie = generator.normal(size=2000).round(1), generator.integers(0, 2**64, 2000, dtype=np.uint64)
    group = generator.integers(0, min(groups, 50), 2000).astype(np.int32) * (groups // min(groups, 50))
    found = largest_of_groups(key, tie, group, np.minimum(np.bincount(group, minlength=groups), 2))
    for g in np.unique(group):
        rows = np.flatnonzero(group == g)
        assert set(rows[found[rows]]) == set(rows[np.lexsort((tie[rows], key[rows]))[-2:]])


def test_rows_that_differ_only_in_order_are_refused() -> None:
    key, tie = np.array([1.0, 1.0, 0.0]), np.array([4, 4, 9], np.uint64)
    assert largest(key, tie, 2).tolist() == [True, True, False]
    with pytest.raises(UserError, match="choose another seed"):
        largest(key, tie, 1)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_quotas_are_the_largest_remainder(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 50), min_size=1, max_size=8))
    total = data.draw(st.integers(0, sum(sizes)))
    names = [f"g{i}" for i in range(len(sizes))]
    share = quotas(np.array(sizes), np.zeros(len(sizes), np.int64), total, names)
    exact = [total * size / sum(sizes) for size in sizes]
    assert share.sum() == total
    assert all(abs(s - e) < 1 for s, e in zip(share, exact, strict=True))
    # Nobody with a smaller remainder was rounded up before somebody with a larger one.
    up = [e - math.floor(e) for s, e in zip(share, exact, strict=True) if s > e]
    down = [e - math.floor(e) for s, e in zip(share, exact, strict=True) if s < e]
    assert not up or not down or min(up) >= max(down) - 1e-9


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_quotas_give_every_group_its_least_and_keep_the_total_when_it_fits(data: st.DataObject) -> None:
    sizes = data.draw(st.lists(st.integers(1, 50), min_size=1, max_size=8))
    least = [data.draw(st.integers(0, size)) for size in sizes]
    total = data.draw(st.integers(0, sum(sizes)))
    order = data.draw(st.permutations(range(len(sizes))))
    names = [f"g{i}" for i in range(len(sizes))]
    share = quotas(np.array(sizes), np.array(least), total, names)
    assert share.sum() == max(total, sum(least))
    assert all(low <= s <= size for low, s, size in zip(least, share, sizes, strict=True))
    mixed = quotas(np.array(sizes)[order], np.array(least)[order], total, [names[i] for i in order])
    assert mixed.tolist() == share[order].tolist()


def test_quotas_by_hand() -> None:
    # Proportions 7.5, 1.5, 1.0: the two halves tie, and the first by name gets the row.
    assert quotas(np.array([15, 3, 2]), np.array([0, 0, 0]), 10, ["b", "a", "c"]).tolist() == [7, 2, 1]
    # c needs 2 of its 2 rows; the 8 that are left are shared 15 : 3, that is 6.67 and 1.33.
    assert quotas(np.array([15, 3, 2]), np.array([0, 0, 2]), 10, ["b", "a", "c"]).tolist() == [7, 1, 2]
    # The least alone is more than the total.
    assert quotas(np.array([15, 3, 2]), np.array([4, 3, 2]), 5, ["b", "a", None]).tolist() == [4, 3, 2]
