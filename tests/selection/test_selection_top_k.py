"""The exact cut: the same as sorting, however the rows are divided, whatever the bits of the keys."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thresher.errors import UserError
from thresher.selection.quotas import quotas
from thresher.selection.top_k import Pieces, find_cut, is_kept, nth_largest, order_bits

words = st.one_of(
    st.integers(0, 3),
    st.integers(0, 2**64 - 1),
    st.integers(2**63 - 2, 2**63 + 2),
    st.sampled_from([2**44 - 1, 2**44, 2**24, 2**64 - 1]),
)


@settings(max_examples=200, deadline=None)
@given(st.data(), st.sampled_from([0, 3, 10**6]))
def test_nth_largest_equals_sorting(data: st.DataObject, gather: int) -> None:
    groups = data.draw(st.integers(1, 5))
    rows = data.draw(st.lists(st.tuples(words, st.integers(0, groups - 1)), min_size=1, max_size=40))
    rank = [data.draw(st.integers(0, sum(g == group for _, g in rows))) for group in range(groups)]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=3)))
    parts = [rows[a:b] for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]

    def passes() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for part in parts:
            yield np.array([w for w, _ in part], np.uint64), np.array([g for _, g in part], np.int32)

    word, among, equal = nth_largest(passes, np.array(rank), gather=gather)
    for group in range(groups):
        ordered = sorted((w for w, g in rows if g == group), reverse=True)
        if rank[group] == 0:
            assert (word[group], among[group], equal[group]) == (2**64 - 1, 0, 0)
            continue
        value = ordered[rank[group] - 1]
        assert word[group] == value
        assert among[group] == ordered[: rank[group]].count(value)
        assert equal[group] == ordered.count(value)


@pytest.mark.parametrize("groups", [1, 7, 1000, 200_000])
def test_the_counters_fit_any_number_of_groups(groups: int) -> None:
    generator = np.random.default_rng(0)
    word = generator.integers(0, 2**64, 2000, dtype=np.uint64)
    group = generator.integers(0, min(groups, 50), 2000).astype(np.int32) * (groups // min(groups, 50))
    rank = np.minimum(np.bincount(group, minlength=groups), 2)
    found, _, _ = nth_largest(lambda: iter([(word, group)]), rank, gather=0)
    for g in np.unique(group):
        assert found[g] == np.sort(word[group == g])[::-1][rank[g] - 1]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(allow_nan=False), min_size=2, max_size=30))
def test_order_bits_order_like_the_numbers(numbers: list[float]) -> None:
    bits = order_bits(np.array(numbers)).tolist()
    for (a, x), (b, y) in zip(
        zip(numbers, bits, strict=True), zip(numbers[1:], bits[1:], strict=True), strict=False
    ):
        assert (a < b, a == b) == (x < y, x == y)


def test_order_bits_reach_every_float_and_never_the_mark_for_nothing() -> None:
    bits = order_bits(np.array([-math.inf, -5e-324, 0.0, 5e-324, math.inf]))
    assert (np.diff(bits.astype(object)) > 0).all()
    assert bits.max() < 2**64 - 1


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_the_cut_keeps_the_largest_key_and_tie_pairs(data: st.DataObject) -> None:
    keys = data.draw(
        st.lists(st.sampled_from([-0.0, 0.0, 1.5, math.inf, -2.0, 1e-300]), min_size=1, max_size=30)
    )
    ties = data.draw(st.lists(words, min_size=len(keys), max_size=len(keys), unique=True))
    group = data.draw(st.lists(st.integers(0, 2), min_size=len(keys), max_size=len(keys)))
    quota = [data.draw(st.integers(0, group.count(g))) for g in range(3)]
    rows = Pieces(np.array(keys), np.array(ties, np.uint64), np.array(group, np.int32))
    kept = is_kept(find_cut(lambda: iter([rows]), np.array(quota)), rows)
    expected = set()
    for g in range(3):
        members = [i for i in range(len(keys)) if group[i] == g]
        expected |= set(sorted(members, key=lambda i: (keys[i], ties[i]), reverse=True)[: quota[g]])
    assert set(np.flatnonzero(kept)) == expected


def test_rows_that_only_their_order_tells_apart_are_refused() -> None:
    rows = Pieces(np.array([1.0, 1.0, 0.0]), np.array([4, 4, 9], np.uint64), np.zeros(3, np.int32))
    assert is_kept(find_cut(lambda: iter([rows]), np.array([2])), rows).tolist() == [True, True, False]
    with pytest.raises(UserError, match="choose another seed"):
        find_cut(lambda: iter([rows]), np.array([1]))


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
